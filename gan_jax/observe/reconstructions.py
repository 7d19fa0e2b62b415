"""What D's decoders make of real pictures, as a run goes on."""

import jax
import numpy as np

from gan_jax.data.pipeline import samples_at
from gan_jax.networks.made import has_levels
from gan_jax.nn.levels import faded, reduce_to
from gan_jax.observe.occasional import Occasional, is_drawn
from gan_jax.state import TrainState
from gan_jax.tasks import autoencode
from gan_jax.tasks.decoder import WHOLE
from gan_jax.terms import TERMS

COLUMNS = 8  # pictures


class Reconstructions(Occasional):
  """Draws the first pictures of a run's order over what the decoders give.

  The first row is of real pictures. Under it each decoder of whole maps has a
  row, each of parts two, the part itself and what became of it; which part is
  drawn is the same at all steps. Pictures are not augmented, and networks in
  inference mode. Due when the grids of samples are. Args: as of
  `observe.build`.
  """

  @staticmethod
  def wanted(config, experiment, source) -> bool:
    """Runs with the task."""
    return autoencode.of_config(config) is not None

  def __init__(self, config, run, experiment, source, mesh):
    growth = experiment.growth
    super().__init__(config.train.image_every, growth.total(config.train))
    self._run, self._task = run, autoencode.of_config(config)
    self._game, self._growth = experiment.objective, growth
    self._pictures = samples_at(source, config.train.seed, COLUMNS)
    self._rows = jax.jit(self._draw, static_argnums=0)

  def due(self, step: int) -> bool:
    """See `Observer`."""
    return super().due(step) or step in self._growth.ends()

  def done(self, step: int) -> bool:
    """See `Observer`."""
    return is_drawn(self._run, 'reconstructions', step)

  def __call__(self, step: int, images: int, state: TrainState) -> dict:
    """See `Observer`."""
    side = self._growth.stage(step).resolution
    alpha = float(self._growth.time(step).alpha)
    d = state.pair.d
    rows = self._rows(side, alpha, d.params, d.stats, *self._pictures)
    pictures = np.concatenate([np.asarray(row) for row in rows])
    self._run.images('reconstructions', pictures, COLUMNS, step)
    return {}

  def _draw(self, side: int, alpha, params, stats, pictures, labels):
    """The rows, each [COLUMNS, s, s, C]."""
    d = self._game.at_resolution(side).discriminator
    level = dict(alpha=alpha) if has_levels(d) else {}
    if side:
      pictures = faded(reduce_to(pictures, side), alpha)
    judgement = d.apply(
      {'params': params, **stats}, pictures, labels, train=False, **level
    )
    shown, _ = self._task.reconstruct(
      params[TERMS]['autoencode'],
      stats[TERMS]['autoencode']['carried'],
      judgement.features,
      pictures,
      jax.random.key(0),
      train=False,
    )
    of_whole = {n: x for n, x in shown.items() if n.startswith('whole')}
    of_parts = [x for n, x in shown.items() if n not in of_whole]
    size = next(iter(shown.values())).picture.shape[1]
    return [
      WHOLE.picture(pictures, size),
      *(x.picture for x in of_whole.values()),
      *(row for x in of_parts for row in x),
    ]
