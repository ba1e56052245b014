"""Training denoisers: recipes, batches, optimizers, the loop, and the record that it leaves."""

from gahb.training.loop import train
from gahb.training.recipe import Recipe
from gahb.training.record import History, history, snapshots

__all__ = ["History", "Recipe", "history", "snapshots", "train"]
