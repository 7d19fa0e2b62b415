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
from gan_jax.schemes.joint import d_steps, draws

__all__ = ['check', 'd_steps', 'draws', 'gradients', 'make_step']


def check(settings, loss, discriminator, terms) -> None:
  """Takes every loss, discriminator and term, with one update of D a step."""
  del loss, discriminator, terms
  joint.check_steps(settings)


def make_step(objective, optimizers, settings):
  """See `joint.make_step`; nothing in `settings` concerns this scheme."""
  del settings
  return joint.make_step(objective, optimizers, gradients)


def gradients(objective, pair, g_stats, made, now):
  """Both gradients of a step; see `joint.make_step`."""
  d = pair.d

  def passes(params, made):
    judged, stats = objective.judge_both(params, d.stats, made, now)
    seen = judged._replace(on_real=None, on_fake=None)
    return (judged.on_real, judged.on_fake), (seen, stats)

  both, pull_back, (seen, stats) = jax.vjp(passes, d.params, made, has_aux=True)
  judged = seen._replace(on_real=both[0], on_fake=both[1])
  d_direct, on_both, (d_stats, metrics) = joint.d_cotangents(
    objective, pair, stats, made, judged, now
  )
  on_fake, (g_direct, at_made), (g_stats, more) = joint.g_cotangents(
    objective, pair, g_stats, made, judged, now
  )
  d_gradient, _ = pull_back(on_both)
  nothing = jax.tree.map(jnp.zeros_like, both[0])
  _, made_gradient = pull_back((nothing, on_fake))
  return (
    (joint.add(d_gradient, d_direct), d_stats),
    (joint.add(made_gradient, at_made), g_direct, g_stats),
    metrics | more,
  )
