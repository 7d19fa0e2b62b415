"""FIR up- and down-sampling (Zhang 2019; StyleGAN2, Karras et al. 2020).

Before every second pixel is dropped, and after zeros have been put between
pixels, a map is smoothed by a small separable filter, so that it moves with its
input instead of flickering. One linear map does all of it: along each axis,

  y[j] = sum over t of h[t] u[j * down + t - before],

where u is x with up - 1 zeros behind each number, and zeros outside. Its
adjoint is another one, with the taps in reverse and `up` and `down` swapped, so
that as one primitive it is closed under differentiation of every order, and its
gradients are sums of shifted maps as it is itself. XLA's depthwise convolution
took 5 to 9 times as long as such sums on a CPU of two cores, [2, 257, 257, 64],
other programs beside it. Filters are given as the literature writes them, as
those of a convolution: flipped where they are not symmetric.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core as jex_core
from jax.interpreters import ad, batching, mlir

from gan_jax.nn import precision
from gan_jax.nn.conv import conv, conv_transpose

Array = jax.Array

TAPS = (1, 3, 3, 1)  # of StyleGAN2, divided by their sum


class _Geometry(NamedTuple):
  """The static numbers of the map above, the same along both axes.

  Attributes:
    taps: h.
    up: step of u.
    down: step of the window.
    before: zeros before u.
    out: height and width of y.
  """

  taps: tuple[float, ...]
  up: int
  down: int
  before: int
  out: tuple[int, int]


def _pad(x: Array, axis: int, before: int, size: int) -> Array:
  """An axis begun `before` numbers earlier (later, if negative), of a size."""
  edges = [(0, 0, 0)] * x.ndim
  edges[axis] = (before, size - before - x.shape[axis], 0)
  return lax.pad(x, jnp.zeros((), x.dtype), edges)


def _along(x: Array, axis: int, geo: _Geometry) -> Array:
  """The map along an axis; one of `up` and `down` is 1."""
  size, taps = geo.out[axis - 1], geo.taps
  if geo.up > 1:
    return _phases(x, axis, geo)
  rows = size + (len(taps) - 1) // geo.down  # in steps of the window
  # The barrier makes the padded map once, not a test of bounds for each tap.
  x = lax.optimization_barrier(_pad(x, axis, geo.before, rows * geo.down))
  if geo.down > 1:
    x = x.reshape(*x.shape[:axis], rows, geo.down, *x.shape[axis + 1 :])

  def tap(t: int) -> Array:
    start, phase = divmod(t, geo.down)
    part = lax.slice_in_dim(x, start, start + size, axis=axis)
    if geo.down > 1:
      part = lax.index_in_dim(part, phase, axis + 1, keepdims=False)
    return part

  return sum(h * tap(t) for t, h in enumerate(taps))


def _phases(x: Array, axis: int, geo: _Geometry) -> Array:
  """The map along an axis with zeros between, which are left out of the sums.

  Each phase of the output sees every `up`-th tap only.
  """
  rows = -(-geo.out[axis - 1] // geo.up)
  # Tap t of phase r meets x[i + (r + t - before) / up].
  first = -(geo.before // geo.up)
  last = (geo.up - 1 + len(geo.taps) - 1 - geo.before) // geo.up
  x = lax.optimization_barrier(_pad(x, axis, -first, rows + last - first))
  found = []
  for r in range(geo.up):
    total = 0
    for t, h in enumerate(geo.taps):
      at, rest = divmod(r + t - geo.before, geo.up)
      if not rest:
        start = at - first
        total += h * lax.slice_in_dim(x, start, start + rows, axis=axis)
    found.append(total)
  x = jnp.stack(found, axis + 1)
  x = x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])
  return lax.slice_in_dim(x, 0, geo.out[axis - 1], axis=axis)


def _both(x: Array, *, geo: _Geometry) -> Array:
  """Rows, then columns; in float32 at least, rounded once."""
  y = _along(precision.full(x), 1, geo)
  return _along(y, 2, geo).astype(x.dtype)


fir_p = jex_core.Primitive('gan_fir')


@functools.partial(jax.jit, static_argnames='geo')
def _fir(x: Array, *, geo: _Geometry) -> Array:
  return fir_p.bind(x, geo=geo)


fir_p.def_impl(_fir)


@fir_p.def_abstract_eval
def _abstract(x: Any, *, geo: _Geometry) -> Any:
  return x.update(shape=(x.shape[0], *geo.out, x.shape[3]), weak_type=False)


def _transpose(cotangent: Any, x: Any, *, geo: _Geometry) -> Any:
  adjoint = _Geometry(
    taps=geo.taps[::-1],
    up=geo.down,
    down=geo.up,
    before=len(geo.taps) - 1 - geo.before,
    out=x.aval.shape[1:3],
  )
  return (fir_p.bind(cotangent, geo=adjoint),)


def _batch(args: Any, dims: Any, *, geo: _Geometry) -> Any:
  (x,), (dim,) = args, dims
  x = jnp.moveaxis(x, dim, 0)
  y = fir_p.bind(x.reshape(-1, *x.shape[2:]), geo=geo)
  return y.reshape(*x.shape[:2], *y.shape[1:]), 0


ad.deflinear2(fir_p, _transpose)
batching.primitive_batchers[fir_p] = _batch
mlir.register_lowering(fir_p, mlir.lower_fun(_both, multiple_results=False))


def _resampled(x, taps, gain: float, **more) -> Array:
  """See above; `gain` along each axis."""
  total = sum(taps)
  taps = tuple(gain * t / total for t in reversed(taps))
  return fir_p.bind(x, geo=_Geometry(taps, **dict(up=1, down=1) | more))


def smooth(
  x: Array,
  before: int,
  after: int,
  taps: Sequence[float] = TAPS,
  gain: float = 1.0,
) -> Array:
  """The filter alone.

  Args:
    x: [N, H, W, C].
    before: zeros above and to the left.
    after: below and to the right.
    taps: of the filter along each axis, K of them; divided by their sum.
    gain: along each axis.

  Returns:
    [N, H + before + after - K + 1, W + ..., C].
  """
  more = before + after - len(taps) + 1
  out = tuple(size + more for size in x.shape[1:3])
  return _resampled(x, taps, gain, before=before, out=out)


def upsample(x: Array, taps: Sequence[float] = TAPS) -> Array:
  """Twice the side, at the same mean: [N, H, W, C] -> [N, 2H, 2W, C].

  Args:
    x: maps or pictures.
    taps: of the filter; four are centred, more begin earlier.
  """
  out = tuple(2 * size for size in x.shape[1:3])
  return _resampled(x, taps, 2.0, up=2, before=2, out=out)


def downsample(x: Array, taps: Sequence[float] = TAPS) -> Array:
  """Half the side: [N, H, W, C] -> [N, H/2, W/2, C].

  Args:
    x: maps or pictures of even sides.
    taps: of the filter; four are centred, more end later.
  """
  out = tuple(size // 2 for size in x.shape[1:3])
  return _resampled(x, taps, 1.0, down=2, before=1, out=out)


def up_conv(x: Array, kernel: Array, taps: Sequence[float] = TAPS) -> Array:
  """A convolution of the map with zeros between its pixels, then the filter.

  The filter is not folded into the kernel: 6x6 in place of 3x3 are four times
  the products.

  Args:
    x: [N, H, W, in].
    kernel: [3, 3, in, out], flipped as in `nn.conv.conv_transpose`; or
      [1, 1, in, out].
    taps: of the filter, four of them.

  Returns:
    [N, 2H, 2W, out].
  """
  if kernel.shape[:2] == (1, 1):
    return upsample(conv(x, kernel), taps)
  return smooth(conv_transpose(x, kernel, 2, 0), 1, 1, taps, 2.0)


def down_conv(x: Array, kernel: Array, taps: Sequence[float] = TAPS) -> Array:
  """The filter, then a convolution at every second pixel.

  Args:
    x: [N, H, W, in], H and W even.
    kernel: [3, 3, in, out] or [1, 1, in, out].
    taps: of the filter, four of them.

  Returns:
    [N, H/2, W/2, out].
  """
  if kernel.shape[:2] == (1, 1):
    return conv(downsample(x, taps), kernel)
  return conv(smooth(x, 2, 2, taps), kernel, 2, 'VALID')
