"""The running average of a generator."""

import jax
import jax.numpy as jnp

from gan_jax.settings import Setting
from gan_jax.state import Average, Player

SETTINGS = {
  'name': Setting(
    'half_life',
    'how the average of G forgets: by images, by steps; none: there is none',
    choices=('half_life', 'decay', 'none'),
  ),
  'half_life': Setting(
    10_000.0,
    'real images after which a state counts half',
    low=1.0,
    when={'name': ('half_life',)},
  ),
  'ramp_up': Setting(
    0.05,
    'the half-life is at most this share of the images so far; 0.0: no limit',
    low=0.0,
    when={'name': ('half_life',)},
  ),
  'decay': Setting(
    0.999,
    'weight of the old average a step',
    low=0.0,
    below=1.0,
    when={'name': ('decay',)},
  ),
}


def start(player: Player) -> Average:
  """The average at step 0: a copy of the network.

  A copy in memory too: a donated state must not hold one buffer twice.
  """
  return jax.tree.map(jnp.copy, Average(player.params, player.stats))


def decay(section, images_per_step: int, step) -> jax.Array:
  """The weight of the old average at a step.

  Args:
    section: `config.ema`. With name 'half_life' the weight is such that an
      image's influence has halved `half_life` images later; early on the
      half-life is at most `ramp_up` times the images so far, so that the
      start of training is soon forgotten (as in StyleGAN2's released code).
      With 'decay' it is the number given, as in ProGAN and FastGAN.
    images_per_step: real images that one step uses up.
    step: int32 scalar, steps taken before this one.

  Returns:
    A float32 scalar in [0, 1).
  """
  if section.name == 'decay':
    return jnp.float32(section.decay)
  images = (step.astype(jnp.float32) + 1.0) * images_per_step
  half_life = section.half_life
  if section.ramp_up:
    half_life = jnp.minimum(half_life, section.ramp_up * images)
  return 0.5 ** (images_per_step / half_life)


def update(average: Average, player: Player, weight) -> Average:
  """Weight * average + (1 - weight) * player, leaf by leaf."""
  mix = lambda old, new: new + weight * (old - new)
  return jax.tree.map(mix, average, Average(player.params, player.stats))
