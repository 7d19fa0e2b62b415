"""What tools show to D: real pictures, and samples."""

from collections.abc import Callable

import jax
import numpy as np

from gan_jax.errors import UserError
from gan_jax.explore import asking, targets
from gan_jax.networks.made import picture
from gan_jax.nn.levels import faded, reduce_to
from gan_jax.sampler import TRUNCATION, at_once
from gan_jax.settings import Setting

MOST = 32  # pictures of each kind, of a figure

SETTINGS = {
  **targets.SETTINGS,
  'count': Setting(9, 'real pictures', low=1, high=MOST),
  'seeds': asking.SEEDS,
  'truncation': TRUNCATION,
  'label': asking.LABEL,
}


class Shown:
  """Real pictures of a run, and samples of it.

  Args:
    restored: the run.
    settings: of the tool: those of `SETTINGS`.
    tool: its name, for sentences.

  Attributes:
    side: that D sees pictures at; 0: as they are.
    alpha: how far its newest level has faded in.

  Raises:
    UserError: for whatever the user can put right.
  """

  def __init__(self, restored, settings, tool: str):
    self._asked = asking.Asked(restored, settings, tool)
    seeds = self._asked.seeds
    if len(seeds) > MOST:
      raise UserError(
        f'--tool={tool}:seeds={settings.seeds[:80]} are {len(seeds):,} seeds: a'
        f' figure has room for {MOST}.'
      )
    sampler, growth = self._asked.sampler, restored.experiment.growth
    self._reals = targets.wanted(restored, settings, sampler.classes, tool)
    self.side = growth.stage(restored.step).resolution
    self.alpha = growth.time(restored.step).alpha
    self._settings = settings
    self._most = at_once(restored.run.load_data()['shape'], MOST)

  def __call__(self, look: Callable):
    """All pictures, and what a function makes of them.

    Reals and samples come apart, as D sees them in training.

    Args:
      look: (samples as G makes them, labels int32 [n]) -> arrays [n, ...].

    Returns:
      Pictures [N, H, W, C] in [-1, 1], the reals first; what was made, [N, ...]
      of each array.
    """
    some = self._asked.chosen(self._settings.seeds, 'seeds')
    pictures, made = self._reals.pictures(slice(None)), self._asked.made(some)
    samples = self._asked.sampler.enlarged(picture(made)).clip(-1, 1)
    seen = pictures
    if self.side:
      seen = np.asarray(faded(reduce_to(seen, self.side), self.alpha))
    looked = [
      *self._parts(look, seen, self._reals.labels),
      *self._parts(look, made, some.labels),
    ]
    found = jax.tree.map(lambda *parts: np.concatenate(parts), *looked)
    return np.concatenate([pictures, samples]), found

  def _parts(self, look, samples, labels):
    """What is made of some, few at a time."""
    for i in range(0, len(labels), self._most):
      some = lambda x, i=i: x[i : i + self._most]
      yield jax.device_get(look(jax.tree.map(some, samples), some(labels)))

  @property
  def names(self) -> list[str]:
    """Of each picture: 'real 0', 'seed 7'."""
    reals = [f'real {k}' for k in range(len(self._reals.rows))]
    return reals + [f'seed {seed}' for seed in self._asked.seeds]

  @property
  def reals(self) -> int:
    """How many of the pictures are real: the first ones."""
    return len(self._reals.rows)

  @property
  def words(self) -> str:
    """Which pictures they are, for people."""
    reals = asking.counted(self.reals, 'picture')
    samples = asking.counted(len(self._asked.seeds), 'sample')
    return f'{reals} of {self._reals.short}, then {samples}'
