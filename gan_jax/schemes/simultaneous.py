"""Simultaneous training: both gradients at the same point, one pass of each.

G and D pass forward once; D is pulled back twice, with its own cotangent for
its parameters and with G's for the fake samples. Exact for any discriminator,
those that mix the samples of a batch included, for a backward pass of D more
than one_stage needs. Mescheder et al. 2017 call the update simultaneous
gradient descent; ProGAN's CIFAR-10 run uses it.
"""

import jax
import jax.numpy as jnp

from gan_jax.schemes import joint
from gan_jax.schemes.joint import draws

__all__ = ['check', 'draws', 'gradients', 'make_step']


def check(settings, loss, discriminator) -> None:
  """Takes every loss and discriminator, with one update of D a step."""
  del loss, discriminator
  joint.check_steps(settings)


def make_step(objective, optimizers, settings):
  """See `joint.make_step`; nothing in `settings` concerns this scheme."""
  del settings
  return joint.make_step(objective, optimizers, gradients)


def gradients(objective, d, real, fake, labels, key):
  """D's gradient, G's at the fake samples, D's new stats, metrics."""

  def logits(params, fake):
    judgements, stats = objective.judge_both(
      params, d.stats, real, fake, labels
    )
    return tuple(j.logits for j in judgements), stats

  (r, s), pull_back, stats = jax.vjp(logits, d.params, fake, has_aux=True)
  d_to_r, d_to_s, g_to_s, direct, metrics = joint.cotangents(
    objective, d, stats, real, fake, r, s, labels, key
  )
  d_gradient, _ = pull_back((d_to_r, d_to_s))
  _, fake_gradient = pull_back((jnp.zeros_like(r), g_to_s))
  d_gradient = jax.tree.map(jnp.add, d_gradient, direct)
  return d_gradient, fake_gradient, objective.advance(stats, r, s), metrics
