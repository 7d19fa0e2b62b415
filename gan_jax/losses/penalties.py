"""Penalties on the discriminator: terms of D's loss without parameters.

Each is a pure function of a `view.View`. D(x) is one score a sample, of a D
with patches the mean over them. Gradients are taken with respect to samples;
|.| is the L2 norm over one sample. Weight clipping constrains the
parameters instead and lives with the optimiser that it follows:
`gan_jax.optimizer`.
"""

import functools

import jax
import jax.numpy as jnp

from gan_jax.networks.made import picture
from gan_jax.settings import Setting
from gan_jax.terms import Kind, Term


def penalty(function, text: str, reads=(), **settings) -> Kind:
  """The kind of a term of D that is a function of a view and settings."""

  def make(**chosen) -> Term:
    value = functools.partial(function, **chosen)
    return Term(
      player='d',
      value=lambda own, view: (value(view), view.carried, {}),
      reads=frozenset(reads),
    )

  return Kind(make, text, settings)


def _sample_gradients(view, x):
  """Gradient of each sample's score with respect to that sample, [N, D]."""
  gradient = jax.grad(lambda x: jnp.sum(view.score(x)))(x)
  return gradient.reshape(len(x), -1)


def _norm(x):
  """L2 norm of each row; its gradient at zero is zero, not NaN."""
  squared = jnp.sum(x**2, axis=-1)
  positive = squared > 0.0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def _per_sample(key, x, sampler):
  """One draw a sample, shaped to broadcast over x."""
  return sampler(key, (len(x),) + (1,) * (x.ndim - 1))


def wgan_gp(view, *, target: float):
  """Gradient penalty between real and fake samples.

  Gulrajani et al. 2017, eq. 3, (|grad D(x)| - t)^2 at x between a real and a
  fake sample, one uniform position a pair; ProGAN section A.1 divides by t^2
  so that the weight keeps its meaning when the target t changes.
  """
  real, fake = view.real, picture(view.made.samples)
  mix = _per_sample(view.key, real, jax.random.uniform)
  norms = _norm(_sample_gradients(view, real + mix * (fake - real)))
  return jnp.mean((norms - target) ** 2) / target**2


def dragan(view, *, noise: float):
  """Gradient penalty around real samples (Kodali et al. 2017).

  (|grad D(x)| - 1)^2 at x = real + noise * std(real) * U[0, 1]: every element
  of the batch has its own uniform draw, std is that of the whole batch. SGAN
  gives no values; these are the DRAGAN authors' own (spec/sgan.md).
  """
  uniform = jax.random.uniform(view.key, view.real.shape)
  x = view.real + noise * jnp.std(view.real) * uniform
  return jnp.mean((_norm(_sample_gradients(view, x)) - 1.0) ** 2)


def r1(view):
  """Half the squared gradient norm at real samples (Mescheder et al. 2018).

  Eq. 9 there: (gamma / 2) E |grad D(x)|^2 with gamma the weight.
  """
  gradients = _sample_gradients(view, view.real)
  return 0.5 * jnp.mean(jnp.sum(gradients**2, -1))


def drift(view):
  """Keeps real scores near zero: E D(x)^2 (ProGAN section A.1)."""
  return jnp.mean(view.scores_real**2)


PENALTIES = {
  'wgan_gp': penalty(
    wgan_gp,
    '(|grad D| - target)^2 between real and fake samples',
    # It looks at fakes, but not at what D says of them.
    reads=['made'],
    target=Setting(1.0, 'the norm that gradients are drawn to', above=0.0),
  ),
  'dragan': penalty(
    dragan,
    '(|grad D| - 1)^2 around real samples',
    noise=Setting(
      0.5, "how far around them, in the batch's deviations", low=0.0
    ),
  ),
  'r1': penalty(r1, '|grad D|^2 / 2 at real samples'),
  'drift': penalty(drift, 'D^2 at real samples', reads=['scores_real']),
}
