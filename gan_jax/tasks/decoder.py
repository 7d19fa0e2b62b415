"""FastGAN's decoders, and what they read and are measured against.

A decoder sees a map of D, or a part of one, and draws the picture that D saw,
or the same part of it (Liu et al. 2021, section 3.2).
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.networks.fastgan import Norm
from gan_jax.networks.upsample import DoublingConv
from gan_jax.nn.conv import Conv
from gan_jax.nn.spectral import spectral_norm

Array = jax.Array

SMALLEST = 8  # the side that maps are brought to
WIDTHS = (128, 64, 64, 32)  # of the released decoders, whatever D's width


class Decoder(nn.Module):
  """A map to a picture, [N, h, w, C] to [N, s, s, channels], s = 8 * 2^k.

  As released: means to 8 x 8, then k times nearest neighbours, a 3x3
  convolution, batch norm and GLU; a 3x3 convolution and tanh. Convolutions are
  spectrally normalised and have no bias.

  Attributes:
    channels: of the picture.
    doublings: k, 1 to 4; of smaller pictures the last stages are left out.
  """

  channels: int
  doublings: int = len(WIDTHS)

  @nn.compact
  def __call__(self, x: Array, *, train: bool) -> Array:
    """See the class; with batch statistics and a power iteration if `train`."""

    def conv(x, width: int, name: str, kind=Conv):
      layer = kind(width, 3, use_bias=False, name=name)
      return spectral_norm(layer, True, train=train)(x)

    x = adaptive_mean(x, SMALLEST)
    for k, width in enumerate(WIDTHS[: self.doublings]):
      x = conv(x, 2 * width, f'conv{k}', DoublingConv)
      x = nn.glu(Norm('batch', name=f'norm{k}')(x, train=train))
    return jnp.tanh(conv(x, self.channels, 'rgb'))


def doublings_for(side: int) -> int:
  """The doublings of a decoder of pictures of a side: to 128 px at most.

  Of a side that is not 8 times a power of two, to the largest below it.
  """
  fit = (side // SMALLEST).bit_length() - 1
  return min(max(fit, 1), len(WIDTHS))


def adaptive_mean(x: Array, side: int) -> Array:
  """Means of a grid of side x side windows that cover a map.

  Window i of a side of h pixels reaches from floor(i h / side) to
  ceil((i + 1) h / side), as PyTorch's adaptive pooling has it: windows share
  pixels where `side` does not divide h, and repeat them where h is smaller.

  Args:
    x: [N, h, w, C].
    side: of the result.

  Returns:
    [N, side, side, C].
  """

  def along(size: int) -> np.ndarray:
    i, k = np.arange(side)[:, None], np.arange(size)
    inside = (k >= i * size // side) & (k < -(-(i + 1) * size // side))
    return np.float32(inside / inside.sum(1, keepdims=True))

  height, width = x.shape[1:3]
  if (height, width) == (side, side):
    return x
  return jnp.einsum(
    'ih,jw,nhwc->nijc',
    along(height),
    along(width),
    x,
    precision=jax.lax.Precision.HIGHEST,
  )


class Window(NamedTuple):
  """A rectangle of a map's pixels.

  Attributes:
    corner: its first row and column, whole numbers, traced or not.
    size: its rows and columns.
    grid: the map's.
  """

  corner: tuple
  size: tuple[int, int]
  grid: tuple[int, int]

  def cut(self, x: Array) -> Array:
    """The rectangle of a map [N, *grid, C]."""
    for axis, (start, size) in enumerate(
      zip(self.corner, self.size, strict=True), 1
    ):
      x = jax.lax.dynamic_slice_in_dim(x, start, size, axis)
    return x

  def picture(self, x: Array, side: int) -> Array:
    """What lies there of pictures, by nearest neighbours at another side.

    Pixel k of the result is pixel floor(position) of the picture, without
    rounding on the way: where the map's pixels are whole ones of the picture,
    the same as to cut first and to resize then.

    Args:
      x: [N, H, W, C], that the map is of.
      side: of the result.

    Returns:
      [N, side, side, C].
    """
    for axis, (start, size, grid) in enumerate(
      zip(self.corner, self.size, self.grid, strict=True), 1
    ):
      steps = start * side + np.arange(side) * size
      at = x.shape[axis] * steps // (grid * side)
      x = jnp.take(x, at, axis=axis)
    return x


WHOLE = Window((0, 0), (1, 1), (1, 1))


def quadrant(grid: tuple[int, int], index) -> Window:
  """A quarter of a map.

  Args:
    grid: rows and columns of the map.
    index: 0 top left, 1 top right, 2 bottom left, 3 bottom right.
  """
  size = tuple(max(1, n // 2) for n in grid)
  rows, columns = (n - s for n, s in zip(grid, size, strict=True))
  return Window((index // 2 * rows, index % 2 * columns), size, grid)


def eighth(grid: tuple[int, int], key: Array) -> Window:
  """A rectangle of 1/8 of a map's height and width, anywhere on its grid."""
  size = tuple(max(1, n // 8) for n in grid)
  corner = tuple(
    jax.random.randint(k, (), 0, n - s + 1)
    for k, n, s in zip(jax.random.split(key), grid, size, strict=True)
  )
  return Window(corner, size, grid)
