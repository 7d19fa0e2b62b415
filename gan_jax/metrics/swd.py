"""Sliced Wasserstein distance of local patches (ProGAN, section 5).

128 patches of 7x7 pixels from each level of each image's Laplacian pyramid,
from the full size down to 16 px, standardised per colour channel of their
set; then the mean distance of the sorted projections on 512 random
directions. The paper takes 16,384 images and prints the result times 10^3.

Positions and directions come from one `numpy.random.RandomState`, in the order
in which the released code draws them, so that one seed gives its numbers.
"""

import concurrent.futures
import os

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.errors import UserError
from gan_jax.metrics import wasserstein
from gan_jax.metrics.pyramid import laplacian_pyramid

Array = jax.Array

PATCH = 7
_SMALLEST = 16
_TOGETHER = 64  # directions projected at a time


def sizes(resolution: int) -> list[int]:
  """The sides of the pyramid's levels, largest first, down to 16 px."""
  if resolution < _SMALLEST or resolution & (resolution - 1):
    raise UserError(
      f'the sliced Wasserstein distance needs images of 16, 32, 64, ... px, '
      f'got {resolution}: resize them'
    )
  count = (resolution // _SMALLEST).bit_length()
  return [resolution >> i for i in range(count)]


def patches(level, x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Patches of 7x7 around given pixels, as rows.

  Args:
    level: images [N, S, S, C].
    x: columns of the centres [N, P], in [3, S - 4].
    y: rows of the centres [N, P].

  Returns:
    [N * P, C * 49], each in the order channel, column, row.
  """
  windows = np.lib.stride_tricks.sliding_window_view(
    np.asarray(level).transpose(0, 2, 1, 3), (PATCH, PATCH), (1, 2)
  )  # [N, column, row, C, 7, 7]
  half = PATCH // 2
  rows = windows[np.arange(len(x))[:, None], x - half, y - half]
  return rows.reshape(x.size, -1)


class Patches:
  """Patches of a set of images that comes in batches.

  What is kept is 588 bytes per patch of colour: 1.2 GB per level for 16,384
  images. It is allocated at once: joining what every batch gave would hold it
  twice.

  Args:
    resolution: side of the images, a power of two from 16.
    rng: draws the positions: per batch and level, all columns, then all rows.
    count: images there will be at most.
    per_image: patches per image and level.
  """

  def __init__(
    self,
    resolution: int,
    rng: np.random.RandomState,
    count: int,
    per_image: int = 128,
  ):
    self.sizes = sizes(resolution)
    self._rng = rng
    self._count, self._per_image = count, per_image
    self._rows: list[np.ndarray] = []  # of each level
    self._filled = 0

  def add(self, images) -> None:
    """Takes in images [N, S, S, C] in 0..255."""
    if images.shape[1:3] != (self.sizes[0],) * 2:
      raise TypeError(
        f'images of {self.sizes[0]} px wanted, got shape {images.shape}'
      )
    if not self._rows:
      shape = (self._count * self._per_image, PATCH**2 * images.shape[-1])
      self._rows = [np.empty(shape, np.float32) for _ in self.sizes]
    half, shape = PATCH // 2, (len(images), self._per_image)
    pyramid = laplacian_pyramid(
      jnp.asarray(images, jnp.float32), len(self.sizes)
    )
    here = slice(self._filled, self._filled + shape[0] * shape[1])
    for size, level, kept in zip(self.sizes, pyramid, self._rows, strict=True):
      x, y = (
        self._rng.randint(half, size - half, shape[0] * shape[1]).reshape(shape)
        for _ in range(2)
      )
      kept[here] = patches(level, x, y)
    self._filled = here.stop

  def pop(self) -> np.ndarray:
    """Standardised descriptors [P, C * 49] of the largest level left."""
    return standardise(self._rows.pop(0)[: self._filled])


def standardise(rows: np.ndarray) -> np.ndarray:
  """Each channel of patches [P, C * 49] less its mean, over its deviation.

  In place; the statistics are summed in float64. A channel that is constant has
  no deviation and becomes 0.
  """
  channels = rows.reshape(len(rows), -1, PATCH * PATCH)
  for c in range(channels.shape[1]):
    values = channels[:, c]
    values -= np.float32(values.mean(dtype=np.float64))
    # Centred, so this mean of squares is the variance.
    squares = np.einsum('ij,ij->i', values, values).sum(dtype=np.float64)
    deviation = np.sqrt(squares / values.size)
    values /= np.float32(deviation) or 1
  return rows


def _groups(directions: np.ndarray):
  """Directions [D, K] in groups, as [K / groups, D]."""
  for start in range(0, directions.shape[1], _TOGETHER):
    yield np.ascontiguousarray(directions[:, start : start + _TOGETHER].T)


@jax.jit
def _sorted_projections(rows: Array, directions: Array) -> Array:
  """Of descriptors [P, D] on directions [K, D], each row of [K, P] sorted."""
  return jnp.sort(
    jnp.einsum('kd,pd->kp', directions, rows, precision=lax.Precision.HIGHEST)
  )


def _on_device(a, b, directions: np.ndarray) -> list[float]:
  """Wasserstein-1 distances of [P, D] and [P, D] along each of [D, K]."""
  a, b, found = jnp.asarray(a), jnp.asarray(b), []
  for some in _groups(directions):
    x, y = (_sorted_projections(rows, some) for rows in (a, b))
    found += np.asarray(jnp.abs(x - y).mean(1)).tolist()
  return found


def _on_host(a, b, directions: np.ndarray) -> list[float]:
  """The same by NumPy, for a CPU.

  Rows are taken by as many threads as there are cores: NumPy lets go of
  Python's lock. All projections lie in the same memory: fresh memory costs as
  much as the product.
  """
  memory = np.empty((2, _TOGETHER, len(a)), np.float32)
  found = []
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for some in _groups(directions):
      x, y = memory[:, : len(some)]
      np.matmul(some, a.T, out=x)
      np.matmul(some, b.T, out=y)
      found += pool.map(wasserstein.distance, x, y)
  return found


def directions(
  rng: np.random.RandomState, dim: int, repeats: int = 4, count: int = 128
) -> np.ndarray:
  """Unit vectors [dim, repeats * count], uniform on the sphere."""
  columns = []
  for _ in range(repeats):
    drawn = rng.randn(dim, count)
    columns.append(drawn / np.sqrt(np.sum(np.square(drawn), 0)))
  return np.concatenate(columns, 1).astype(np.float32)


def sliced_wasserstein(a, b, directions) -> float:
  """Mean Wasserstein-1 distance of two sets along directions (Rabin et al.).

  Args:
    a: descriptors [P, D].
    b: descriptors [P, D], as many.
    directions: unit vectors [D, K].
  """
  if a.shape != b.shape:
    raise UserError(
      'the sliced Wasserstein distance compares sets of one size, got '
      f'{len(a)} and {len(b)} descriptors: take as many fakes as reals'
    )
  on_cpu = jax.default_backend() == 'cpu'
  return float(np.mean((_on_host if on_cpu else _on_device)(a, b, directions)))


def _add_all(images, into: Patches, batch: int) -> None:
  for start in range(0, len(images), batch):
    into.add(images[start : start + batch])


def swd(
  real,
  fake,
  seed: int = 0,
  batch: int = 64,
  per_image: int = 128,
  repeats: int = 4,
  count: int = 128,
) -> dict[str, float]:
  """The whole metric, times 10^3, per level and on average.

  Args:
    real: images [N, S, S, C] in 0..255, S a power of two from 16; anything
      sliceable.
    fake: as many images, of the same shape.
    seed: of `numpy.random.RandomState`.
    batch: images at a time; positions are drawn by batch, so the numbers of a
      seed depend on it.
    per_image: patches per image and level.
    repeats: how often directions are drawn.
    count: directions of each draw.

  Returns:
    {'swd_64': ..., 'swd_32': ..., 'swd_16': ..., 'swd': their mean}.

  Raises:
    UserError: for a size that is no power of two, or sets that differ in it.
  """
  if len(real) != len(fake) or real.shape[1:] != fake.shape[1:]:
    raise UserError(
      'the sliced Wasserstein distance compares sets of one size, got '
      f'{tuple(real.shape)} and {tuple(fake.shape)}: take as many fakes as '
      'reals, at one resolution'
    )
  rng = np.random.RandomState(seed)
  sides = [Patches(real.shape[1], rng, len(real), per_image) for _ in range(2)]
  _add_all(real, sides[0], batch)
  # The released code compares the reals with themselves before the fakes
  # come: the draws it spends on that keep its numbers and ours the same.
  for _ in sides[0].sizes:
    directions(rng, PATCH * PATCH * real.shape[-1], repeats, count)
  _add_all(fake, sides[1], batch)
  return compare(*sides, rng, repeats, count)


def compare(
  real: Patches,
  fake: Patches,
  rng: np.random.RandomState,
  repeats: int = 4,
  count: int = 128,
) -> dict[str, float]:
  """`swd` of two collections of patches, which are used up."""
  values = {}
  for size in list(real.sizes):
    a, b = real.pop(), fake.pop()
    along = directions(rng, a.shape[1], repeats, count)
    values[f'swd_{size}'] = 1e3 * sliced_wasserstein(a, b, along)
  return values | {'swd': float(np.mean(list(values.values())))}
