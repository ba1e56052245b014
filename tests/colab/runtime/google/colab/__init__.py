"""Stand-in for what makes a runtime Colab's, as far as the book looks at it."""
