"""What a convolution and its two gradients compile to on the CPU.

XLA's CPU backend is fast at matrix products and at convolutions of stride 1
and slow, up to a hundred times, at dilated ones, which the gradients of a
strided convolution are. The forms here have no dilation, but for the kernel
gradient of strided layers with few channels on both sides:

  stride 1     one convolution, or a matrix product where the window is 1x1.
  unfolding    patches times kernel (stride 2, output) or patches times output
               (kernel gradient), a few rows at a time, so that the patches
               stay in the cache and cost little memory.
  phases       the input of a stride s from its output is s * s convolutions
               of stride 1, computed as one and interleaved.
  folding      the same by one product with the kernel as it lies in memory,
               whose taps are then added where they overlap: for few positions
               and many channels, where rearranging the kernel costs most.

Which one when is what `benchmarks/conv.py` measured best.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array

_CACHE = 4 << 20  # Bytes of patches at a time: 1 to 4 MB measured alike.
_FEW_CHANNELS = 64  # Below, unfolding a strided convolution does not pay.
_FEWEST_CHANNELS = 8  # Below, interleaving phases costs more than folding.
_FEW_POSITIONS = 4  # Per output channel: below, the kernel costs most.
# XLA before jax 0.11 runs a convolution of stride 2 at half its speed.
_STRIDED_IS_SLOW = jax.__version_info__ < (0, 11)


def form(a: Array, b: Array, *, kind: str, geo: Any) -> Array:
  """The map `kind` of `conv.form_p`, one member after the other.

  Args:
    a: the first operand [members, ...].
    b: the second operand [members, ...].
    kind: 'y', 'x' or 'k', the map.
    geo: a `conv.Geometry`.

  Returns:
    [members, ...], computed in float32 if the operands have fewer bits.
  """
  dtype = a.dtype
  wide = jnp.promote_types(dtype, jnp.float32)
  function = {'y': _output, 'x': _input, 'k': _kernel}[kind]

  def member(pair: tuple[Array, Array]) -> Array:
    p, q = pair
    return function(p.astype(wide), q.astype(wide), geo).astype(dtype)

  if a.shape[0] == 1:
    return member((a[0], b[0]))[None]
  if kind == 'k' and _by_xla(a[0], b[0], geo):
    # A dilated convolution inside a loop is 300 times slower than outside.
    return jnp.stack([member(pair) for pair in zip(a, b, strict=True)])
  # As fast as members side by side, a tenth faster for 3x3, and compiled once.
  return lax.map(member, (a, b))


def _by_xla(x: Array, y: Array, geo: Any) -> bool:
  """Whether XLA's own kernel gradient is the fastest."""
  few = x.shape[-1] < _FEWEST_CHANNELS and y.shape[-1] < _FEW_CHANNELS
  return geo.stride > 1 and few


def _dot(a: Array, b: Array, axes: tuple[int, int], geo: Any) -> Array:
  """The sum over one axis of each operand."""
  contract = tuple((axis,) for axis in axes)
  return lax.dot_general(a, b, (contract, ((), ())), precision=geo.precision)


def _conv(x: Array, k: Array, pads: Any, geo: Any, stride: int = 1) -> Array:
  return lax.conv_general_dilated(
    x,
    k,
    (stride,) * 2,
    pads,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    precision=geo.precision,
  )


def _unfold(
  x: Array, geo: Any, floor: int
) -> tuple[int, int, Callable[[Array], Array]]:
  """Splits the output's rows into chunks.

  Args:
    x: images [N, H, W, C].
    geo: the convolution.
    floor: bytes of patches below which a chunk does not pay.

  Returns:
    The number of chunks, the rows of a chunk, and a function from the number
    of a chunk to its patches [N * rows * W', kh * kw * C].
  """
  n, h, w, c = x.shape
  s, (kh, kw), (oh, ow) = geo.stride, geo.window, geo.out
  copied = n * oh * ow * (kh * kw - 1) * c * x.dtype.itemsize
  chunks = min(oh, max(1, round(copied / max(floor, _CACHE))))
  rows = -(-oh // chunks)
  chunks = -(-oh // rows)
  height = (chunks * rows - 1) * s + kh
  width = -(-((ow - 1) * s + kw) // s) * s
  (top, _), (left, _) = geo.pads
  x = lax.pad(
    x,
    jnp.zeros((), x.dtype),
    (
      (0, 0, 0),
      (top, height - h - top, 0),
      (left, width - w - left, 0),
      (0, 0, 0),
    ),
  )
  x = x.reshape(n, height, width // s, s * c)  # Runs of s neighbours.

  def patches(i: Array) -> Array:
    slab = lax.dynamic_slice_in_dim(x, i * rows * s, (rows - 1) * s + kh, 1)
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
    return jnp.concatenate(taps, -1).reshape(n * rows * ow, kh * kw * c)

  return chunks, rows, patches


def _output(x: Array, k: Array, geo: Any) -> Array:
  """Images [N, H, W, in] and kernel [kh, kw, in, out] to the output."""
  n, co = x.shape[0], k.shape[-1]
  oh, ow = geo.out
  if geo.stride == 1 and geo.window == (1, 1) and not any(map(any, geo.pads)):
    return _dot(x, k[0, 0], (3, 0), geo)
  unfold = (
    geo.stride > 1
    and x.shape[-1] >= _FEW_CHANNELS
    and (_STRIDED_IS_SLOW or n * oh * ow <= _FEW_POSITIONS * co)
  )
  if not unfold and geo.out != (1, 1):
    return _conv(x, k, geo.pads, geo, geo.stride)
  chunks, rows, patches = _unfold(x, geo, k.nbytes)
  k = k.reshape(-1, co)

  def put(i: Array, y: Array) -> Array:
    part = _dot(patches(i), k, (1, 0), geo).reshape(n, rows, ow, co)
    return lax.dynamic_update_slice_in_dim(y, part, i * rows, 1)

  y = lax.full_like(x, 0, shape=(n, chunks * rows, ow, co))
  return lax.fori_loop(0, chunks, put, y)[:, :oh]


def _kernel(x: Array, y: Array, geo: Any) -> Array:
  """Images [N, H, W, in] and output [N, H', W', out] to the kernel."""
  ci, co = x.shape[-1], y.shape[-1]
  oh, (kh, kw) = geo.out[0], geo.window
  if _by_xla(x, y, geo):
    zeros = lax.full_like(x, 0, shape=(*geo.window, ci, co))
    return jax.vjp(lambda k: _conv(x, k, geo.pads, geo, geo.stride), zeros)[1](
      y
    )[0]
  if geo.stride == 1 and co < ci and geo.out != (1, 1):  # Unfold the smaller.
    pads = tuple(
      (w - 1 - lo, w - 1 - hi)
      for w, (lo, hi) in zip(geo.window, geo.pads, strict=True)
    )
    swapped = geo._replace(size=geo.out, pads=pads)
    return _kernel(y, x, swapped)[::-1, ::-1].swapaxes(2, 3)
  depth = kh * kw * ci
  chunks, rows, patches = _unfold(x, geo, 4 * depth * co)
  y = jnp.pad(y, ((0, 0), (0, chunks * rows - oh), (0, 0), (0, 0)))

  def add(i: Array, total: Array) -> Array:
    part = lax.dynamic_slice_in_dim(y, i * rows, rows, 1).reshape(-1, co)
    few, many = (part, patches(i)) if co < depth else (patches(i), part)
    # The barrier keeps XLA from folding the transposition into the product,
    # which costs a tenth to a fifth of its speed.
    few = lax.optimization_barrier(few.T)
    return total + _dot(few, many, (1, 0), geo)

  total = lax.full_like(x, 0, shape=(min(co, depth), max(co, depth)))
  total = lax.fori_loop(0, chunks, add, total)
  return (total.T if co < depth else total).reshape(kh, kw, ci, co)


def _input(y: Array, k: Array, geo: Any) -> Array:
  """Output [N, H', W', out] and kernel [kh, kw, in, out] to the images."""
  n, oh, ow, co = y.shape
  s, ci = geo.stride, k.shape[2]
  if (
    geo.window == (1, 1)
    or n * oh * ow <= _FEW_POSITIONS * co
    or s > 1
    and ci < _FEWEST_CHANNELS
  ):
    z, start = _fold(y, k, geo), [lo for lo, _ in geo.pads]
  else:
    z, start = _phases(y, k, geo), [lo % s for lo, _ in geo.pads]
  edges = [
    (-lo, size + lo - have, 0)
    for lo, size, have in zip(start, geo.size, z.shape[1:3], strict=True)
  ]
  return lax.pad(z, jnp.zeros((), z.dtype), ((0, 0, 0), *edges, (0, 0, 0)))


def _phases(y: Array, k: Array, geo: Any) -> Array:
  """The padded images, less whole strides of padding, by phases."""
  co, s, ci = y.shape[-1], geo.stride, k.shape[2]
  taps = [math.ceil(w / s) for w in geo.window]
  k = jnp.pad(
    k,
    [
      *((0, t * s - w) for t, w in zip(taps, geo.window, strict=True)),
      (0, 0),
      (0, 0),
    ],
  )
  k = k.reshape(taps[0], s, taps[1], s, ci, co)[::-1, :, ::-1]
  k = k.transpose(0, 2, 5, 1, 3, 4).reshape(*taps, co, s * s * ci)
  pads = []
  for t, (lo, _), size, have in zip(
    taps, geo.pads, geo.size, geo.out, strict=True
  ):
    before = t - 1 - lo // s
    wanted = math.ceil((lo % s + size) / s)
    pads.append((before, wanted - have - before + t - 1))
  return _interleave(_conv(y, k, pads, geo), s)


def _fold(y: Array, k: Array, geo: Any) -> Array:
  """The padded images by adding the taps of one product."""
  n, oh, ow, co = y.shape
  s, (kh, kw), ci = geo.stride, geo.window, k.shape[2]
  z = _dot(y.reshape(-1, co), k.reshape(-1, co), (1, 1), geo)
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
