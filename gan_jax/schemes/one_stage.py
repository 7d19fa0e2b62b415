"""One-stage training: G and D updated from one pass of each (OSGAN).

Shen et al. 2021, Algorithm 1. With s_i the score of fake sample i, D's
gradient and G's gradient at that sample are the same but for a factor,

  gamma_i = (dL_G / ds_i) / (dL_D / ds_i),                             (eq. 7)

so that G learns from D's backward pass, each image's gradient scaled by its
gamma. That holds where a sample has one score, which depends on that sample
only; where gamma is -1 for every score (symmetric losses) it holds for any D.
"""

import logging

import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.schemes import joint
from gan_jax.schemes.joint import d_steps, draws

__all__ = ['FLOOR', 'check', 'd_steps', 'draws', 'gradients_of', 'make_step']

log = logging.getLogger('gan_jax')

# Where |dL_D / ds_i| is smaller than this share of 1 / N (N P with patches), it
# is taken to be this large: hinge gives exact zeros, the non-saturating loss
# underflows.
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


def make_step(objective, optimizers, settings, parts: int = 1):
  """See `joint.make_step`; nothing in `settings` concerns this scheme."""
  del settings
  gradients = gradients_of(objective.loss, objective.terms)
  return joint.make_step(objective, optimizers, gradients, parts)


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
  smaller than the floor, and nothing is divided by 1 - gamma.

  Where D gives several scores a sample (patches [N, P]), each has a gamma of
  its own, and what reaches the sample is their sum: no factor makes G's
  gradient of it. D is then pulled back once more, for G (`pulled_twice`, as in
  `simultaneous`), which costs a sixth more of D's operations and needs no
  floor. Both gradients are those of the losses that two_stage has, means over
  all N P scores, whatever the loss. The metrics are then of the patches' own
  gammas, which scale nothing.
  """
  found = joint.cotangents(objective, pair, g_stats, made, now)
  on_real, on_fake = found.of_d
  gamma, low, d_to_s = gammas(on_fake.logits, found.of_g.logits)
  if gamma.size > len(gamma):
    log.info(
      'D gives %d scores a sample. Both players minimise the mean over all of'
      ' them, as with two_stage; each has a gamma of its own, so that one_stage'
      ' pulls D back twice, as simultaneous does.',
      gamma.size // len(gamma),
    )
    d_gradient, made_gradient = found.pulled_twice()
  else:
    d_gradient, made_gradient = found.pull_back(
      (on_real, on_fake._replace(logits=d_to_s))
    )
    scale = lambda x: x * gamma.reshape((-1,) + (1,) * (x.ndim - 1))
    made_gradient = jax.tree.map(scale, made_gradient)
  more = {
    'gamma': jnp.mean(gamma),
    'gamma_min': jnp.min(gamma),
    'gamma_max': jnp.max(gamma),
    'gamma_floored': jnp.mean(low),
  }
  return found.gradients(d_gradient, made_gradient, more)


def gammas(d_to_s, g_to_s):
  """Eq. 7 for each score, whatever D's derivative is.

  Args:
    d_to_s: dL_D / ds, [N] or [N, P].
    g_to_s: dL_G / ds.

  Returns:
    gamma, finite; where dL_D / ds was below the floor; dL_D / ds, not below it.
  """
  floor = FLOOR / d_to_s.size
  low = jnp.abs(d_to_s) < floor
  d_to_s = jnp.where(low, jnp.copysign(floor, d_to_s), d_to_s)
  return g_to_s / d_to_s, low, d_to_s
