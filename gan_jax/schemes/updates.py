"""What every scheme does with terms: G's gradient, and updates after the main.

Where a player has no terms nothing of this is in the compiled step.
"""

import jax
import jax.numpy as jnp

from gan_jax import terms
from gan_jax.passes import Round
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


def after_d(
  game, optimizers, d: Player, g: Player, made, now: Round, meet=lambda x: x
):
  """D once its terms with updates of their own have had them.

  Args:
    game: the game.
    optimizers: the update rules of G and D.
    d: after the step's last update.
    g: its opponent.
    made: what that made last.
    now: the round of the last update.
    meet: what devices with other samples make together of a tree.

  Returns:
    D and metrics.
  """
  return terms.after(
    game.of('d', 'after'),
    d,
    lambda params, stats: game.d_view(params, stats, g, made, None, now),
    lambda player, gradient, stats, name: optimizers.d.update(
      player, gradient, stats, now.at, name
    ),
    now.at,
    meet,
  )


def after_g(
  game, optimizers, g: Player, d: Player, made, now: Round, meet=lambda x: x
):
  """G once its terms with updates of their own have had them; see `after_d`."""
  return terms.after(
    game.of('g', 'after'),
    g,
    lambda params, stats: game.g_view(params, stats, d, made, None, now),
    lambda player, gradient, stats, name: optimizers.g.update(
      player, gradient, stats, now.at, name
    ),
    now.at,
    meet,
  )
