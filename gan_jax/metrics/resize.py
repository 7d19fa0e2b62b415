"""The resizers of the FID literature, by the names that results carry.

Which one was used moves FID by whole points (Parmar et al. 2022), so a result
names it. Each is a product with one sparse matrix per axis, whose entries are
computed in float64; nothing is rounded to integers in between.

| name | who uses it |
|---|---|
| tf1_bilinear | FID as published, torch-fidelity: no half-pixel shift |
| half_pixel_bilinear | pytorch-fid: half-pixel centres, no antialiasing |
| antialiased_bicubic | clean-fid: Pillow's bicubic (a = -1/2) on floats |
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.errors import UserError

Array = jax.Array


def _linear(source: np.ndarray, size: int) -> np.ndarray:
  """Interpolation at real positions [out], clamped to the border."""
  source = np.clip(source, 0, size - 1)
  low = np.floor(source).astype(int)
  high = np.minimum(low + 1, size - 1)
  matrix = np.zeros((len(source), size))
  rows = np.arange(len(source))
  matrix[rows, low] += 1 - (source - low)
  matrix[rows, high] += source - low
  return matrix


def _tf1_bilinear(size: int, out: int) -> np.ndarray:
  return _linear(np.arange(out) * (size / out), size)


def _half_pixel_bilinear(size: int, out: int) -> np.ndarray:
  return _linear((np.arange(out) + 0.5) * (size / out) - 0.5, size)


def _cubic(x: np.ndarray) -> np.ndarray:
  """Keys' kernel (1981) with a = -1/2."""
  x = np.abs(x)
  near = (1.5 * x - 2.5) * x * x + 1
  far = ((-0.5 * x + 2.5) * x - 4) * x + 2
  return np.where(x < 1, near, np.where(x < 2, far, 0))


def _antialiased_bicubic(size: int, out: int) -> np.ndarray:
  scale = size / out
  wide = max(scale, 1)
  centre = (np.arange(out) + 0.5) * scale
  # Pillow cuts the kernel's support to whole pixels before it normalises.
  first = np.maximum(np.floor(centre - 2 * wide + 0.5), 0)
  last = np.minimum(np.floor(centre + 2 * wide + 0.5), size)
  at = np.arange(size)
  matrix = _cubic((at + 0.5 - centre[:, None]) / wide)
  matrix *= (at >= first[:, None]) & (at < last[:, None])
  return matrix / matrix.sum(1, keepdims=True)


_MATRICES = {
  'tf1_bilinear': _tf1_bilinear,
  'half_pixel_bilinear': _half_pixel_bilinear,
  'antialiased_bicubic': _antialiased_bicubic,
}
RESIZERS = tuple(_MATRICES)

# What FID's network takes: (x - zero) / unit. TensorFlow's own graph takes
# (x - 128) / 128, pytorch-fid 2 x / 255 - 1.
_UNITS = {
  'tf1_bilinear': 128.0,
  'half_pixel_bilinear': 127.5,
  'antialiased_bicubic': 128.0,
}


@functools.lru_cache(maxsize=64)
def _matrix(name: str, size: int, out: int) -> np.ndarray:
  return _MATRICES[name](size, out).astype(np.float32)


@functools.partial(jax.jit, static_argnames=('size', 'name'))
def resize(images: Array, size: int, name: str) -> Array:
  """Images [N, H, W, C] in 0..255 to [N, size, size, C], float32.

  The shape need not be square: both sides become `size`. A bicubic result is
  cut to 0..255, as clean-fid does; an image that has the size already is left
  as it is.

  Raises:
    UserError: for a name that is not in `RESIZERS`.
  """
  if name not in _MATRICES:
    raise UserError(f"no resizer '{name}': use one of {', '.join(RESIZERS)}")
  x = jnp.asarray(images, jnp.float32)
  if x.shape[1:3] == (size, size):
    return x
  rows, columns = (_matrix(name, s, size) for s in x.shape[1:3])
  x = jnp.einsum(
    'oh,pw,nhwc->nopc', rows, columns, x, precision=lax.Precision.HIGHEST
  )
  return jnp.clip(x, 0, 255)


def for_inception(images: Array, name: str) -> Array:
  """Images [N, H, W, 3] in 0..255 as FID's network wants them.

  Args:
    images: uint8, or floats in 0..255.
    name: of the resizer, which also says in whose units.

  Returns:
    [N, 299, 299, 3], about [-1, 1].
  """
  x = resize(images, 299, name)
  return (x - _UNITS[name]) / _UNITS[name]
