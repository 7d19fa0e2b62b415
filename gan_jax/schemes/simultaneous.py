"""Simultaneous training: both gradients at the same point, one pass of each.

G and D pass forward once; D is pulled back twice, with its own cotangent for
its parameters and with G's for the fake samples. Exact for any discriminator,
those that mix the samples of a batch included, for a second backward pass of D,
over the fakes and without gradients of its parameters, which one_stage does
without where D gives a score a sample. Mescheder et al. 2017 call the update
simultaneous gradient descent; ProGAN's CIFAR-10 run uses it.
"""

from gan_jax.schemes import joint
from gan_jax.schemes.joint import d_steps, draws

__all__ = ['check', 'd_steps', 'draws', 'gradients', 'make_step']


def check(settings, loss, discriminator, terms) -> None:
  """Takes every loss, discriminator and term, with one update of D a step."""
  del loss, discriminator, terms
  joint.check_steps(settings)


def make_step(objective, optimizers, settings, parts: int = 1):
  """See `joint.make_step`; nothing in `settings` concerns this scheme."""
  del settings
  return joint.make_step(objective, optimizers, gradients, parts)


def gradients(objective, pair, g_stats, made, now):
  """Both gradients of a step; see `joint.make_step`."""
  found = joint.cotangents(objective, pair, g_stats, made, now)
  return found.gradients(*found.pulled_twice())
