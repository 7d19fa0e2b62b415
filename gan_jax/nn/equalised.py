"""Layers with an equalised learning rate (ProGAN, section 4.1).

Weights are drawn from N(0, 1) and multiplied by He's constant, gain /
sqrt(fan_in), at run time in place of when they are drawn: Adam, whose steps do
not know the scale of a gradient, then moves all layers at the same relative
speed. Biases begin at zero and are not scaled.

The product is multiplied, not the kernel: that is the same function, and the
compiler does it together with the bias.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax

from gan_jax.nn import conv as plain
from gan_jax.nn import precision

Array = jax.Array

RELU_GAIN = math.sqrt(2.0)  # He et al. 2015: before a (leaky) ReLU


def he(gain: float = RELU_GAIN) -> Callable[..., Array]:
  """The initialiser that the constant at run time stands in place of."""
  return nn.initializers.variance_scaling(gain**2, 'fan_in', 'normal')


class Conv(plain.Conv):
  """A convolution.

  Attributes: as in `nn.conv.Conv`, and
    gain: numerator of the constant; None: no constant, for a layer whose
      `kernel_init` has it.
  """

  kernel_init: Callable[..., Array] = nn.initializers.normal(1.0)
  gain: float | None = RELU_GAIN

  def form(self, x: Array, kernel: Array) -> Array:
    """The layer without bias and constant."""
    return plain.conv(x, kernel, self.stride, self.padding)

  def product(self, x: Array, kernel: Array) -> Array:
    """The layer without its bias."""
    y = self.form(x, kernel)
    if self.gain is None:
      return y
    constant = self.gain / math.sqrt(math.prod(kernel.shape[:-1]))
    return precision.full(y) * constant  # rounded once, with the bias


class UpConv(Conv):
  """A 3x3 convolution of the map doubled by nearest neighbours."""

  def form(self, x: Array, kernel: Array) -> Array:
    """The layer without bias and constant."""
    return plain.upsample_conv(x, kernel)


class DownConv(Conv):
  """A 3x3 convolution and the mean of each 2x2 block; then the bias."""

  def form(self, x: Array, kernel: Array) -> Array:
    """The layer without bias and constant."""
    return plain.downsample_conv(x, kernel)


class Opening(Conv):
  """From a vector, [N, 1, 1, C], to a map of the kernel's size.

  The adjoint of a convolution that closes such a map, and a dense layer with
  one bias a channel. The constant is that of a kernel of this size, though
  each of its numbers meets C others only: ProGAN's gain of sqrt(2) / 4.
  """

  kernel_size: int | tuple[int, int] = 4

  def form(self, x: Array, kernel: Array) -> Array:
    """The layer without bias and constant."""
    return plain.conv_transpose(x, kernel, 1, 0)


class Dense(nn.Module):
  """A dense layer.

  Attributes:
    features: numbers of its output.
    gain: numerator of the constant.
    lr_multiplier: of weights and biases (StyleGAN, appendix C): they are drawn
      so many times larger the smaller it is, and multiplied by it at run time,
      which slows them down by it.
    bias_init: initialiser of the bias.
  """

  features: int
  gain: float = 1.0
  lr_multiplier: float = 1.0
  bias_init: Callable[..., Array] = nn.initializers.zeros

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """[N, C] -> [N, features]."""
    first = nn.initializers.normal(1.0 / self.lr_multiplier)
    kernel = self.param('kernel', first, (x.shape[-1], self.features))
    bias = self.param('bias', self.bias_init, (self.features,))
    constant = self.gain * self.lr_multiplier / math.sqrt(x.shape[-1])
    return (x @ kernel) * constant + bias * self.lr_multiplier
