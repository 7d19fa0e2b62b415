"""What the data look like, for comparison with a run's own samples."""

from gan_jax.data.pipeline import samples_at
from gan_jax.observe.occasional import Occasional
from gan_jax.observe.preview import ROWS, columns_of
from gan_jax.state import TrainState

POINTS = 1000


class Reals(Occasional):
  """Draws the first samples of a run's order, in the form of its fakes.

  Args: as of `observe.build`.
  """

  @staticmethod
  def wanted(config, experiment, source) -> bool:
    """See `Observer`."""
    return True

  def __init__(self, config, run, experiment, source, mesh):
    self._run, self._source, self._seed = run, source, config.train.seed
    self._columns = columns_of(experiment)

  def due(self, step: int) -> bool:
    """Only before the first step."""
    return step == 0

  def done(self, step: int) -> bool:
    """Never: a run that begins anew may have other data than it had."""
    return False

  def __call__(self, step: int, images: int, state: TrainState) -> dict:
    """See `Observer`."""
    is_points = len(self._source.shape) == 1
    count = POINTS if is_points else ROWS * self._columns
    reals, _ = samples_at(self._source, self._seed, count)
    self._run.images('reals', reals, self._columns)
    return {}
