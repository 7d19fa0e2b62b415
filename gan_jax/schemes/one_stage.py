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
from gan_jax.networks.judgement import per_sample
from gan_jax.schemes import joint
from gan_jax.schemes.joint import d_steps, draws

__all__ = ['FLOOR', 'check', 'd_steps', 'draws', 'gradients_of', 'make_step']

log = logging.getLogger('gan_jax')

# Where |dL_D / ds_i| is smaller than this share of 1 / N, it is taken to be
# this large: hinge gives exact zeros, the non-saturating loss underflows.
FLOOR = 1e-8


def check(settings, loss, discriminator, terms) -> None:
  """Refuses what one stage cannot train.

  Raises:
    UserError: if gamma does not exist for this loss, discriminator and terms.
  """
  joint.check_steps(settings)
  for name, term in terms.items():
    more = term.reads & {'features_fake', 'classes_fake'}
    if more:
      what = 'features' if 'features_fake' in more else 'class logits'
      raise UserError(
        "config.scheme.name = 'one_stage' cannot train the term"
        f" {term.path or name}: it reads D's {what} of the fakes, and G learns"
        " from D's gradient at its scores alone. Set"
        " config.scheme.name = 'simultaneous', or the"
        ' weight of that term to 0.0.'
      )
  if discriminator.per_sample:
    return
  if not symmetric(loss, terms):
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
  gradients = gradients_of(objective.loss, objective.terms)
  return joint.make_step(objective, optimizers, gradients)


def symmetric(loss, terms) -> bool:
  """Whether gamma is -1 for every sample.

  A term that looks at D's passes over the fakes adds to one player's derivative
  and not to the other's; G's terms count as such without being asked.
  """
  with_main = [term for term in terms.values() if term.phase == 'with']
  return loss.symmetric and not any(
    'scores_fake' in term.reads or term.player == 'g' for term in with_main
  )


def gradients_of(loss, terms):
  """The function of a game for `joint.make_step`'s `gradients`."""
  return symmetric_gradients if symmetric(loss, terms) else asymmetric_gradients


def symmetric_gradients(objective, pair, g_stats, made, now):
  """Both gradients of a step (section 3.1.2); see `joint.make_step`."""
  g, d = pair.g, pair.d
  gradient = jax.grad(objective.d_loss, argnums=(0, 3), has_aux=True)
  (d_gradient, at_made), (d_stats, metrics) = gradient(
    d.params, d.stats, g, made, now
  )
  at_made = jax.tree.map(jnp.negative, at_made)
  return (d_gradient, d_stats), (at_made, None, g_stats), metrics


def asymmetric_gradients(objective, pair, g_stats, made, now):
  """The same for any loss (section 3.1.3).

  The paper divides D's loss by 1 - gamma (eq. 9), which is zero for BGAN at a
  score of 0.659, and takes gamma to be negative, which it is not for LSGAN
  and BGAN. Here D is pulled back once with its own cotangent dL_D / ds, never
  smaller than the floor, and nothing is divided by 1 - gamma. Scores of
  patches [N, P] count by their mean: gamma is one number a sample.
  """
  d = pair.d

  def passes(params, made):
    judged, stats = objective.judge_both(params, d.stats, made, now)
    both = tuple(
      on._replace(logits=per_sample(on.logits))
      for on in (judged.on_real, judged.on_fake)
    )
    return both, (judged._replace(on_real=None, on_fake=None), stats)

  both, pull_back, (seen, stats) = jax.vjp(passes, d.params, made, has_aux=True)
  judged = seen._replace(on_real=both[0], on_fake=both[1])
  d_direct, (on_real, on_fake), (d_stats, metrics) = joint.d_cotangents(
    objective, pair, stats, made, judged, now
  )
  to_g, (g_direct, at_made), (g_stats, more) = joint.g_cotangents(
    objective, pair, g_stats, made, judged, now
  )
  d_to_s, g_to_s = on_fake.logits, to_g.logits
  low = jnp.abs(d_to_s) < FLOOR / len(d_to_s)
  d_to_s = jnp.where(low, jnp.copysign(FLOOR / len(d_to_s), d_to_s), d_to_s)
  gamma = g_to_s / d_to_s  # eq. 7

  d_gradient, made_gradient = pull_back(
    (on_real, on_fake._replace(logits=d_to_s))
  )
  scale = lambda x: x * gamma.reshape((-1,) + (1,) * (x.ndim - 1))
  made_gradient = jax.tree.map(scale, made_gradient)
  metrics |= more | {
    'gamma': jnp.mean(gamma),
    'gamma_min': jnp.min(gamma),
    'gamma_max': jnp.max(gamma),
    'gamma_floored': jnp.mean(low),
  }
  return (
    (joint.add(d_gradient, d_direct), d_stats),
    (joint.add(made_gradient, at_made), g_direct, g_stats),
    metrics,
  )
