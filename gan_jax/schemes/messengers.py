"""Messengers: what G_0 meets in place of the local discriminators (SGAN).

Chavdarova and Fleuret 2018, Algorithm 1: in every step each local discriminator
D_n is cloned, and the clone M_n, its messenger, learns from the global
generator G_0, so that D_n itself never hears of it. What M_n has learned is
forgotten with the step. G_0 then finds what all D_n like, and since nobody
remembers it, nobody objects to it a second time: it ends in one mode.

`config.ensemble.memory`, m, is this project's own addition, not the paper's: a
messenger begins a step as a share of itself, as the last step left it, and of
its discriminator as it is now,

  M_n <- m M_n + (1 - m) D_n,

and has an optimiser of its own, which goes on from step to step. D_n does not
change by it, so nothing flows from the global pair to the local ones. m = 0 is
Algorithm 1; with m = 1 messengers are discriminators of G_0 that only began as
the local ones. Following D_n in full, M_n <- D_n + m (M_n - D_n of the last
step), was worse: what D_n learns of its own generator moves M_n by as much in a
step as M_n itself learns of G_0 (docs/results.md).

A messenger that remembers also keeps its statistics, and its terms' state: they
were made by its own weights on what it has met, G_0's samples among it, and the
vectors of spectral norm, half an iteration a pass, belong to its own kernels.
Those of D_n would be of other weights; batch norm's running ones play no part
in training either way.
"""

import functools
from typing import Any, NamedTuple

import jax

from gan_jax.optimizer import Optimizer
from gan_jax.schemes import accumulation, updates
from gan_jax.schemes.dealing import round_of
from gan_jax.schemes.groups import Groups
from gan_jax.state import Player, stream


class Messengers(NamedTuple):
  """Steps 2 and 3 of Algorithm 1, for n pairs at once, stacked [n, ...].

  Attributes:
    objective: the game.
    rule: D's update rule.
    settings: `config.ensemble`.
    groups: how pairs are worked on.
    d_steps: I_D, updates of a messenger a step.
    parts: of a minibatch, see accumulation.py.
  """

  objective: Any
  rule: Optimizer
  settings: Any
  groups: Groups
  d_steps: int
  parts: int = 1

  def first(self, critics: Player) -> Player | None:
    """Those that remember, before the first step; None if they never do."""
    return self.fresh(critics) if self.settings.memory else None

  def fresh(self, critics: Player) -> Player:
    """The same players with optimisers that have seen nothing."""
    return critics.replace(opt=jax.vmap(self.rule.init)(critics.params))

  def clones(self, critics: Player, kept: Player | None) -> Player:
    """Step 2: the messengers as a step begins.

    Args:
      critics: the local discriminators.
      kept: messengers that remember, as the last step left them, or None.
    """
    if kept is not None:
      m = self.settings.memory
      mixed = lambda own, d: m * own + (1 - m) * d
      params = jax.tree.map(mixed, kept.params, critics.params)
      return kept.replace(params=params)
    if self.settings.messenger_opt == 'copied':
      return critics
    return self.fresh(critics)

  def learn(self, g: Player, messengers: Player, batch, keys, now) -> Player:
    """Step 3: each messenger against G_0, which stays as it is."""
    game = self.objective

    def of(d):
      def part(stats, now, z):
        made, _ = game.generate(g.params, g.stats, z, now)
        gradient, (stats, _) = jax.grad(game.d_loss, has_aux=True)(
          d.params, stats, g, made, now
        )
        return gradient, stats, {}

      return part

    def one(d, batch, key):
      size, last = batch.image.shape[1], self.d_steps - 1
      keys = [stream(key, f'{k}') for k in range(self.d_steps)]

      def learn(d, batch, key, k):
        now_k = round_of(batch, ..., now, key, k * size)
        z = game.latents(key, size)
        gradient, stats, _ = accumulation.of_round(
          self.parts, of(d), d.params, d.stats, now_k, z
        )
        return self.rule.update(d, gradient, stats, now_k.at), {}

      d, _ = updates.repeated(learn, d, batch, keys)
      now_k = round_of(batch, last, now, keys[last], last * size)
      late = functools.partial(updates.after, parts=self.parts)
      return late(game, 'd', self.rule, d, g, now_k)[0]

    return self.groups.map(one)(messengers, batch, keys)
