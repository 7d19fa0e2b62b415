"""What every scheme does with terms: G's gradient, and updates after the main.

Where a player has no terms nothing of this is in the compiled step.
"""

import jax
import jax.numpy as jnp

from gan_jax import terms
from gan_jax.passes import Round
from gan_jax.state import Player


def new_samples(game, params, stats, now: Round):
  """A generator's training pass on fresh latent vectors.

  Args:
    game: the game.
    params: G's.
    stats: G's.
    now: the round; as many samples as it has labels.

  Returns:
    What G made, and its new stats.
  """
  return game.generate(
    params, stats, game.latents(now.key, len(now.labels)), now
  )


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
  game, role: str, rule, player: Player, opponent, made, now: Round, meet=None
):
  """A player once its terms with updates of their own have had them.

  Args:
    game: the game.
    role: 'g' or 'd', the player's.
    rule: of its updates.
    player: after the step's last update.
    opponent: the other player.
    made: what G made last.
    now: the round of the last update.
    meet: what devices with other samples make together of a tree; None: as it
      is.

  Returns:
    The player and metrics.
  """

  def view_of(params, stats):
    view = game.d_view if role == 'd' else game.g_view
    return view(params, stats, opponent, made, None, now)

  return terms.after(
    game.of(role, 'after'),
    player,
    view_of,
    lambda player, gradient, stats, name: rule.update(
      player, gradient, stats, now.at, name
    ),
    now.at,
    meet or (lambda tree: tree),
  )
