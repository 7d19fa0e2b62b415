"""Two-stage training: D's updates first, then G's, against the new D.

Goodfellow et al. 2014, Algorithm 1.
"""

import jax

from gan_jax.objective import Objective
from gan_jax.optimizer import Optimizers
from gan_jax.passes import Round
from gan_jax.schemes import updates
from gan_jax.settings import Setting
from gan_jax.state import Pair, stream

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


def make_step(objective: Objective, optimizers: Optimizers, settings):
  """A training step of one pair.

  Args:
    objective: the game.
    optimizers: the update rules of G and D.
    settings: with `d_steps`, updates of D before each of G, and `fakes`:
      'fresh' draws new latent vectors for G's update; 'shared' lets it answer
      for the very samples D has just learned from, which saves a pass of G.

  Returns:
    step(pair, batch, at, key, constants) -> (pair, metrics), pure; batch is a
    `data.Batch` of `draws(settings)` minibatches.
  """
  game = objective

  def step(pair: Pair, batch, at, key, constants):
    g, d = pair.g, pair.d
    size = batch.image.shape[1]
    for k in range(settings.d_steps):
      now = Round(
        batch.image[k],
        batch.label[k],
        at.later(k * size),
        stream(key, f'd{k}'),
        constants,
      )
      z = game.latents(now.key, size)
      made, pull_back, g_stats = game.fakes(g, z, now)
      gradient, (d_stats, metrics) = jax.grad(game.d_loss, has_aux=True)(
        d.params, d.stats, g, made, now
      )
      d = optimizers.d.update(d, gradient, d_stats, now.at)
    now = now._replace(at=at)
    d, more = updates.after(game, 'd', optimizers.d, d, g, made, now)
    metrics |= more

    if settings.fakes == 'fresh':
      now = now._replace(key=stream(key, 'g'))
      z = game.latents(now.key, size)
      made, pull_back, g_stats = game.fakes(g, z, now)
    gradient, (g_stats, more) = updates.g_gradient(
      game,
      g,
      pull_back,
      lambda params, made: game.g_loss(params, g_stats, d, made, now),
      made,
    )
    metrics |= more
    g = optimizers.g.update(g, gradient, g_stats, at)
    g, more = updates.after(game, 'g', optimizers.g, g, d, made, now)
    return Pair(g, d), metrics | more

  return step
