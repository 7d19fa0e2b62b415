"""What every scheme does with terms: G's gradient, and updates after the main.

Where a player has no terms nothing of this is in the compiled step.
"""

import functools

import jax
import jax.numpy as jnp

from gan_jax import terms
from gan_jax.passes import Round
from gan_jax.schemes import accumulation
from gan_jax.state import Player


def g_gradient(game, g: Player, pull_back, loss, made):
  """G's gradient: through what it made, and from terms that have it pass.

  Args:
    game: the game.
    g: G before the update.
    pull_back: of the pass that made `made`, see `passes.fakes`.
    loss: (params of G, made) -> (loss, aux).
    made: what G made.

  Returns:
    The gradient of G's parameters, and aux.
  """
  if not game.of('g'):
    gradient, aux = jax.grad(loss, 1, has_aux=True)(g.params, made)
    return pull_back(gradient)[0], aux
  (direct, gradient), aux = jax.grad(loss, (0, 1), has_aux=True)(g.params, made)
  return jax.tree.map(jnp.add, pull_back(gradient)[0], direct), aux


def after(
  game,
  role: str,
  rule,
  player: Player,
  opponent,
  now: Round,
  meet=None,
  parts: int = 1,
):
  """A player once its terms with updates of their own have had them.

  Args:
    game: the game.
    role: 'g' or 'd', the player's.
    rule: of its updates.
    player: after the step's last update.
    opponent: the other player.
    now: the round of the last update.
    meet: what devices with other samples make together of a tree; None: as it
      is.
    parts: of a minibatch, see accumulation.py.

  Returns:
    The player and metrics.
  """

  def view_of(params, stats, now):
    view = game.d_view if role == 'd' else game.g_view
    return view(params, stats, opponent, None, None, now)

  return terms.after(
    game.of(role, 'after'),
    player,
    view_of,
    lambda player, gradient, stats, name: rule.update(
      player, gradient, stats, now.at, name
    ),
    now,
    functools.partial(accumulation.of_round, parts),
    meet or (lambda tree: tree),
  )
