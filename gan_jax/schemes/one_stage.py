"""One-stage training: G and D updated from one pass of each (OSGAN).

Shen et al. 2021, Algorithm 1. With s_i the score of fake sample i, D's
gradient and G's gradient at that sample are the same but for a factor,

  gamma_i = (dL_G / ds_i) / (dL_D / ds_i),                             (eq. 7)

so that G learns from D's backward pass, each image's gradient scaled by its
gamma. That holds where a score depends on its own sample only; where gamma is
-1 for every sample (symmetric losses) it holds for any D.
"""

import logging

import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.objective import per_sample
from gan_jax.schemes import joint
from gan_jax.schemes.joint import draws

__all__ = ['FLOOR', 'check', 'draws', 'gradients_of', 'make_step']

log = logging.getLogger('gan_jax')

# Where |dL_D / ds_i| is smaller than this share of 1 / N, it is taken to be
# this large: hinge gives exact zeros, the non-saturating loss underflows.
FLOOR = 1e-8


def check(settings, loss, discriminator) -> None:
  """Refuses what one stage cannot train.

  Raises:
    UserError: if gamma does not exist for this loss and discriminator.
  """
  joint.check_steps(settings)
  if discriminator.per_sample:
    return
  if not loss.symmetric:
    raise UserError(
      "config.scheme.name = 'one_stage' with this loss needs a discriminator"
      ' that judges each sample by itself, and this one mixes the samples of'
      " a batch: set config.discriminator.norm = 'group', or"
      " config.scheme.name = 'simultaneous'."
    )
  log.warning(
    'The discriminator mixes the samples of a batch: one_stage is exact with'
    ' it because gamma is always -1 for this loss.'
  )


def make_step(objective, optimizers, settings):
  """See `joint.make_step`; nothing in `settings` concerns this scheme."""
  del settings
  return joint.make_step(objective, optimizers, gradients_of(objective.loss))


def gradients_of(loss):
  """The function of a loss for `joint.make_step`'s `gradients`."""
  return symmetric_gradients if loss.symmetric else asymmetric_gradients


def symmetric_gradients(objective, d, real, fake, labels, key):
  """D's gradient, G's at the fakes, D's stats, metrics (section 3.1.2)."""
  gradient = jax.grad(objective.d_loss, argnums=(0, 3), has_aux=True)
  (d_gradient, fake_gradient), (stats, metrics) = gradient(
    d.params, d.stats, real, fake, labels, key
  )
  return d_gradient, -fake_gradient, stats, metrics


def asymmetric_gradients(objective, d, real, fake, labels, key):
  """The same for any loss (section 3.1.3).

  The paper divides D's loss by 1 - gamma (eq. 9), which is zero for BGAN at a
  score of 0.659, and takes gamma to be negative, which it is not for LSGAN
  and BGAN. Here D is pulled back once with its own cotangent dL_D / ds, never
  smaller than the floor, and nothing is divided by 1 - gamma. Scores of
  patches [N, P] count by their mean: gamma is one number a sample.
  """

  def scores(params, fake):
    judgements, stats = objective.judge_both(
      params, d.stats, real, fake, labels
    )
    return tuple(per_sample(j.logits) for j in judgements), stats

  (r, s), pull_back, stats = jax.vjp(scores, d.params, fake, has_aux=True)
  d_to_r, d_to_s, g_to_s, direct, metrics = joint.cotangents(
    objective, d, stats, real, fake, r, s, labels, key
  )
  low = jnp.abs(d_to_s) < FLOOR / len(s)
  d_to_s = jnp.where(low, jnp.copysign(FLOOR / len(s), d_to_s), d_to_s)
  gamma = g_to_s / d_to_s  # eq. 7

  d_gradient, fake_gradient = pull_back((d_to_r, d_to_s))
  d_gradient = jax.tree.map(jnp.add, d_gradient, direct)
  fake_gradient *= gamma.reshape((-1,) + (1,) * (fake.ndim - 1))
  metrics |= {
    'gamma': jnp.mean(gamma),
    'gamma_min': jnp.min(gamma),
    'gamma_max': jnp.max(gamma),
    'gamma_floored': jnp.mean(low),
  }
  return d_gradient, fake_gradient, objective.advance(stats, r, s), metrics
