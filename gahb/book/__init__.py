"""What the book and the command line need beside the library: recipes, artifacts, figures."""
