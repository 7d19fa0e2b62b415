"""DCGAN (Radford et al. 2016) for pictures of 28, 32 and 64 pixels.

The widths are those of OSGAN's released networks (width 128) and of SGAN's
(width 64, no bias): each layer nearer the picture halves the channels. At 32
and 28 pixels the widest layer is left out (SGAN section 4.2).
"""

import functools

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.networks.judgement import Judgement
from gan_jax.nn import norm as norms
from gan_jax.nn import precision, remat
from gan_jax.nn.conv import Conv, ConvTranspose
from gan_jax.nn.labels import with_label
from gan_jax.nn.norm import CROSS_SAMPLE, normalise
from gan_jax.nn.spectral import COLLECTION, spectral_norm
from gan_jax.settings import Setting, field

# Kernel sizes of the stride-2 layers, from the 4x4 map to the picture, each
# with padding 1: a kernel of 4 doubles the map, a kernel of 3 takes 4 to 7.
KERNELS = {28: (3, 4, 4), 32: (4, 4, 4), 64: (4, 4, 4, 4)}
RESOLUTIONS = tuple(KERNELS)

_WIDTH = Setting(
  64, 'channels of the map nearest the picture', low=1, high=2**14
)
_SPECTRAL = Setting(False, 'spectral norm on every kernel (Miyato et al. 2018)')
_BIAS = Setting(True, 'whether convolutions have a bias')


class Generator(nn.Module):
  """Latent vectors to pictures.

  Attributes:
    shape: (H, W, C) of a picture; H = W in `RESOLUTIONS`.
    classes: number of classes if labels are given, else 0. The label enters
      as a one-hot vector behind the latent one (Mirza and Osindero 2014).
    norm: after every layer but the last.
  """

  resolutions = RESOLUTIONS
  averages = (COLLECTION,)

  shape: tuple[int, int, int]
  classes: int = 0
  width: int = field(_WIDTH)
  norm: str = field(norms.SETTING)
  spectral: bool = field(_SPECTRAL)
  bias: bool = field(_BIAS)
  remat: str = field(remat.SETTING)
  bfloat16_from: int = field(precision.SETTING)

  @nn.compact
  def __call__(self, z, labels=None, *, train: bool):
    """[N, Z] and labels [N] -> pictures [N, H, W, C] in [-1, 1]."""
    kernels = KERNELS[self.shape[0]]
    x = with_label(z, labels, self.classes)[:, None, None, :]  # [N, 1, 1, Z]
    width = self.width * 2 ** (len(kernels) - 1)

    def up(x, features, kernel, stride, padding, side):
      more = dict(use_bias=self.bias)
      if side < self.shape[0]:
        more['dtype'] = precision.dtype_at(side, self.bfloat16_from)
      layer = ConvTranspose(features, kernel, stride, padding, **more)
      return spectral_norm(layer, self.spectral, train=train)(x)

    def block(net, x, features, kernel, side):
      x = nn.relu(normalise(x, net.norm, train=train))
      # To pictures in float32.
      x = x if side < net.shape[0] else precision.full(x)
      return up(x, features, kernel, 2, 1, side)

    x = up(x, width, 4, 1, 0, 4)  # [N, 4, 4, width]
    for kernel in kernels:
      width //= 2
      side = 2 * x.shape[1] - 4 + kernel
      features = width if side < self.shape[0] else self.shape[-1]
      own = dict(features=features, kernel=kernel, side=side)
      x = remat.block(self, functools.partial(block, **own), x)
    return jnp.tanh(x)


class Discriminator(nn.Module):
  """Pictures to one logit each.

  Attributes:
    shape: (H, W, C) of a picture; H = W in `RESOLUTIONS`.
    classes: number of classes if labels are given, else 0. The label enters
      as constant one-hot maps behind the picture's channels.
    norm: after every layer but first and last.
  """

  resolutions = RESOLUTIONS

  shape: tuple[int, int, int]
  classes: int = 0
  width: int = field(_WIDTH)
  norm: str = field(norms.SETTING)
  spectral: bool = field(_SPECTRAL)
  bias: bool = field(_BIAS)
  remat: str = field(remat.SETTING)
  bfloat16_from: int = field(precision.SETTING)

  @property
  def per_sample(self) -> bool:
    """Whether a logit depends on its own picture only."""
    return self.norm not in CROSS_SAMPLE

  @nn.compact
  def __call__(self, images, labels=None, *, train: bool) -> Judgement:
    """[N, H, W, C] and labels [N] -> logits [N], features by resolution."""
    x = with_label(images, labels, self.classes)

    def down(x, features, kernel, stride, padding, dtype=None):
      more = dict(use_bias=self.bias, dtype=dtype)
      layer = Conv(features, kernel, stride, padding, **more)
      return spectral_norm(layer, self.spectral, train=train)(x)

    def block(net, x, width, kernel, first):
      side = (x.shape[1] + 2 - kernel) // 2 + 1
      if first:
        x = precision.kept(down(x, width, kernel, 2, 1), net.bfloat16_from)
      else:
        dtype = precision.dtype_at(side, net.bfloat16_from)
        x = normalise(
          down(x, width, kernel, 2, 1, dtype), net.norm, train=train
        )
      return nn.leaky_relu(x, 0.2)

    width, features = self.width, {}
    for i, kernel in enumerate(reversed(KERNELS[self.shape[0]])):
      own = dict(width=width, kernel=kernel, first=not i)
      x = remat.block(self, functools.partial(block, **own), x)
      features[str(x.shape[1])] = precision.full(x)
      width *= 2
    x = down(precision.full(x), 1, 4, 1, 0)  # [N, 1, 1, 1]
    return Judgement(x[:, 0, 0, 0], features)
