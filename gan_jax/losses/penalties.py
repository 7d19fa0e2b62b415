"""Penalties: terms without parameters, of D, but for path length, which is G's.

Those of D are pure functions of a `view.View`. D(x) is one score a sample, of a
D with patches the mean over them. Gradients are taken with respect to samples;
|.| is the L2 norm over one sample. Weight clipping constrains the
parameters instead and lives with the optimiser that it follows:
`gan_jax.optimizer`.
"""

import functools
import math

import jax
import jax.numpy as jnp

from gan_jax.networks.made import picture
from gan_jax.settings import Setting
from gan_jax.state import stream
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


def path_length(view, *, decay: float, shrink: int):
  """Keeps a step in w as long in pictures everywhere (StyleGAN2, section 3.2).

  Eq. 4 there: (|J^T y| - a)^2 at fresh w, where J is the picture's derivative
  by w and y a normal picture, here over the root of its number of pixels as
  released, so that a and the weight mean the same at every size. The length of
  a w a layer is the root of the mean over layers of its square. a is carried,
  the running mean of lengths, these included: gradient passes to it too.

  Args:
    view: of G; the w are mixed as those of training are.
    decay: how much of each mean length the running one takes.
    shrink: part of the minibatch it looks at.

  Returns:
    The penalty; the new a; the mean length as `pl_length`.
  """
  styles = view.play.styles(view.latents(max(len(view.labels) // shrink, 1)))

  def on_noise(w):
    made = picture(view.play.synthesise(w).samples)
    noise = jax.random.normal(stream(view.key, 'picture'), made.shape)
    return jnp.sum(made * noise) / math.sqrt(made.shape[1] * made.shape[2])

  slopes = jax.grad(on_noise)(styles)
  layers = math.prod(slopes.shape[1:-1])
  lengths = _norm(slopes.reshape(len(slopes), -1)) / math.sqrt(layers)
  mean = view.carried['mean']
  mean = mean + decay * (jnp.mean(lengths) - mean)
  logged = {'pl_length': jnp.mean(lengths)}
  return jnp.mean((lengths - mean) ** 2), {'mean': mean}, logged


def _path_length(**chosen) -> Term:
  """See `path_length`."""
  return Term(
    player='g',
    value=lambda own, view: path_length(view, **chosen),
    init=lambda view, key: ({}, {'mean': jnp.float32(0.0)}),
    enters=True,
  )


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
  'path_length': Kind(
    _path_length,
    '(length - its running mean)^2 of what a step in w does to a picture',
    {
      'decay': Setting(
        0.01,
        'how much of each mean length the running one takes',
        above=0.0,
        high=1.0,
      ),
      'shrink': Setting(
        2, 'it looks at 1 / shrink of a minibatch', low=1, high=2**20
      ),
    },
  ),
  'drift': penalty(drift, 'D^2 at real samples', reads=['scores_real']),
}
