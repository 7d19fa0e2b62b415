"""The forms of a convolution's three maps, and which of them is taken.

A form is a way to the same sums. Which is fastest depends on the layer and on
the machine: a table says it where one has a layer like it (conv_tables.py),
and rules else.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.nn import conv_cpu, conv_plain, conv_tables, conv_winograd
from gan_jax.nn.conv_plain import Geometry

Array = jax.Array
XLA = 'xla'  # its own convolution: a form of every map

# Of the rules for CPUs, measured on one of AMD with AVX-512:
_FEW_POSITIONS = 4  # Per output channel: below, the kernel costs most.
# Input channels from which Eigen is faster than YNNPACK, by stride. Before
# jax 0.11 YNNPACK runs a convolution of stride 2 at half its speed.
_EIGEN_CHANNELS = {1: 256, 2: 8 if jax.__version_info__ < (0, 11) else 64}


class Form(NamedTuple):
  """A way to a map.

  Attributes:
    make: (a, b, geometry) -> the map of one member; operands as of
      `conv_plain.one`.
    fits: (a, b, geometry) -> whether it can be used; it may look at shapes.
    cpu: whether it is of use on CPUs alone.
  """

  make: Callable
  fits: Callable = lambda a, b, geo: True
  cpu: bool = False


def _is_product(a: Any, b: Any, geo: Geometry) -> bool:
  """Whether one product gives the output."""
  plain = geo.stride == 1 and not any(map(any, geo.pads))
  return geo.out == (1, 1) or plain and geo.window == (1, 1)


def _is_filtered(a: Any, b: Any, geo: Geometry) -> bool:
  """Whether there is a minimal filter."""
  return conv_winograd.fits(geo)


def _has_depth(a: Any, b: Any, geo: Geometry) -> bool:
  """Whether the window falls into whole strides."""
  return geo.stride > 1 and not any(w % geo.stride for w in geo.window)


FORMS: dict[str, dict[str, Form]] = {
  'y': {
    XLA: Form(functools.partial(conv_plain.one, 'y')),
    'product': Form(conv_cpu.output_by_product, _is_product),
    'rows': Form(conv_cpu.output_by_rows, lambda a, b, geo: geo.stride > 1),
    'ynnpack': Form(functools.partial(conv_cpu.output, eigen=False), cpu=True),
    'eigen': Form(functools.partial(conv_cpu.output, eigen=True), cpu=True),
    'winograd': Form(conv_winograd.output, _is_filtered, cpu=True),
  },
  'x': {
    XLA: Form(functools.partial(conv_plain.one, 'x')),
    'folding': Form(conv_cpu.input_by_folding),
    'phases': Form(functools.partial(conv_cpu.input_by_phases, eigen=False)),
    'phases_eigen': Form(
      functools.partial(conv_cpu.input_by_phases, eigen=True), cpu=True
    ),
    'winograd': Form(conv_winograd.input_, _is_filtered, cpu=True),
  },
  'k': {
    XLA: Form(functools.partial(conv_plain.one, 'k')),
    'unfolding': Form(conv_cpu.kernel_by_unfolding),
    'unfolding_output': Form(
      conv_cpu.kernel_by_unfolding_output, lambda a, b, geo: geo.stride == 1
    ),
    'depth': Form(conv_cpu.kernel_by_depth, _has_depth),
    'winograd': Form(conv_winograd.kernel, _is_filtered, cpu=True),
  },
}


def candidates(kind: str, a: Any, b: Any, geo: Geometry, platform: str):
  """The names of the forms that give a map on a platform.

  XLA's own is none of a CPU's: alone it is the fastest here and there, but in a
  loop, as over an ensemble's pairs, up to a hundred times slower, and a map
  does not know what it is in.
  """
  on_cpu = platform == 'cpu'
  return [
    name
    for name, form in FORMS[kind].items()
    if form.fits(a, b, geo) and (name != XLA if on_cpu else not form.cpu)
  ]


def layer_of(kind: str, a: Any, b: Any, geo: Geometry) -> conv_tables.Layer:
  """A map of one member, as tables have it."""
  if kind == 'k':
    inputs, outputs = a.shape[-1], b.shape[-1]
  else:
    inputs, outputs = (b.shape[geo.kernel.index(c)] for c in 'IO')
  return conv_tables.Layer(
    kind,
    geo.window,
    geo.stride,
    geo.kernel,
    a.shape[0],
    math.prod(geo.out),
    inputs,
    outputs,
  )


def by_rule(kind: str, a: Any, b: Any, geo: Geometry, platform: str) -> str:
  """The form that is taken where no table has a layer like it."""
  if platform != 'cpu':
    return XLA
  layer = layer_of(kind, a, b, geo)
  ci, co = layer.inputs, layer.outputs
  thin = geo.stride > 1 and ci < conv_cpu.FEWEST_CHANNELS
  if kind == 'y':
    if _is_product(a, b, geo):
      return 'product'
    if thin:
      return 'rows'
    eigen = ci >= _EIGEN_CHANNELS[min(geo.stride, 2)]
    return 'eigen' if eigen else 'ynnpack'
  if kind == 'x':
    few = layer.batch * layer.area <= _FEW_POSITIONS * co
    if geo.window == (1, 1) or few or thin:
      return 'folding'
    return 'phases_eigen' if co >= _EIGEN_CHANNELS[1] else 'phases'
  if geo.stride == 1 and co < ci and geo.out != (1, 1):
    return 'unfolding_output'  # the smaller one
  large = conv_cpu.is_large(ci, geo)
  if _has_depth(a, b, geo) and large and co < geo.stride**2 * ci:
    return 'depth'  # half as much to copy
  return 'unfolding'


def chosen(kind: str, a: Any, b: Any, geo: Geometry, platform: str) -> str:
  """The name of the form of a map of one member on a platform."""
  layer = layer_of(kind, a, b, geo)
  name = conv_tables.chosen(geo.tables, platform, layer)
  if name in candidates(kind, a, b, geo, platform):
    return name
  return by_rule(kind, a, b, geo, platform)


def form(
  a: Array, b: Array, *, kind: str, geo: Geometry, platform: str
) -> Array:
  """The map `kind` of all members, [M, ...], one after the other.

  On a CPU, which has no units for fewer bits, it is computed in float32.
  """
  one = lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
  name = chosen(kind, one(a), one(b), geo, platform)
  if name == XLA and platform != 'cpu':
    return conv_plain.every(a, b, kind=kind, geo=geo)
  dtype, make = a.dtype, FORMS[kind][name].make
  wide = jnp.promote_types(dtype, jnp.float32) if platform == 'cpu' else dtype

  def member(pair: tuple[Array, Array]) -> Array:
    p, q = pair
    return make(p.astype(wide), q.astype(wide), geo=geo).astype(dtype)

  if a.shape[0] == 1:
    return member((a[0], b[0]))[None]
  # As fast as members side by side, a tenth faster for 3x3, and compiled once.
  return lax.map(member, (a, b))
