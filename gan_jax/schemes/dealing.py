"""Which minibatch and which key each pair of an ensemble is given.

Algorithm 1 draws a minibatch wherever it says X_inf; config.ensemble.real and
.noise say whether pairs share one. Below, n is the number of pairs on a device
and I_D the number of a discriminator's updates a step.
"""

import functools
from typing import Any, NamedTuple

import jax

from gan_jax.data.pipeline import Batch
from gan_jax.passes import Round
from gan_jax.state import stream


def draws(settings, d_steps: int) -> int:
  """Real minibatches that one step uses up.

  `real = 'fresh'`: for every pair I_D in step 1, I_D in step 3, one in step 5.
  G_0's update takes the messengers' last. Shared, the pairs and the steps have
  the same I_D.

  Args:
    settings: `config.ensemble`, with pairs > 0.
    d_steps: I_D, those of a local pair's step.
  """
  if settings.real == 'shared':
    return d_steps
  return settings.pairs * (d_steps * (1 + settings.messengers) + 1)


def apart(settings) -> bool:
  """Whether each pair has minibatches of its own, in the order of the pairs."""
  return settings.pairs > 0 and settings.real == 'fresh'


def fold(key, ids):
  """One key a pair, [n]."""
  return jax.vmap(functools.partial(jax.random.fold_in, key))(ids)


class Dealing(NamedTuple):
  """The dealing of one config.

  Attributes:
    settings: `config.ensemble`.
    d_steps: I_D.
  """

  settings: Any
  d_steps: int

  @property
  def axes(self):
    """Of (a pair, its minibatches, its key) under `vmap`; None: shared."""
    axis = lambda how: 0 if how == 'fresh' else None
    return 0, axis(self.settings.real), axis(self.settings.noise)

  @property
  def apart(self) -> bool:
    """Whether each pair has minibatches of its own."""
    return apart(self.settings)

  def keys(self, key, name: str, ids):
    """A phase's keys: one a pair, or one key for all if noise is shared."""
    key = stream(key, name)
    return fold(key, ids) if self.axes[2] == 0 else key

  def by_pair(self, batch: Batch) -> Batch:
    """A step's minibatches [K, ...]; where they are apart [N, K / N, ...]."""
    if not self.apart:
      return batch
    cut = lambda x: x.reshape(self.settings.pairs, -1, *x.shape[1:])
    return jax.tree.map(cut, batch)

  def phases(self, batch: Batch) -> tuple[Batch, Batch, Batch]:
    """A step's minibatches for locals, messengers and D_0.

    Args:
      batch: as `by_pair` gives it; a pair's own ones in the order of the
        phases.

    Returns:
      [n, I_D, ...], [n, I_D, ...] and [n, ...] where every pair has its own,
      without n where they are shared. Without messengers the second are the
      first: G_0's update meets the local discriminators on what they have
      learned from.
    """
    count, last = self.d_steps, -1
    cut = lambda *where: jax.tree.map(lambda x: x[where], batch)
    if not self.apart:
      return cut(slice(count)), cut(slice(count)), cut(last)
    every = slice(None)
    local = cut(every, slice(count))
    own = cut(every, slice(count, 2 * count))
    return local, own if self.settings.messengers else local, cut(every, last)

  def last(self, batch: Batch) -> Batch:
    """Of a phase's minibatches the last of each pair, [n, ...]."""
    where = (slice(None), -1) if self.apart else (-1,)
    return jax.tree.map(lambda x: x[where], batch)

  def together(self, batch: Batch) -> Batch:
    """A minibatch of each pair as a single one, for terms alone with it."""
    if not self.apart:
      return batch
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)


def round_of(batch: Batch, k, now: Round, key, images=0) -> Round:
  """The round of an update on a pair's minibatches.

  Args:
    batch: of one pair.
    k: which of them, or ... if there is one.
    now: the step's.
    key: of the update.
    images: shown to the pair since the step began.
  """
  return now._replace(
    real=batch.image[k], labels=batch.label[k], key=key, at=now.at.later(images)
  )
