"""Convolutions that are exact and fast on every backend.

The three maps of a convolution, x and kernel to output, output and kernel to
input, x and output to kernel, are the gradients of one trilinear form

  T(x, k, y) = sum over (positions, taps, channels) of x * k * y

by y, by x and by k. So one primitive with a parameter that says which of the
three is meant closes under differentiation of every order, forward and
reverse: the derivatives of each map are the other two. It also closes under
`vmap`, because every operand carries a leading dimension of members. What a
map compiles to is chosen when it is lowered, by the platform, the layer and the
tables that have been measured: see conv_forms.py.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.extend import core as jex_core
from jax.interpreters import ad, batching, mlir

from gan_jax.nn import conv_forms, conv_tables, precision
from gan_jax.nn.conv_plain import OPERANDS, Geometry, Pads, shape_of

Array = jax.Array
Padding = str | int | Pads


form_p = jex_core.Primitive('gan_conv')


@functools.partial(jax.jit, static_argnames=('kind', 'geo'))
def _form(a: Array, b: Array, *, kind: str, geo: Geometry) -> Array:
  return form_p.bind(a, b, kind=kind, geo=geo)


form_p.def_impl(_form)


@form_p.def_abstract_eval
def _abstract(a: Any, b: Any, *, kind: str, geo: Geometry) -> Any:
  return a.update(shape=shape_of(kind, a, b, geo), weak_type=False)


def _transpose(
  side: int, cotangent: Any, a: Any, b: Any, *, kind: str, geo: Geometry
) -> Any:
  """The cotangent of one operand: the map of the other two."""
  wanted = OPERANDS[kind][side]
  known = {kind: cotangent, OPERANDS[kind][1 - side]: (b, a)[side]}
  first, second = (known[name] for name in OPERANDS[wanted])
  return form_p.bind(first, second, kind=wanted, geo=geo)


ad.defbilinear(
  form_p, functools.partial(_transpose, 0), functools.partial(_transpose, 1)
)


def _batch(args: Any, dims: Any, *, kind: str, geo: Geometry) -> Any:
  """`vmap`: into the batch where the kernel is shared, else into members."""
  size = next(
    a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None
  )
  if dims[1] is None and kind != 'k':
    # Behind the samples: their axis, which devices share, stays whole.
    a, b = jnp.moveaxis(args[0], dims[0], 2), args[1]
    m, n = a.shape[:2]
    out = form_p.bind(
      a.reshape(m, n * size, *a.shape[3:]), b, kind=kind, geo=geo
    )
    return out.reshape(m, n, size, *out.shape[2:]), 2
  moved = [
    a if d is None else jnp.moveaxis(a, d, 1)
    for a, d in zip(args, dims, strict=True)
  ]
  wide = []
  for a, d in zip(moved, dims, strict=True):
    if d is None:
      a = jnp.broadcast_to(a[:, None], (a.shape[0], size, *a.shape[1:]))
    wide.append(a.reshape(-1, *a.shape[2:]))
  out = form_p.bind(*wide, kind=kind, geo=geo)
  return out.reshape(-1, size, *out.shape[1:]), 1


batching.primitive_batchers[form_p] = _batch


def _lower(platform: str) -> Callable:
  made = functools.partial(conv_forms.form, platform=platform)
  return mlir.lower_fun(made, multiple_results=False)


mlir.register_lowering(form_p, _lower(''))
for _name, _platform in (('cpu', 'cpu'), ('cuda', 'gpu'), ('rocm', 'gpu')):
  mlir.register_lowering(form_p, _lower(_platform), platform=_name)


def _geometry(size, window, stride: int, pads: Pads, kernel: str) -> Geometry:
  """The sizes, the precision that is asked for, and the tables in use."""
  precise = jax.config.jax_default_matmul_precision
  tables = conv_tables.used()
  return Geometry(size, window, stride, pads, precise, kernel, tables)


def _apply(kind: str, a: Array, b: Array, geo: Geometry) -> Array:
  """The map `kind` of one pair of operands without members."""
  if a.dtype != b.dtype:
    raise TypeError(
      f'a convolution needs one dtype, got {a.dtype} and '
      f'{b.dtype}: cast the operands'
    )
  if a.ndim != 4 or b.ndim != 4:
    raise TypeError(
      'a convolution takes [N, H, W, C] and [kh, kw, in, out], '
      f'got shapes {a.shape} and {b.shape}'
    )
  # Inside `shard_map` both operands must vary over the same devices.
  own_a, own_b = (jax.typeof(v).manual_axis_type.varying for v in (a, b))
  if own_b - own_a:
    a = lax.pcast(a, tuple(sorted(own_b - own_a)), to='varying')
  if own_a - own_b:
    b = lax.pcast(b, tuple(sorted(own_a - own_b)), to='varying')
  return form_p.bind(a[None], b[None], kind=kind, geo=geo)[0]


def _pads(
  padding: Padding, size: tuple[int, int], window: tuple[int, int], stride: int
) -> Pads:
  """Zeros per side, ((top, bottom), (left, right))."""
  if isinstance(padding, str):
    return tuple(lax.padtype_to_pads(size, window, (stride,) * 2, padding))
  if isinstance(padding, int):
    return ((padding, padding),) * 2
  return tuple(tuple(p) for p in padding)


def conv(
  x: Array, kernel: Array, stride: int = 1, padding: Padding = 'SAME'
) -> Array:
  """A convolution, the same as `lax.conv_general_dilated`.

  Args:
    x: images [N, H, W, in].
    kernel: [kh, kw, in, out], of the dtype of `x`.
    stride: step of the window in both directions.
    padding: 'SAME', 'VALID', zeros on every side, or
      ((top, bottom), (left, right)).

  Returns:
    [N, H', W', out], H' = (H + top + bottom - kh) // stride + 1.
  """
  if x.shape[-1] != kernel.shape[-2]:
    raise TypeError(
      f'x {x.shape} and kernel {kernel.shape} differ in their input channels'
    )
  size, window = x.shape[1:3], kernel.shape[:2]
  pads = _pads(padding, size, window, stride)
  geo = _geometry(size, window, stride, pads, 'HWIO')
  return _apply('y', x, kernel, geo)


def conv_transpose(
  x: Array, kernel: Array, stride: int = 2, padding: int | Pads = 1
) -> Array:
  """The adjoint of a strided convolution, as PyTorch's ConvTranspose2d.

  Args:
    x: [N, H, W, in].
    kernel: [kh, kw, in, out], of the dtype of `x`; PyTorch's
      [in, out, kh, kw] transposed, not flipped.
    stride: step of the adjoint convolution.
    padding: zeros that the adjoint convolution adds, on every side or
      ((top, bottom), (left, right)).

  Returns:
    [N, H', W', out], H' = (H - 1) * stride - top - bottom + kh.
  """
  if x.shape[-1] != kernel.shape[-2]:
    raise TypeError(
      f'x {x.shape} and kernel {kernel.shape} differ in their input channels'
    )
  if x.shape[1:3] == (1, 1) and padding == 0 and x.dtype == kernel.dtype:
    # Every tap is used once: a matrix product, which keeps whole rows of the
    # kernel together. DCGAN's first layer is twice as fast so.
    return jnp.einsum('nc,hwcd->nhwd', x[:, 0, 0], kernel)
  window = kernel.shape[:2]
  pads = ((padding,) * 2,) * 2 if isinstance(padding, int) else padding
  size = tuple(
    (n - 1) * stride - sum(p) + k
    for n, p, k in zip(x.shape[1:3], pads, window, strict=True)
  )
  # What goes in here is the output of the adjoint convolution.
  geo = _geometry(size, window, stride, pads, 'HWOI')
  return _apply('x', x, kernel, geo)


def _more_pixels_than_channels(shape: tuple[int, ...]) -> bool:
  """Whether a map [N, H, W, C] has.

  A layer of a doubled or a halved map then is one of the small map with a 4x4
  kernel: 4 products in place of 9 for each pixel of the large one, which is
  never made. Where it has not, the kernel costs most, and 3x3 is smaller.
  """
  return math.prod(shape[:3]) >= shape[3]


def _widened(kernel: Array) -> Array:
  """The sum of a 3x3 kernel [3, 3, ...] at the four places of a 4x4 one."""
  wide = precision.full(kernel)
  for axis in (0, 1):
    edges = lambda *edge, axis=axis: [
      edge if k == axis else (0, 0) for k in range(kernel.ndim)
    ]
    wide = jnp.pad(wide, edges(0, 1)) + jnp.pad(wide, edges(1, 0))
  return wide


def upsample_conv(x: Array, kernel: Array) -> Array:
  """Nearest-neighbour doubling, then a 3x3 SAME convolution.

  Args:
    x: [N, H, W, in].
    kernel: [3, 3, in, out].

  Returns:
    [N, 2H, 2W, out].
  """
  n, h, w, c = x.shape
  if _more_pixels_than_channels(x.shape):
    wide = _widened(kernel)[::-1, ::-1].astype(kernel.dtype)
    return conv_transpose(x, wide, 2, 1)
  x = jnp.broadcast_to(x[:, :, None, :, None], (n, h, 2, w, 2, c))
  return conv(x.reshape(n, 2 * h, 2 * w, c), kernel)


def downsample_conv(x: Array, kernel: Array) -> Array:
  """A 3x3 SAME convolution, then the mean of each 2x2 block.

  Args:
    x: [N, H, W, in], H and W even.
    kernel: [3, 3, in, out].

  Returns:
    [N, H/2, W/2, out].
  """
  n, h, w, _ = x.shape
  if _more_pixels_than_channels((n, h // 2, w // 2, kernel.shape[3])):
    return conv(x, (_widened(kernel) / 4).astype(kernel.dtype), 2, 1)
  y = conv(x, kernel)
  return y.reshape(n, h // 2, 2, w // 2, 2, -1).mean((2, 4))


class Conv(nn.Module):
  """A convolution with learned `kernel` and `bias`; see `conv`.

  Attributes:
    features: output channels.
    kernel_size: (kh, kw), or one number for both.
    stride: step of the window.
    padding: as in `conv`.
    use_bias: adds a learned bias per channel, at first zero.
    kernel_init: initialiser of the kernel.
    dtype: what input and kernel are cast to, see `nn.precision`; None: what
      they have in common. Parameters are float32 all the same.
  """

  features: int
  kernel_size: int | tuple[int, int] = 3
  stride: int = 1
  padding: Padding = 'SAME'
  use_bias: bool = True
  kernel_init: Callable[..., Array] = nn.initializers.normal(0.02)
  dtype: Any = None

  def product(self, x: Array, kernel: Array) -> Array:
    """The layer without its bias."""
    return conv(x, kernel, self.stride, self.padding)

  @nn.compact
  def __call__(self, x: Array, divide: Callable | None = None) -> Array:
    """[N, H, W, C] to [N, H', W', features].

    Args:
      x: maps.
      divide: (layer, kernel) -> the kernel that is used, see `nn.spectral`.
    """
    window = self.kernel_size
    if isinstance(window, int):
      window = (window, window)
    kernel = self.param(
      'kernel', self.kernel_init, (*window, x.shape[-1], self.features)
    )
    if divide is not None:
      kernel = divide(self, kernel)
    x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
    y = self.product(x, kernel)
    if self.use_bias:
      # In float32: its gradient is a sum over all pixels, which in bfloat16
      # would stop growing at 256 of them.
      bias = self.param('bias', nn.initializers.zeros, (self.features,))
      y = precision.full(y) + bias
    return y.astype(x.dtype)


class ConvTranspose(Conv):
  """A transposed convolution with learned parameters; see `conv_transpose`.

  Attributes are those of `Conv`, with the defaults of DCGAN.
  """

  kernel_size: int | tuple[int, int] = 4
  stride: int = 2
  padding: int = 1

  def product(self, x: Array, kernel: Array) -> Array:
    """The layer without its bias."""
    return conv_transpose(x, kernel, self.stride, self.padding)
