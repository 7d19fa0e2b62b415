"""Messengers: what G_0 meets in place of the local discriminators (SGAN).

Chavdarova and Fleuret 2018, Algorithm 1: in every step each local discriminator
D_n is cloned, and the clone M_n, its messenger, learns from the global
generator G_0, so that D_n itself never hears of it. What M_n has learned is
forgotten with the step. G_0 then finds what all D_n like, and since nobody
remembers it, nobody objects to it a second time: it ends in one mode.

`config.ensemble.memory`, m, is this project's own addition, not the paper's: a
messenger keeps a share of what sets it apart from its discriminator,

  M_n <- D_n + m (M_n - D_n as both were when the last step ended),

and has an optimiser of its own, which goes on from step to step. D_n does not
change by it, so nothing flows from the global pair to the local ones. m = 0 is
Algorithm 1. What is carried from step to step, `TrainState.messengers`, is a
stacked Player whose params are the differences M_n - D_n.

A messenger that remembers also keeps its statistics, and its terms' state: they
were made by its own weights on what it has met, G_0's samples among it, and the
vectors of spectral norm, half an iteration a pass, belong to its own kernels.
Those of D_n would be of other weights; batch norm's running ones play no part
in training either way.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.optimizer import Optimizer
from gan_jax.schemes import updates
from gan_jax.schemes.dealing import round_of
from gan_jax.state import Player, stream


class Messengers(NamedTuple):
  """Steps 2 and 3 of Algorithm 1, for n pairs at once, stacked [n, ...].

  Attributes:
    objective: the game.
    rule: D's update rule.
    settings: `config.ensemble`.
    axes: see `dealing.Dealing`.
    d_steps: I_D, updates of a messenger a step.
  """

  objective: Any
  rule: Optimizer
  settings: Any
  axes: tuple
  d_steps: int

  def first(self, critics: Player) -> Player | None:
    """What they remember before the first step; None if they never do."""
    if not (self.settings.messengers and self.settings.memory):
      return None
    nothing = jax.tree.map(jnp.zeros_like, critics.params)
    return self.fresh(critics).replace(params=nothing)

  def fresh(self, critics: Player) -> Player:
    """The same players with optimisers that have seen nothing."""
    return critics.replace(opt=jax.vmap(self.rule.init)(critics.params))

  def clones(self, critics: Player, kept: Player | None) -> Player:
    """Step 2: the messengers as a step begins.

    Args:
      critics: the local discriminators.
      kept: what they remember, see `first`.
    """
    if kept is not None:
      share = self.settings.memory
      add = lambda d, apart: d + share * apart
      return kept.replace(params=jax.tree.map(add, critics.params, kept.params))
    if self.settings.messenger_opt == 'copied':
      return critics
    return self.fresh(critics)

  def learn(self, g: Player, messengers: Player, batch, keys, now) -> Player:
    """Step 3: each messenger against G_0, which stays as it is."""
    game = self.objective

    def one(d, batch, key):
      size = batch.image.shape[1]
      for k in range(self.d_steps):
        now_k = round_of(batch, k, now, stream(key, f'{k}'), k * size)
        made, _ = updates.new_samples(game, g.params, g.stats, now_k)
        gradient, (stats, _) = jax.grad(game.d_loss, has_aux=True)(
          d.params, d.stats, g, made, now_k
        )
        d = self.rule.update(d, gradient, stats, now_k.at)
      return updates.after(game, 'd', self.rule, d, g, made, now_k)[0]

    return jax.vmap(one, self.axes)(messengers, batch, keys)

  def remembered(self, messengers: Player, critics: Player, kept):
    """What they remember of a step, at its end; None if they never do."""
    if kept is None:
      return None
    apart = jax.tree.map(jnp.subtract, messengers.params, critics.params)
    return messengers.replace(params=apart)
