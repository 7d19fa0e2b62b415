"""What StyleGAN2's networks are made of (Karras et al. 2020)."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nn import equalised as equal
from gan_jax.nn import precision
from gan_jax.nn.conv import conv
from gan_jax.nn.norm import pixel_norm
from gan_jax.nn.resample import up_conv

NOISE = ('random', 'const', 'none')
NOISE_MAPS = 'noise_maps'  # the collection of statistics of constant noise
GAIN = math.sqrt(2.0)  # behind a LeakyReLU: variance stays as it is
HALF = math.sqrt(0.5)  # of each of two paths that are added


def limited(x, clamp: float):
  """Numbers within [-clamp, clamp]; 0.0: all as they are."""
  return jnp.clip(x, -clamp, clamp) if clamp else x


def activated(x, clamp: float = 0.0, gain: float = 1.0):
  """LeakyReLU of slope 0.2 times sqrt(2), at most `clamp`, times `gain`."""
  return limited(nn.leaky_relu(x, 0.2) * (GAIN * gain), clamp * gain)


class Mapping(nn.Module):
  """The mapping network: latents, labels or both to w.

  Latents are brought to the sphere, and so is a learned vector a class, which
  is put behind them (the released code; the paper has no labels).

  Attributes:
    size: of w.
    depth: dense layers.
    classes: their number K, 0 without.
  """

  size: int
  depth: int
  classes: int = 0

  @nn.compact
  def __call__(self, z=None, labels=None):
    """[N, Z], or None for labels alone, and labels [N] -> [N, size]."""
    parts = [] if z is None else [pixel_norm(z)]
    if self.classes:
      one_hot = jax.nn.one_hot(labels, self.classes)
      parts.append(pixel_norm(equal.Dense(self.size, name='embed')(one_hot)))
    x = jnp.concatenate(parts, -1)
    for k in range(self.depth):
      slow = equal.Dense(self.size, lr_multiplier=0.01, name=f'dense_{k}')
      x = activated(slow(x))
    return x


def modulated(x, kernel, style, *, up=False, demodulate=True, dtype=None):
  """A convolution whose kernel each sample scales by its style.

  Input channels are scaled before it and output channels after it (section 2.2
  of the paper, and its appendix B), so that one kernel serves the batch: no
  kernels a sample, no grouped convolution. The constant of an equalised rate
  would cancel, so there is none.

  Args:
    x: [N, H, W, in].
    kernel: [k, k, in, out].
    style: [N, in], float32.
    up: whether the side doubles, see `nn.resample.up_conv`.
    demodulate: whether each output channel is divided by the norm that its
      scaled kernel has, with 1e-8 inside the root.
    dtype: that the convolution computes in, see `nn.precision`; None: float32.

  Returns:
    [N, H', W', out], float32.
  """
  x = precision.full(x) * style[:, None, None, :]
  x, narrow = nn.dtypes.promote_dtype(x, kernel, dtype=dtype)
  y = precision.full(up_conv(x, narrow) if up else conv(x, narrow))
  if not demodulate:
    return y
  square = jnp.sum(kernel**2, (0, 1))  # [in, out]
  return y * jax.lax.rsqrt(style**2 @ square + 1e-8)[:, None, None, :]


class StyledConv(nn.Module):
  """A layer of the synthesis network: modulated convolution, noise, bias.

  Attributes:
    width: output channels.
    up: whether the side doubles.
    noise: one of `NOISE`; 'random' draws for each sample of each pass in
      training and is 'const' in use, so that a latent vector gives one picture.
    clamp: see `activated`.
    gain: see `activated`.
    dtype: of the convolution and of the output.
  """

  width: int
  up: bool = False
  noise: str = 'random'
  clamp: float = 0.0
  gain: float = 1.0
  dtype: object = None

  @nn.compact
  def __call__(self, x, w, *, train: bool):
    """[N, H, W, in] and w [N, size] -> [N, H', W', width]."""
    one = nn.initializers.ones
    style = equal.Dense(x.shape[-1], bias_init=one, name='style')(w)
    size = (3, 3, x.shape[-1], self.width)
    kernel = self.param('kernel', nn.initializers.normal(1.0), size)
    y = modulated(x, kernel, style, up=self.up, dtype=self.dtype)
    if self.noise != 'none':
      strength = self.param('strength', nn.initializers.zeros, ())
      y = y + strength * self._noise(y.shape, train)
    y = y + self.param('bias', nn.initializers.zeros, (self.width,))
    return activated(y, self.clamp, self.gain).astype(self.dtype or y.dtype)

  def _noise(self, shape, train: bool):
    """[N or 1, H, W, 1], the same for all channels."""
    n, *side, _ = shape
    draw = lambda name, n: jax.random.normal(self.make_rng(name), (n, *side, 1))
    const = self.variable(NOISE_MAPS, 'map', lambda: draw('params', 1))
    if train and self.noise == 'random':
      return draw('noise', n)
    return const.value


class ToRGB(nn.Module):
  """A map to a picture, in float32: modulated, not demodulated."""

  channels: int
  clamp: float = 0.0

  @nn.compact
  def __call__(self, x, w):
    """[N, H, W, in] and w [N, size] -> [N, H, W, channels]."""
    wide, one = x.shape[-1], nn.initializers.ones
    style = equal.Dense(wide, bias_init=one, name='style')(w)
    size = (1, 1, wide, self.channels)
    kernel = self.param('kernel', nn.initializers.normal(1.0), size)
    y = modulated(x, kernel, style / math.sqrt(wide), demodulate=False)
    bias = self.param('bias', nn.initializers.zeros, (self.channels,))
    return limited(y + bias, self.clamp)
