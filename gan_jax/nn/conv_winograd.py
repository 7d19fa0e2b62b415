"""A convolution by minimal filtering: fewer products for the same sums.

Two neighbouring outputs of r taps take 2 r products as they are written down,
and r + 1 by Winograd's algorithm F(2, r), which multiplies sums of neighbours
by sums of taps: for r = 2

  y0 = x0 k0 + x1 k1 = m0 + m1,   m0 = (x0 - x1) k0,
  y1 = x1 k0 + x2 k1 = m1 + m2,   m1 = x1 (k0 + k1),   m2 = (x2 - x1) k1.

In both directions these are 9 products in place of 16, for r = 3 16 in place of
36, and all channels of a product are one matrix product. A stride s is one of 1
over the s * s phases of the images as channels: a 4x4 kernel of stride 2 has
two taps. Its additions move more memory than a convolution does, so it pays
where there are many channels, and more positions than the kernel has rows. All
factors are 1 and 1/2: it rounds about twice as coarsely, no more.

Source: Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray,
Fast Algorithms for Convolutional Neural Networks, arXiv 1509.09308, section 4.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.nn import conv_cpu
from gan_jax.nn.conv_plain import Geometry, Pads

Array = jax.Array
Matrix = Sequence[Sequence[float]]
Grid = list[list[Array]]

_OUTPUTS = 2  # of a tile, in each direction
_CACHE = 8 << 20  # Bytes of sums at a time: 2 MB measured slower.


class _Filter(NamedTuple):
  """F(2, r): sum over i of (x d)_i (k g)_i (y e)_i is the trilinear form.

  Attributes:
    x: of the r + 1 inputs d of a tile.
    k: of the r taps g.
    y: of the two outputs e.
  """

  x: Matrix
  k: Matrix
  y: Matrix


_FILTERS = {
  2: _Filter(
    x=((1, -1, 0), (0, 1, 0), (0, -1, 1)),
    k=((1, 0), (1, 1), (0, 1)),
    y=((1, 0), (1, 1), (0, 1)),
  ),
  3: _Filter(
    x=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    k=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
    y=((1, 0), (1, 1), (1, -1), (0, -1)),
  ),
}


def fits(geo: Geometry) -> bool:
  """Whether there is a filter for a convolution."""
  height, width = geo.taps
  return height == width and height in _FILTERS


def _combined(matrix: Matrix, parts: list[Array]) -> list[Array]:
  """The product of a matrix with a column of arrays."""
  rows = []
  for row in matrix:
    terms = [
      part if factor == 1 else factor * part
      for factor, part in zip(row, parts, strict=True)
      if factor
    ]
    rows.append(sum(terms[1:], terms[0]))
  return rows


def _both(matrix: Matrix, grid: Grid) -> Grid:
  """The same along both axes of a grid."""
  rows = [_combined(matrix, row) for row in grid]
  columns = [_combined(matrix, list(c)) for c in zip(*rows, strict=True)]
  return [list(row) for row in zip(*columns, strict=True)]


def _adjoint(matrix: Matrix) -> Matrix:
  return tuple(zip(*matrix, strict=True))


def _made(size: int, at: Callable[[int, int], Array]) -> Grid:
  return [[at(a, b) for b in range(size)] for a in range(size)]


def _by_phases(x: Array, geo: Geometry) -> tuple[Array, Pads]:
  """Images with their phases as channels [N, H, W, s * s * C], and pads."""
  s = geo.stride
  if s == 1:
    return x, geo.pads
  n, _, _, c = x.shape
  h, w = (o + t - 1 for o, t in zip(geo.out, geo.taps, strict=True))
  x = conv_cpu.padded(x, [lo for lo, _ in geo.pads], (h * s, w * s))
  x = x.reshape(n, h, s, w, s * c).transpose(0, 1, 3, 2, 4)
  return x.reshape(n, h, w, s * s * c), ((0, 0), (0, 0))


def _filters(k: Array, geo: Geometry, flipped: bool) -> Grid:
  """The sums of a kernel's taps, matrices in its own order.

  Returns:
    Of 'HWIO' [s * s * in, out] each, of 'HWOI' [out, s * s * in].
  """
  s, t, (ah, bh) = geo.stride, geo.taps[0], k.shape[2:]
  k = conv_cpu.by_taps(k, geo)
  if flipped:
    k = k[::-1, :, ::-1]

  def tap(a: int, b: int) -> Array:
    part = k[a, :, b]
    if geo.kernel == 'HWIO':
      return part.reshape(s * s * ah, bh)
    return part.transpose(2, 0, 1, 3).reshape(ah, s * s * bh)

  return _both(_FILTERS[t].k, _made(t, tap))


def _at_once(n: int, sums: int, least: int = 0) -> int:
  """Images of a part, which divide n.

  Args:
    n: all images.
    sums: bytes of an image's sums.
    least: bytes of sums that a part should have, more than fit the cache.
  """
  return conv_cpu.divisor(n, max(_CACHE, least) // sums)


def _tiles(out: tuple[int, int]) -> tuple[int, int]:
  """Rows and columns of tiles of an output."""
  return tuple(math.ceil(o / _OUTPUTS) for o in out)


def _inputs(x: Array, pads: Pads, tiles: tuple[int, int], taps: int) -> Grid:
  """The sums of images' inputs, [N * tiles, C] each."""
  m, size = _OUTPUTS, tuple(_OUTPUTS * t + taps - 1 for t in tiles)
  x = conv_cpu.padded(x, [lo for lo, _ in pads], size)
  rows, columns = (m * (t - 1) + 1 for t in tiles)
  grid = _made(
    m + taps - 1, lambda a, b: x[:, a : a + rows : m, b : b + columns : m]
  )
  sums = _both(_FILTERS[taps].x, grid)
  return [[v.reshape(-1, v.shape[-1]) for v in row] for row in sums]


def _convolved(
  x: Array,
  filters: Grid,
  axis: int,
  out: tuple[int, int],
  enter: Callable[[Array], tuple[Array, Pads]],
  leave: Callable[[Array], Array],
  geo: Geometry,
) -> Array:
  """A convolution of stride 1, of some images at a time.

  Args:
    x: all images.
    filters: sums of taps.
    axis: that of a filter which is summed over.
    out: height and width of the output.
    enter: some images -> what is convolved [N, H, W, C], and its pads.
    leave: its output [N, *out, C'] -> what is returned of these images.
    geo: of the convolution whose map this is.
  """
  n, shape = x.shape[0], filters[0][0].shape
  c, co = shape[axis], shape[1 - axis]
  taps, tiles = geo.taps[0], _tiles(out)
  sums = x.dtype.itemsize * len(filters) ** 2 * math.prod(tiles) * (c + co)
  images = _at_once(n, sums)

  def part(i: Array) -> Array:
    some = enter(lax.dynamic_slice_in_dim(x, i * images, images))
    products = [
      [
        conv_cpu.dot(v, u, (1, axis), geo).reshape(images, *tiles, co)
        for v, u in zip(*rows, strict=True)
      ]
      for rows in zip(_inputs(*some, tiles, taps), filters, strict=True)
    ]
    y = _both(_adjoint(_FILTERS[taps].y), products)
    y = jnp.stack([jnp.stack(row, 3) for row in y], 2)
    y = y.reshape(images, *(_OUTPUTS * t for t in tiles), co)
    return leave(y[:, : out[0], : out[1]])

  y = lax.map(part, jnp.arange(n // images))
  return y.reshape(n, *y.shape[2:])


def output(x: Array, k: Array, geo: Geometry) -> Array:
  """Images [N, H, W, in] and kernel to the output."""
  enter = functools.partial(_by_phases, geo=geo)
  axis = 0 if geo.kernel == 'HWIO' else 1
  filters = _filters(k, geo, False)
  return _convolved(x, filters, axis, geo.out, enter, lambda y: y, geo)


def input_(y: Array, k: Array, geo: Geometry) -> Array:
  """Output [N, H', W', out] and kernel to the images."""
  pads, out = conv_cpu.phase_pads(geo)
  leave = functools.partial(conv_cpu.from_phases, geo=geo)
  axis = 1 if geo.kernel == 'HWIO' else 0
  filters = _filters(k, geo, True)
  return _convolved(y, filters, axis, out, lambda y: (y, pads), leave, geo)


def kernel(x: Array, y: Array, geo: Geometry) -> Array:
  """Images [N, H, W, in] and output [N, H', W', out] to the kernel."""
  taps, tiles, m = geo.taps[0], _tiles(geo.out), _OUTPUTS
  n, c, co = x.shape[0], geo.stride**2 * x.shape[-1], y.shape[-1]
  count, bytes_ = m + taps - 1, x.dtype.itemsize
  # Products are added up: what they are of has to be larger than they are.
  sums = bytes_ * count**2 * math.prod(tiles) * (c + co)
  images = _at_once(n, sums, bytes_ * count**2 * c * co)

  def product(v: Array, e: Array) -> Array:
    pair = (v, e) if geo.kernel == 'HWIO' else (e, v)
    return conv_cpu.dot(*pair, (0, 0), geo)

  def add(i: Array, totals: Grid) -> Grid:
    some = lambda z: lax.dynamic_slice_in_dim(z, i * images, images)
    inputs = _inputs(*_by_phases(some(x), geo), tiles, taps)
    part = conv_cpu.padded(some(y), (0, 0), [m * t for t in tiles])
    grid = _made(m, lambda a, b: part[:, a::m, b::m])
    outputs = _both(_FILTERS[taps].y, grid)
    return [
      [
        total + product(v, e.reshape(-1, co))
        for total, v, e in zip(*rows, strict=True)
      ]
      for rows in zip(totals, inputs, outputs, strict=True)
    ]

  shape = (c, co) if geo.kernel == 'HWIO' else (co, c)
  totals = _made(count, lambda a, b: lax.full_like(x, 0, shape=shape))
  totals = lax.fori_loop(0, n // images, add, totals)
  return _kernel_of(_both(_adjoint(_FILTERS[taps].k), totals), geo)


def _kernel_of(taps: Grid, geo: Geometry) -> Array:
  """The kernel whose taps over the phases are given; see `_filters`."""
  s, t = geo.stride, len(taps)
  k = jnp.stack([jnp.stack(row) for row in taps])  # [t, t, ...]
  if geo.kernel == 'HWIO':
    k = k.reshape(t, t, s, s, -1, k.shape[-1]).transpose(0, 2, 1, 3, 4, 5)
  else:
    k = k.reshape(t, t, k.shape[2], s, s, -1).transpose(0, 3, 1, 4, 2, 5)
  k = k.reshape(t * s, t * s, *k.shape[4:])
  return k[: geo.window[0], : geo.window[1]]
