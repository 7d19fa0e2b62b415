"""The generator of data-free distillation: nearest neighbours and 3x3 layers.

ZSKT (Micaelli and Storkey 2019) and DFAD (Fang et al. 2019) describe much the
same network for 32 px: a dense layer to 8x8x128, batch norm, twice a doubling
by nearest neighbours with a 3x3 convolution, batch norm and LeakyReLU, and a
last 3x3 convolution whose channels are normalised by a batch norm without
scale and shift, so that the pictures have mean 0 and deviation 1 as the
teacher's own did. That is from memory of the two papers: no copy of them was
at hand here. Ours puts this last batch norm before the tanh, not behind it:
pictures stay within [-1, 1], and the tanh cannot saturate as a whole.
"""

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.nn import norm as norms
from gan_jax.nn import precision
from gan_jax.nn.conv import Conv, upsample_conv
from gan_jax.nn.dense import Dense
from gan_jax.nn.labels import with_label
from gan_jax.nn.norm import MOMENTUM, normalise
from gan_jax.settings import Setting, field


class DoublingConv(Conv):
  """A 3x3 convolution of the map doubled by nearest neighbours."""

  def product(self, x, kernel):
    """The layer without its bias."""
    return upsample_conv(x, kernel)


class Generator(nn.Module):
  """Latent vectors to pictures.

  Attributes:
    shape: (H, W, C) of a picture; H = W in `resolutions`.
    classes: number of classes if labels are given, else 0. The label enters
      as a one-hot vector behind the latent one.
    norm: after every layer but the last.
  """

  resolutions = (28, 32, 64)

  shape: tuple[int, int, int]
  classes: int = 0
  width: int = field(
    Setting(
      64,
      'channels of the map nearest the picture; those before have twice as'
      ' many',
      low=1,
      high=2**14,
    )
  )
  norm: str = field(norms.SETTING)
  bfloat16_from: int = field(precision.SETTING)

  @nn.compact
  def __call__(self, z, labels=None, *, train: bool):
    """[N, Z] and labels [N] -> pictures [N, H, W, C] in [-1, 1]."""
    z = with_label(z, labels, self.classes)
    side, wide = self.shape[0] // 4, 2 * self.width
    dtype = lambda side: precision.dtype_at(side, self.bfloat16_from)
    x = Dense(wide * side * side, dtype(side))(z)
    x = x.reshape(-1, side, side, wide)
    x = normalise(x, self.norm, train=train)
    for features in (wide, self.width):
      x = DoublingConv(features, dtype=dtype(2 * x.shape[1]))(x)
      x = nn.leaky_relu(normalise(x, self.norm, train=train), 0.2)
    x = Conv(self.shape[-1])(precision.full(x))
    whiten = nn.BatchNorm(
      use_running_average=not train,
      momentum=1.0 - MOMENTUM,
      epsilon=1e-5,
      use_scale=False,
      use_bias=False,
    )
    return jnp.tanh(whiten(x))
