"""Two-stage training: D's updates first, then G's, against the new D.

Goodfellow et al. 2014, Algorithm 1.
"""

import functools

import jax

from gan_jax.objective import Objective
from gan_jax.optimizer import Optimizers
from gan_jax.passes import Round
from gan_jax.schemes import accumulation, updates
from gan_jax.settings import Setting
from gan_jax.state import Pair, Player, stream

SETTINGS = {
  'd_steps': Setting(1, 'updates of D before each of G (I_D)', low=1, high=100),
  'fakes': Setting(
    'fresh',
    'G answers for new fakes, or for the very ones that D has just learned'
    ' from, which saves a pass of G',
    choices=('fresh', 'shared'),
  ),
}


def d_steps(settings) -> int:
  """Updates of D before each of G."""
  return settings.d_steps


def draws(settings) -> int:
  """Real minibatches that one step uses up."""
  return settings.d_steps


def check(settings, loss, discriminator, terms) -> None:
  """Two stages take every loss, every discriminator and every term."""


def make_step(
  objective: Objective, optimizers: Optimizers, settings, parts: int = 1
):
  """A training step of one pair.

  Args:
    objective: the game.
    optimizers: the update rules of G and D.
    settings: with `d_steps`, updates of D before each of G, and `fakes`:
      'fresh' draws new latent vectors for G's update; 'shared' lets it answer
      for the very samples D has just learned from, which saves a pass of G.
    parts: of a minibatch, see accumulation.py; 1 with shared fakes.

  Returns:
    step(pair, batch, at, key, constants) -> (pair, metrics), pure; batch is a
    `data.Batch` of `draws(settings)` minibatches.
  """
  game, shared = objective, settings.fakes == 'shared'
  in_parts = functools.partial(accumulation.of_round, parts)
  late = functools.partial(updates.after, game, parts=parts)

  def step(pair: Pair, batch, at, key, constants):
    g, d, passed = pair.g, pair.d, None
    size, count = batch.image.shape[1], settings.d_steps
    keys = [stream(key, f'd{k}') for k in range(count)]

    def learn(d, batch, key, k, passed=None):
      now = Round(batch.image, batch.label, at.later(k * size), key, constants)
      z = None if passed else game.latents(key, size)
      part = _of_d(game, g, d, passed)
      gradient, stats, metrics = in_parts(part, d.params, d.stats, now, z)
      return optimizers.d.update(d, gradient, stats, now.at), metrics

    d, metrics = updates.repeated(learn, d, batch, keys[: count - shared])
    last = jax.tree.map(lambda x: x[count - 1], batch)
    now = Round(last.image, last.label, at, keys[-1], constants)
    if shared:
      passed = game.fakes(g, game.latents(now.key, size), now)
      d, metrics = learn(d, last, now.key, count - 1, passed)
    d, more = late('d', optimizers.d, d, g, now)
    metrics |= more

    if not shared:
      now = now._replace(key=stream(key, 'g'))
    z = None if shared else game.latents(now.key, size)
    part = _of_g(game, g, d, passed)
    gradient, stats, more = in_parts(part, g.params, g.stats, now, z)
    metrics |= more
    g = optimizers.g.update(g, gradient, stats, at)
    g, more = late('g', optimizers.g, g, d, now)
    return Pair(g, d), metrics | more

  return step


def _of_d(game: Objective, g: Player, d: Player, passed):
  """D's gradient on a part of a minibatch; see `accumulation.of_round`.

  Args:
    game: the game.
    g: G, whose fakes D learns from.
    d: D before the update.
    passed: of `game.fakes` where they are made already, or None.
  """

  def part(stats, now, z):
    made = passed[0] if passed else game.fakes(g, z, now)[0]
    gradient, (stats, metrics) = jax.grad(game.d_loss, has_aux=True)(
      d.params, stats, g, made, now
    )
    return gradient, stats, metrics

  return part


def _of_g(game: Objective, g: Player, d: Player, passed):
  """G's gradient on a part of a minibatch, against D; args as of `_of_d`."""

  def part(stats, now, z):
    made, pull_back, g_stats = passed or game.fakes(
      g.replace(stats=stats), z, now
    )
    loss = lambda params, made: game.g_loss(params, g_stats, d, made, now)
    gradient, (g_stats, metrics) = updates.g_gradient(
      game, g, pull_back, loss, made
    )
    return gradient, g_stats, metrics

  return part
