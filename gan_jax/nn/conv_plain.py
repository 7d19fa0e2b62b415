"""The sizes of a convolution, its three maps, and XLA's own way to them.

A convolution of images x with a kernel gives an output y; y and the kernel give
the gradient by x, x and y that by the kernel. The maps are named by what they
make: 'y', 'x' and 'k'; see conv.py, whose primitive they are of.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
Pads = tuple[tuple[int, int], tuple[int, int]]
# For each map, the operands it takes, in the order in which it takes them.
OPERANDS = {'y': ('x', 'k'), 'x': ('y', 'k'), 'k': ('x', 'y')}


class Geometry(NamedTuple):
  """The static sizes of a strided convolution.

  Attributes:
    size: height and width of the input.
    window: height and width of the kernel.
    stride: step of the window, the same in both directions.
    pads: zeros added ((top, bottom), (left, right)); negative pads crop.
    precision: of the products, as `jax.default_matmul_precision` names it.
    kernel: the order of the kernel's dimensions, 'HWIO' or 'HWOI'.
    tables: which tables choose its form; see conv_tables.py.
  """

  size: tuple[int, int]
  window: tuple[int, int]
  stride: int
  pads: Pads
  precision: str | None
  kernel: str = 'HWIO'
  tables: str = ''

  @property
  def out(self) -> tuple[int, int]:
    """Height and width of the output."""
    return tuple(
      (n + sum(p) - k) // self.stride + 1
      for n, k, p in zip(self.size, self.window, self.pads, strict=True)
    )

  @property
  def taps(self) -> tuple[int, int]:
    """Taps of the kernel over the phases of the input, in each direction."""
    return tuple(math.ceil(w / self.stride) for w in self.window)


def shapes_of(
  geo: Geometry, batch: int, inputs: int, outputs: int
) -> dict[str, tuple[int, ...]]:
  """The shapes of a convolution's images x, kernel k and output y.

  Args:
    geo: its sizes.
    batch: images.
    inputs: channels of the images.
    outputs: channels of the output.
  """
  channels = {'I': inputs, 'O': outputs}
  return {
    'x': (batch, *geo.size, inputs),
    'k': (*geo.window, *(channels[c] for c in geo.kernel[2:])),
    'y': (batch, *geo.out, outputs),
  }


def shape_of(kind: str, a: Any, b: Any, geo: Geometry) -> tuple[int, ...]:
  """The shape of the map `kind` of operands shaped like `a` and `b`.

  Args:
    kind: 'y', 'x' or 'k'.
    a: images [M, N, H, W, in], or of 'x' the output [M, N, H', W', out].
    b: the kernel [M, kh, kw, ...], or of 'k' the output.
    geo: the convolution, of each of M members.
  """
  m = a.shape[0]
  if kind == 'k':
    channels = {'I': a.shape[-1], 'O': b.shape[-1]}
    return (m, *geo.window, *(channels[c] for c in geo.kernel[2:]))
  made, size = ('O', geo.out) if kind == 'y' else ('I', geo.size)
  return (m, a.shape[1], *size, b.shape[1 + geo.kernel.index(made)])


def one(kind: str, a: Array, b: Array, geo: Geometry) -> Array:
  """The map of one member, by XLA's own convolution and its derivatives."""
  pads = geo.pads
  # Pads of a whole window are made by themselves: XLA's gradient by the input
  # then crops, which its CPU library does wrongly under jax 0.10.
  apart = any(
    p >= w for w, two in zip(geo.window, pads, strict=True) for p in two
  )

  def conv_(x: Array, k: Array) -> Array:
    if apart:
      edges = [(*two, 0) for two in pads]
      x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
    return lax.conv_general_dilated(
      x,
      k,
      window_strides=(geo.stride,) * 2,
      padding=((0, 0), (0, 0)) if apart else pads,
      dimension_numbers=('NHWC', geo.kernel, 'NHWC'),
      precision=geo.precision,
    )

  if kind == 'y':
    return conv_(a, b)
  # Zeros like an operand vary over the same devices in a `shard_map`.
  shape = shape_of(kind, a[None], b[None], geo)[1:]
  zeros = lax.full_like(a, 0, shape=shape)
  if kind == 'x':
    return jax.linear_transpose(lambda x: conv_(x, b), zeros)(a)[0]
  return jax.linear_transpose(lambda k: conv_(a, k), zeros)(b)[0]


def every(a: Array, b: Array, *, kind: str, geo: Geometry) -> Array:
  """The map of all members [M, ...]."""
  # One convolution a member. Under `vmap` they would be one in groups, which is
  # slow backwards (jax issue 13800) and gathers what devices share of a batch.
  return jnp.stack(
    [one(kind, *operands, geo) for operands in zip(a, b, strict=True)]
  )
