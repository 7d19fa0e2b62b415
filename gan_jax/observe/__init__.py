"""What watches a run: the table of contents, and the loop's view of it.

| file | what it makes |
|---|---|
| reals.py | images/reals.png, the data as they come, before the first step |
| preview.py | images/fakes_<step>, and locals_<step> of an ensemble |
| reconstructions.py | images/reconstructions_<step>, of D's decoders, and |
| | rebuilt_<step>, by D and G (tasks.lead) |
| landscape.py | images/landscape_<step>.png of runs on points, and their film |
| accuracy.py | how often a classifier or a student is right, on a test set |
| scores.py | the metrics of a generator's samples against the data |
| measures.py | which of the last two a run has |
| evaluation.py | lines of evaluate.jsonl while training, and the best state |
| overfitting.py | whether D and G learn their pictures by heart |
| occasional.py | what most observers have in common |

A new observer is a file like these and a line in `OBSERVERS`.
"""

from typing import Protocol

from gan_jax.observe.accuracy import AccuracyObserver
from gan_jax.observe.evaluation import Evaluation
from gan_jax.observe.landscape import Landscape
from gan_jax.observe.overfitting import Overfitting
from gan_jax.observe.preview import Preview
from gan_jax.observe.reals import Reals
from gan_jax.observe.reconstructions import Reconstructions
from gan_jax.state import TrainState


class Observer(Protocol):
  """Looks at a run now and then; made by the arguments of `build`.

  The loop asks `due` after every step and, before the first one, at the step
  that a run begins or goes on from: what was due there and is not done is made
  up for, so a run that ends between a checkpoint and a look loses nothing.
  """

  @staticmethod
  def wanted(config, experiment, source) -> bool:
    """Whether a run has this observer."""

  def due(self, step: int) -> bool:
    """Whether to look after so many steps; 0 is before the first."""

  def done(self, step: int) -> bool:
    """Whether all that a look at a step leaves is on disk already."""

  def __call__(
    self, step: int, images: int, state: TrainState
  ) -> dict[str, float]:
    """Looks.

    Args:
      step: of training.
      images: real images shown so far.
      state: after that step; only to be read.

    Returns:
      Numbers for metrics.jsonl and the curves, by name; {} for none.
    """

  def rewind(self, step: int) -> None:
    """Forgets what it saw after a step that the run goes on from."""

  def close(self) -> None:
    """Finishes what it has begun, at a run's end or at a signal."""


# In the order in which they look.
OBSERVERS: dict[str, type[Observer]] = {
  'reals': Reals,
  'preview': Preview,
  'reconstructions': Reconstructions,
  'landscape': Landscape,
  'accuracy': AccuracyObserver,
  'overfitting': Overfitting,
  'evaluation': Evaluation,
}


def build(config, run, experiment, source, mesh) -> list[Observer]:
  """The observers of a run.

  Args:
    config: of the run.
    run: its RunDir.
    experiment: what the config means.
    source: the data.
    mesh: the run's devices.

  Raises:
    UserError: if one lacks what it works with, such as a test set.
  """
  return [
    observer(config, run, experiment, source, mesh)
    for observer in OBSERVERS.values()
    if observer.wanted(config, experiment, source)
  ]
