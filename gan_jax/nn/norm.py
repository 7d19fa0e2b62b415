"""Normalisation layers by the names that configs use."""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.nn import precision
from gan_jax.settings import Setting

NORMS = ('batch', 'group', 'layer', 'instance', 'pixel', 'none')

# Norms that mix the samples of a batch: a discriminator with one of these is
# not a per-sample function.
CROSS_SAMPLE = ('batch',)

COLLECTION = 'batch_stats'  # of batch norm's running averages
MOMENTUM = 0.1  # weight of the new value in them

SETTING = Setting('batch', 'the normalisation layer', choices=NORMS)


class BatchNorm(nn.Module):
  """Batch normalisation (Ioffe and Szegedy 2015) as PyTorch counts it.

  Normalises with the biased variance and averages the unbiased one, which is
  what the released networks do; Flax's own layer averages the biased one.
  Under `jit` with a sharded batch the statistics are those of the whole batch.
  """

  epsilon: float = 1e-5
  scale_init: Callable = nn.initializers.ones

  @nn.compact
  def __call__(self, x, *, train):
    """Normalises over all axes but the last. [N, ..., C] -> [N, ..., C]."""
    dtype, x = x.dtype, precision.full(x)
    channels = x.shape[-1]
    scale = self.param('scale', self.scale_init, (channels,))
    bias = self.param('bias', nn.initializers.zeros, (channels,))
    running = {
      'mean': self.variable(COLLECTION, 'mean', jnp.zeros, (channels,)),
      'var': self.variable(COLLECTION, 'var', jnp.ones, (channels,)),
    }
    if train:
      y, mean, var = _by_batch(x, scale, bias, self.epsilon)
      count = x.size // channels
      if not self.is_initializing():
        unbiased = var * (count / max(count - 1, 1))
        for name, value in (('mean', mean), ('var', unbiased)):
          old = running[name].value
          running[name].value = old + MOMENTUM * (value - old)
    else:
      mean, var = running['mean'].value, running['var'].value
      y = _normalised(x, mean, var, scale, bias, self.epsilon)
    return y.astype(dtype)


def _normalised(x, mean, var, scale, bias, epsilon):
  return (x - mean) * (scale / jnp.sqrt(var + epsilon)) + bias


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _by_batch(x, scale, bias, epsilon):
  """Batch normalisation by the batch's own mean and biased variance.

  Its derivative is stated because the gradient then takes two sums over the
  batch, of the cotangent and of it times x - mean. JAX's own takes five, of
  which two are copies and one is zero; of [4, 256, 256, 64], with the GLU
  behind it, that is half of the time on the CPU.

  Args:
    x: [N, ..., C].
    scale: [C].
    bias: [C].
    epsilon: added to the variance.

  Returns:
    [N, ..., C], and mean and variance, [C].
  """
  mean = _mean(x)
  var = _mean(jnp.square(x - mean))
  return _normalised(x, mean, var, scale, bias, epsilon), mean, var


@_by_batch.defjvp
def _by_batch_jvp(epsilon, primals, tangents):
  (x, scale, bias), (dx, dscale, dbias) = primals, tangents
  y, mean, var = _by_batch(x, scale, bias, epsilon)
  off, inverse = x - mean, 1.0 / jnp.sqrt(var + epsilon)
  dmean, half_dvar = _mean(dx), _mean(off * dx)
  # Nothing large but dx and `off`: transposed, each sum is taken once.
  shift = _to_rows(dbias - scale * inverse * dmean, x)
  slope = _to_rows(inverse * dscale - scale * inverse**3 * half_dvar, x)
  dy = scale * inverse * dx + off * slope + shift
  return (y, mean, var), (dy, dmean, 2.0 * half_dvar)


def _mean(x):
  """Over all axes but the last: of each row, then of the rows.

  XLA's CPU backend is slow at both at once, which the barrier forbids.
  """
  count = x.size // x.shape[-1]
  if x.ndim > 2:
    x = lax.optimization_barrier(jnp.sum(x, -2))
  return jnp.sum(x, tuple(range(x.ndim - 1))) / count


def _to_rows(values, x):
  """[C] for each row of x, [..., 1, C]; transposed it sums as `_mean` does."""
  one = jnp.broadcast_to(values, (*x.shape[:-2], 1, x.shape[-1]))
  return lax.optimization_barrier(one)


def pixel_norm(x, epsilon: float = 1e-8):
  """Sets the mean square of each pixel's channels to 1 (ProGAN, section 4.2).

  Of a vector: puts it on the sphere of radius sqrt(C).

  Args:
    x: [N, ..., C].
    epsilon: added to the mean square.

  Returns:
    [N, ..., C]; the mean is taken in float32 at least.
  """
  wide = precision.full(x)
  square = jnp.mean(wide**2, -1, keepdims=True)
  inverse = 1.0 / jnp.sqrt(square + epsilon)  # one division a pixel
  return (wide * inverse).astype(x.dtype)


def normalise(
  x,
  norm: str,
  *,
  train: bool,
  groups: int = 32,
  scale_init: Callable = nn.initializers.ones,
):
  """Applies the layer of a name inside a compact module.

  Args:
    x: [N, ..., C].
    norm: one of `NORMS`; 'layer' normalises a sample over all its axes (one
      group), 'instance' each channel of a sample, 'pixel' the channels of each
      pixel, see `pixel_norm`.
    train: batch statistics if true, running averages if false.
    groups: the number of groups wanted by 'group' (32 as in OSGAN's released
      networks); where it does not divide C, their greatest common divisor.
    scale_init: initialiser of the scale, of the norms that learn one.

  Returns:
    [N, ..., C], of the dtype of `x`; computed in float32 at least.
  """
  if norm == 'none':
    return x
  if norm == 'batch':
    return BatchNorm(scale_init=scale_init)(x, train=train)
  if norm == 'pixel':
    return pixel_norm(x)
  channels = x.shape[-1]
  groups = {
    'group': math.gcd(groups, channels),
    'layer': 1,
    'instance': channels,
  }[norm]
  # The slow variance is a mean of squares of differences: no cancellation.
  layer = nn.GroupNorm(
    groups, epsilon=1e-5, use_fast_variance=False, scale_init=scale_init
  )
  return layer(precision.full(x)).astype(x.dtype)
