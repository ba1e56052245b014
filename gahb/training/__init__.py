"""Training denoisers: recipes, the loop, and the record that it leaves."""

from gahb.training.loop import train as train
from gahb.training.recipe import Recipe as Recipe
from gahb.training.record import History as History
from gahb.training.record import history as history
from gahb.training.record import snapshots as snapshots
