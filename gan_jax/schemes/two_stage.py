"""Two-stage training: D's updates first, then G's, against the new D.

Goodfellow et al. 2014, Algorithm 1.
"""

import jax

from gan_jax.objective import Objective
from gan_jax.optimizer import Optimizers
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


def draws(settings) -> int:
  """Real minibatches that one step uses up."""
  return settings.d_steps


def check(settings, loss, discriminator) -> None:
  """Two stages take every loss and every discriminator."""


def make_step(objective: Objective, optimizers: Optimizers, settings):
  """A training step of one pair.

  Args:
    objective: the game.
    optimizers: the update rules of G and D.
    settings: with `d_steps`, updates of D before each of G, and `fakes`:
      'fresh' draws new latent vectors for G's update; 'shared' lets it answer
      for the very samples D has just learned from, which saves a pass of G.

  Returns:
    step(pair, batch, key) -> (pair, metrics), pure; batch is a
    `data.Batch` of `draws(settings)` minibatches.
  """

  def step(pair: Pair, batch, key):
    g, d = pair.g, pair.d
    for k in range(settings.d_steps):
      real, labels = batch.image[k], batch.label[k]
      key_d = stream(key, f'd{k}')
      z = objective.latents(key_d, len(real))
      fake, pull_back, g_stats = objective.fakes(g, z, labels, key_d)
      gradient, (d_stats, metrics) = jax.grad(objective.d_loss, has_aux=True)(
        d.params, d.stats, real, fake, labels, key_d
      )
      d = optimizers.d.update(d, gradient, d_stats)

    if settings.fakes == 'fresh':
      key_g = stream(key, 'g')
      z = objective.latents(key_g, len(real))
      fake, pull_back, g_stats = objective.fakes(g, z, labels, key_g)
    gradient, g_metrics = jax.grad(objective.g_loss, has_aux=True)(
      fake, d.params, d.stats, real, labels
    )
    g = optimizers.g.update(g, *pull_back(gradient), g_stats)
    return Pair(g, d), metrics | g_metrics

  return step
