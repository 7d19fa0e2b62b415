"""Skip-layer excitation: a low map scales the channels of a high one."""

import flax.linen as nn
import jax

from gan_jax.nn import precision
from gan_jax.nn.conv import Conv
from gan_jax.nn.levels import reduce_to
from gan_jax.nn.spectral import spectral_norm

# FastGAN's paper says LeakyReLU, its released code has Swish.
ACTIVATIONS = {
  'swish': nn.swish,
  'leaky_relu': lambda x: nn.leaky_relu(x, 0.2),
}


class Excitation(nn.Module):
  """FastGAN's SLE (Liu et al. 2021, eq. 1): y = F(low) * high.

  F is a mean to 4x4, a 4x4 convolution to one pixel, an activation, a 1x1
  convolution, a sigmoid: a factor a channel. The convolutions have no bias, and
  spectral norm as all of FastGAN's.

  Attributes:
    act: one of `ACTIVATIONS`.
  """

  act: str = 'swish'

  @nn.compact
  def __call__(self, low, high, *, train: bool):
    """[N, h, h, c] and [N, H, H, C] -> [N, H, H, C]; 4 divides h."""
    gate = self.gate(low, high.shape[-1], train=train)
    return high * gate.astype(high.dtype)

  def gate(self, low, channels: int, *, train: bool):
    """The factors, [N, 1, 1, channels] in (0, 1)."""

    def layer(x, name, size):
      conv = Conv(channels, size, 1, 'VALID', use_bias=False, name=name)
      return spectral_norm(conv, True, train=train)(x)

    x = layer(reduce_to(precision.full(low), 4), 'squeeze', 4)
    return jax.nn.sigmoid(layer(ACTIVATIONS[self.act](x), 'excite', 1))
