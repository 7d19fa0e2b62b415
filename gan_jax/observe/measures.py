"""What the states of a run are scored by, while it trains and afterwards."""

from typing import Any, Protocol

from gan_jax.observe.accuracy import Accuracy
from gan_jax.observe.scores import Evaluator
from gan_jax.state import TrainState


class Measure(Protocol):
  """Scores states; made from a config, its experiment and its source.

  Attributes:
    against: what the numbers are measured against: names, counts, no floats.
    main: the numbers worth a curve; 1 if more is better, -1 if less is, 0 if
      neither.
  """

  against: dict[str, Any]
  main: dict[str, int]

  @staticmethod
  def fits(config) -> bool:
    """Whether it is the measure of such runs."""

  def __call__(self, state: TrainState) -> dict[str, float]:
    """The numbers at a state, by name."""


# The first that fits is the run's.
MEASURES: dict[str, type[Measure]] = {
  'accuracy': Accuracy,
  'scores': Evaluator,
}


def measure_of(config, experiment, source) -> Measure:
  """The measure of a run.

  Raises:
    UserError: if it lacks a test set, or a feature network's weights.
  """
  fitting = (m for m in MEASURES.values() if m.fits(config))
  return next(fitting)(config, experiment, source)
