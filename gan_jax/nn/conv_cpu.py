"""Forms of a convolution and its two gradients that are fast on a CPU.

XLA's CPU backend is fast at matrix products and at convolutions, and slow, up
to a hundred times, at the dilated ones that the gradients of a strided
convolution are. The forms here have none of those:

  convolution  for the output, and a matrix product where the window is 1x1.
               XLA has two libraries for it; see `_conv`.
  rows         the same over columns alone, with the window's rows and runs of
               its columns as channels: for strided layers with very few.
  unfolding    patches times output for the kernel gradient, a few images or
               rows at a time, so that the patches stay in the cache and cost
               little memory. Of a large strided layer with few output channels
               the phases are made channels first.
  phases       the input of a stride s from its output is s * s convolutions
               of stride 1, computed as one and interleaved.
  folding      the same by one product with the kernel as it lies in memory,
               whose taps are then added where they overlap: for few positions
               and many channels, where rearranging the kernel costs most.

conv_forms.py has their names and chooses among them.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.layout import Layout, with_layout_constraint

from gan_jax.nn.conv_plain import Geometry, Pads

Array = jax.Array

FEWEST_CHANNELS = 8  # Below, interleaving phases costs more than folding.
_CACHE = 4 << 20  # Bytes of patches at a time: 1 to 8 MB measured alike.
_DEEP = 512  # Rows of a kernel matrix that make a transposition pay.


def _ordered(k: Array, geo: Geometry) -> Array:
  """A kernel [kh, kw, in, out] in the order that `geo` names, or back."""
  return k if geo.kernel == 'HWIO' else k.swapaxes(2, 3)


def dot(a: Array, b: Array, axes: tuple[int, int], geo: Geometry) -> Array:
  """The sum over one axis of each operand."""
  contract = tuple((axis,) for axis in axes)
  return lax.dot_general(a, b, (contract, ((), ())), precision=geo.precision)


def _conv(
  x: Array, k: Array, pads: Pads, geo: Geometry, stride: int, eigen: bool
) -> Array:
  """A convolution by one of XLA's two libraries.

  XLA prefers YNNPACK, which takes no dilated input. With zeros between the
  rows of the input and of the kernel, and twice the step, the sums are the
  same, and Eigen makes them.
  """
  d = 2 if eigen else 1
  (top, bottom), columns = pads
  return lax.conv_general_dilated(
    x,
    k,
    (d * stride, stride),
    ((d * top, d * bottom), columns),
    lhs_dilation=(d, 1),
    rhs_dilation=(d, 1),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    precision=geo.precision,
  )


class _Chunks(NamedTuple):
  """The patches of a convolution: of some images, or of some rows of all.

  Attributes:
    images: images of a chunk; they divide N.
    rows: output rows of a chunk.
    count: the number of chunks.
    patches: number of a chunk -> [images * rows * W', kh * kw * C].
    start: number of a chunk -> its first position in [N, H', W', C].
  """

  images: int
  rows: int
  count: int
  patches: Callable[[Array], Array]
  start: Callable[[Array], tuple[Any, ...]]


def _unfold(x: Array, geo: Geometry, floor: int) -> _Chunks:
  """Splits a convolution of images [N, H, W, C] into chunks.

  Args:
    x: the images.
    geo: the convolution.
    floor: bytes of patches below which a chunk does not pay.
  """
  n, h, w, c = x.shape
  s, (kh, kw), (oh, ow) = geo.stride, geo.window, geo.out
  (top, _), (left, _) = geo.pads
  target = max(floor, _CACHE)
  copied = oh * ow * (kh * kw - 1) * c * x.dtype.itemsize  # of an image
  # Whole images lie in one piece: up to twice as fast as rows of all.
  whole = copied <= 2 * target
  if whole:
    images = divisor(n, target // max(1, copied))
    rows = oh
  else:
    images, rows = n, -(-oh // min(oh, round(n * copied / target)))
  per_image = -(-oh // rows)
  height = (per_image * rows - 1) * s + kh
  width = -(-((ow - 1) * s + kw) // s) * s

  def start(i: Array) -> tuple[Any, ...]:
    return i // per_image * images, i % per_image * rows, 0, 0

  def pad(x: Array) -> Array:
    x = padded(x, (top, left), (height, width))
    return x.reshape(-1, height, width // s, s * c)  # Runs of s neighbours.

  all_of = None if whole else pad(x)

  def patches(i: Array) -> Array:
    image, row, *_ = start(i)
    if whole:
      slab = pad(lax.dynamic_slice_in_dim(x, image, images))
    else:
      slab = lax.dynamic_slice_in_dim(all_of, row * s, (rows - 1) * s + kh, 1)
    taps = [
      slab[
        :,
        r : r + (rows - 1) * s + 1 : s,
        b // s : b // s + ow,
        : min(s, kw - b) * c,
      ]
      for r in range(kh)
      for b in range(0, kw, s)
    ]
    return jnp.concatenate(taps, -1).reshape(-1, kh * kw * c)

  return _Chunks(images, rows, n // images * per_image, patches, start)


def output_by_product(x: Array, k: Array, geo: Geometry) -> Array:
  """Images and kernel [...] to the output, where one product gives it.

  That is where the window is 1x1, or the output has one position.
  """
  k = _ordered(k, geo)
  n, co = x.shape[0], k.shape[-1]
  if geo.out != (1, 1):
    return dot(x, k[0, 0], (3, 0), geo)
  x = padded(x, [lo for lo, _ in geo.pads], geo.window)
  y = dot(x.reshape(n, -1), k.reshape(-1, co), (1, 0), geo)
  return y.reshape(n, 1, 1, co)


def output(x: Array, k: Array, geo: Geometry, eigen: bool) -> Array:
  """Images [N, H, W, in] and kernel to the output, by a convolution."""
  return _conv(x, _ordered(k, geo), geo.pads, geo, geo.stride, eigen)


def output_by_rows(x: Array, k: Array, geo: Geometry) -> Array:
  """The output by a convolution over columns, of stride 1.

  The rows of the window and its runs of s columns are channels.
  """
  k = _ordered(k, geo)
  n, h, w, c = x.shape
  s, (kh, kw), (oh, ow) = geo.stride, geo.window, geo.out
  (top, _), (left, _) = geo.pads
  runs = math.ceil(kw / s)
  width = ow + runs - 1
  x = padded(x, (top, left), ((oh - 1) * s + kh, width * s))
  x = x.reshape(n, -1, width, s * c)
  x = jnp.concatenate(
    [x[:, r : r + (oh - 1) * s + 1 : s] for r in range(kh)], -1
  )
  k = jnp.pad(k, ((0, 0), (0, runs * s - kw), (0, 0), (0, 0)))
  y = lax.conv_general_dilated(
    x.reshape(n * oh, width, kh * s * c),
    k.reshape(kh, runs, s * c, -1).swapaxes(0, 1).reshape(runs, kh * s * c, -1),
    (1,),
    ((0, 0),),
    dimension_numbers=('NWC', 'WIO', 'NWC'),
    precision=geo.precision,
  )
  return y.reshape(n, oh, ow, -1)


def is_large(x_channels: int, geo: Geometry) -> bool:
  """Whether the patches of a float32 image fill the cache."""
  (oh, ow), (kh, kw) = geo.out, geo.window
  return 4 * oh * ow * kh * kw * x_channels > _CACHE


def kernel_by_unfolding_output(x: Array, y: Array, geo: Geometry) -> Array:
  """The kernel of a stride of 1 by patches of the output, not of the images."""
  pads = tuple(
    (w - 1 - lo, w - 1 - hi)
    for w, (lo, hi) in zip(geo.window, geo.pads, strict=True)
  )
  order = 'HWOI' if geo.kernel == 'HWIO' else 'HWIO'
  swapped = geo._replace(size=geo.out, pads=pads, kernel=order)
  return kernel_by_unfolding(y, x, swapped)[::-1, ::-1]


def kernel_by_unfolding(x: Array, y: Array, geo: Geometry) -> Array:
  """Images [N, H, W, in] and output [N, H', W', out] to the kernel."""
  ci, co = x.shape[-1], y.shape[-1]
  (oh, ow), (kh, kw) = geo.out, geo.window
  depth = kh * kw * ci
  chunks = _unfold(x, geo, 4 * depth * co)
  y = jnp.pad(y, ((0, 0), (0, -oh % chunks.rows), (0, 0), (0, 0)))

  def add(i: Array, total: Array) -> Array:
    size = (chunks.images, chunks.rows, ow, co)
    part = lax.dynamic_slice(y, chunks.start(i), size).reshape(-1, co)
    patches = chunks.patches(i)
    few, many = (part, patches) if co < depth else (patches, part)
    if depth < _DEEP:
      return total + dot(few, many, (0, 0), geo)
    # The barrier keeps XLA from folding the transposition into the product,
    # which costs a tenth to a fifth of its speed.
    few = lax.optimization_barrier(few.T)
    return total + dot(few, many, (1, 0), geo)

  total = lax.full_like(x, 0, shape=(min(co, depth), max(co, depth)))
  total = lax.fori_loop(0, chunks.count, add, total)
  if co >= depth:
    return _ordered(total.reshape(kh, kw, ci, co), geo)
  if geo.kernel == 'HWOI':
    return total.reshape(co, kh, kw, ci).transpose(1, 2, 0, 3)
  return _turn(total).reshape(kh, kw, ci, co)


def kernel_by_depth(x: Array, y: Array, geo: Geometry) -> Array:
  """The kernel of a stride s whose s * s phases are channels at stride 1.

  There the output, which has fewer channels, is unfolded, an image at a time.
  It is transposed before: a product with the positions last is the fastest,
  and a patch is then a window of rows.
  """
  n, h, w, ci = x.shape
  s, co, ((top, _), (left, _)) = geo.stride, y.shape[-1], geo.pads
  kh, kw = window = tuple(k // s for k in geo.window)
  size = tuple(o + k - 1 for o, k in zip(geo.out, window, strict=True))
  edges = ((top, size[0] * s - h - top, 0), (left, size[1] * s - w - left, 0))

  def phases(image: Array) -> Array:
    image = lax.pad(image, jnp.zeros((), x.dtype), (*edges, (0, 0, 0)))
    image = image.reshape(size[0], s, size[1], s, ci).transpose(0, 2, 1, 3, 4)
    return image.reshape(-1, s * s * ci)

  def add(i: Array, total: Array) -> Array:
    part = lax.optimization_barrier(y[i].transpose(2, 0, 1))
    part = jnp.pad(part, ((0, 0), (kh - 1, kh - 1), (kw - 1, kw - 1)))
    taps = [
      part[:, a : a + size[0], b : b + size[1]]
      for a in reversed(range(kh))
      for b in reversed(range(kw))
    ]
    patches = jnp.concatenate(taps).reshape(-1, math.prod(size))
    patches = lax.optimization_barrier(patches)
    return total + dot(patches, phases(x[i]), (1, 0), geo)

  total = lax.full_like(x, 0, shape=(kh * kw * co, s * s * ci))
  total = lax.fori_loop(0, n, add, total).reshape(kh, kw, co, s, s, ci)
  total = total.transpose(0, 3, 1, 4, 5, 2).reshape(*geo.window, ci, co)
  return _ordered(total, geo)


def _turn(x: Array) -> Array:
  """The transpose of a matrix, as an array in memory.

  Left to itself XLA reads the matrix by columns wherever the transpose is
  used, three times in an update by Adam, each at a tenth of the speed of a
  copy: a third of a DCGAN-64 step. It does not look into a branch whose
  condition it cannot see, and the stated layout makes it copy in there.
  """
  rows = Layout(major_to_minor=(0, 1))
  return lax.cond(
    lax.optimization_barrier(True),
    lambda x: with_layout_constraint(x.T, rows),
    lambda x: with_layout_constraint(jnp.zeros_like(x.T), rows),
    x,
  )


def padded(x: Array, before: Sequence[int], size: Sequence[int]) -> Array:
  """Images of a height and a width, with rows and columns of zeros before.

  What is left to the size is zeros as well; fewer than none are cropped.
  """
  edges = [
    (lo, wanted - have - lo, 0)
    for lo, wanted, have in zip(before, size, x.shape[1:3], strict=True)
  ]
  return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *edges, (0, 0, 0)))


def divisor(n: int, most: int) -> int:
  """The largest divisor of n that is not above `most`, at least 1."""
  return max(m for m in range(1, n + 1) if n % m == 0 and m <= max(1, most))


def input_by_folding(y: Array, k: Array, geo: Geometry) -> Array:
  """Output [N, H', W', out] and kernel to the images, by one product."""
  return padded(_fold(y, k, geo), [-lo for lo, _ in geo.pads], geo.size)


def input_by_phases(y: Array, k: Array, geo: Geometry, eigen: bool) -> Array:
  """The same by a convolution of stride 1 with s * s times the channels."""
  k, s, taps = by_taps(_ordered(k, geo), geo), geo.stride, geo.taps
  ci, co = k.shape[4:]
  k = k[::-1, :, ::-1]
  k = k.transpose(0, 2, 5, 1, 3, 4).reshape(*taps, co, s * s * ci)
  return from_phases(_conv(y, k, phase_pads(geo)[0], geo, 1, eigen), geo)


def by_taps(k: Array, geo: Geometry) -> Array:
  """A kernel [kh, kw, ...] as [taps, s, taps, s, ...], zeros behind it."""
  (th, tw), s = geo.taps, geo.stride
  edges = [(0, t * s - w) for t, w in zip(geo.taps, geo.window, strict=True)]
  k = jnp.pad(k, (*edges, (0, 0), (0, 0)))
  return k.reshape(th, s, tw, s, *k.shape[2:])


def phase_pads(geo: Geometry) -> tuple[Pads, tuple[int, int]]:
  """Of the convolution of stride 1 that gives the images by phases.

  Returns:
    The pads of its input, which is the output of `geo`, and the height and
    the width of its own.
  """
  s, pads, sizes = geo.stride, [], []
  for taps, (lo, _), size, have in zip(
    geo.taps, geo.pads, geo.size, geo.out, strict=True
  ):
    before = taps - 1 - lo // s
    sizes.append(math.ceil((lo % s + size) / s))
    pads.append((before, sizes[-1] - have - before + taps - 1))
  return tuple(pads), tuple(sizes)


def from_phases(z: Array, geo: Geometry) -> Array:
  """The images, of [N, H, W, s * s * C] without whole strides of padding."""
  z, s = _interleave(z, geo.stride), geo.stride
  return padded(z, [-(lo % s) for lo, _ in geo.pads], geo.size)


def _fold(y: Array, k: Array, geo: Geometry) -> Array:
  """The padded images by adding the taps of one product."""
  n, oh, ow, co = y.shape
  s, (kh, kw), ci = geo.stride, geo.window, k.shape[geo.kernel.index('I')]
  y = y.reshape(-1, co)
  if geo.kernel == 'HWIO' or ci < FEWEST_CHANNELS:
    z = dot(y, _ordered(k, geo).reshape(-1, co), (1, 1), geo)
  else:  # A product a tap: a single one needs a copy of the kernel.
    taps = k.reshape(-1, co, ci)
    z = jnp.stack([dot(y, tap, (1, 0), geo) for tap in taps], 1)
  z = z.reshape(n, oh, ow, kh, kw, ci)
  th, tw = math.ceil(kh / s), math.ceil(kw / s)
  total = 0
  for a in range(th):
    for b in range(tw):
      tap = z[:, :, :, a * s : (a + 1) * s, b * s : (b + 1) * s]
      total += jnp.pad(
        tap,
        (
          (0, 0),
          (a, th - 1 - a),
          (b, tw - 1 - b),
          (0, s - tap.shape[3]),
          (0, s - tap.shape[4]),
          (0, 0),
        ),
      )
  return _interleave(total.reshape(*total.shape[:3], -1), s)


def _interleave(z: Array, s: int) -> Array:
  """[N, H, W, s * s * C] to [N, s * H, s * W, C]."""
  n, h, w, c = z.shape
  z = z.reshape(n, h, w, s, s, c // s**2).transpose(0, 1, 3, 2, 4, 5)
  return z.reshape(n, h * s, w * s, -1)
