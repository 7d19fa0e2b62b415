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


def repeated(learn, d: Player, batch, keys):
  """Updates of D one after the other, each on a minibatch of its own.

  Several are a loop. Five of sgan_toy's, on a CPU, then compile in 10 s of its
  time for 15 and take 39 MB for 121, two in 8 s for 11 and 39 MB for 63; a step
  takes as long. Written out one behind the other the numbers are the same, but
  where the compiler puts operations together otherwise.

  Args:
    learn: (D, its batch, key, how many came before) -> D, metrics.
    d: before them.
    batch: of as many minibatches as there are keys, or more.
    keys: one for each update; none for no update.

  Returns:
    D and the last update's metrics.
  """
  count, metrics = len(keys), {}
  if count == 1:
    return learn(d, jax.tree.map(lambda x: x[0], batch), keys[0], 0)
  if not count:
    return d, metrics
  batches = jax.tree.map(lambda x: x[:count], batch)
  given = batches, jnp.stack(keys), jnp.arange(count)
  d, metrics = jax.lax.scan(lambda d, given: learn(d, *given), d, given)
  return d, jax.tree.map(lambda x: x[-1], metrics)


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
