"""Penalties on the discriminator, added to its loss.

Each is a pure function of `judge`, which takes samples [N, ...] to scores [N]
(patch scores averaged), the real and the fake samples [N, ...], the real
samples' scores [N], and a key. Gradients are taken with respect to samples;
|.| is the L2 norm over one sample. Weight clipping constrains the parameters
instead and lives with the optimiser that it follows: `gan_jax.optimizer`.
"""

import jax
import jax.numpy as jnp

from gan_jax.settings import Setting, only_when


def _weight(of: str) -> Setting:
  return Setting(0.0, f'factor of {of}; 0.0: off', low=0.0)


SETTINGS = {
  'wgan_gp': only_when(
    {
      'weight': _weight('(|grad D| - target)^2 between real and fake samples'),
      'target': Setting(1.0, 'the norm that gradients are drawn to', above=0.0),
    },
    weight=True,
  ),
  'dragan': only_when(
    {
      'weight': _weight('(|grad D| - 1)^2 around real samples'),
      'noise': Setting(
        0.5, "how far around them, in the batch's deviations", low=0.0
      ),
    },
    weight=True,
  ),
  'r1': {'weight': _weight('|grad D|^2 / 2 at real samples')},
  'drift': {'weight': _weight('D^2 at real samples')},
}


def _sample_gradients(judge, x):
  """Gradient of each sample's score with respect to that sample, [N, D]."""
  gradient = jax.grad(lambda x: jnp.sum(judge(x)))(x)
  return gradient.reshape(len(x), -1)


def _norm(x):
  """L2 norm of each row; its gradient at zero is zero, not NaN."""
  squared = jnp.sum(x**2, axis=-1)
  positive = squared > 0.0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def _per_sample(key, x, sampler):
  """One draw a sample, shaped to broadcast over x."""
  return sampler(key, (len(x),) + (1,) * (x.ndim - 1))


def wgan_gp(judge, real, fake, scores, key, *, target: float = 1.0):
  """Gradient penalty between real and fake samples.

  Gulrajani et al. 2017, eq. 3, (|grad D(x)| - t)^2 at x between a real and a
  fake sample, one uniform position a pair; ProGAN section A.1 divides by t^2
  so that the weight keeps its meaning when the target t changes.
  """
  del scores
  mix = _per_sample(key, real, jax.random.uniform)
  norms = _norm(_sample_gradients(judge, real + mix * (fake - real)))
  return jnp.mean((norms - target) ** 2) / target**2


def dragan(judge, real, fake, scores, key, *, noise: float = 0.5):
  """Gradient penalty around real samples (Kodali et al. 2017).

  (|grad D(x)| - 1)^2 at x = real + noise * std(real) * U[0, 1]: every element
  of the batch has its own uniform draw, std is that of the whole batch. SGAN
  gives no values; these are the DRAGAN authors' own (spec/sgan.md).
  """
  del fake, scores
  uniform = jax.random.uniform(key, real.shape)
  norms = _norm(
    _sample_gradients(judge, real + noise * jnp.std(real) * uniform)
  )
  return jnp.mean((norms - 1.0) ** 2)


def r1(judge, real, fake, scores, key):
  """Half the squared gradient norm at real samples (Mescheder et al. 2018).

  Eq. 9 there: (gamma / 2) E |grad D(x)|^2 with gamma the weight.
  """
  del fake, scores, key
  return 0.5 * jnp.mean(jnp.sum(_sample_gradients(judge, real) ** 2, -1))


def drift(judge, real, fake, scores, key):
  """Keeps real scores near zero: E D(x)^2 (ProGAN section A.1)."""
  del judge, real, fake, key
  return jnp.mean(scores**2)
