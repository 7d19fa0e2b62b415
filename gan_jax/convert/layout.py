"""What a released network's arrays are called and how they lie."""

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.errors import UserError

# PyTorch's kernels to ours, [kh, kw, in, out]: a convolution's is
# [out, in, kh, kw], a transposed one's [in, out, kh, kw].
CONV = (2, 3, 1, 0)
TRANSPOSED = (2, 3, 0, 1)


class Row(NamedTuple):
  """One array under its two names.

  Attributes:
    released: its name in the released file.
    ours: its path in our variables, ('params', 'Conv_0', 'kernel').
    axes: `np.transpose` of the released array by these is ours; None: as it
      is.
  """

  released: str
  ours: tuple[str, ...]
  axes: tuple[int, ...] | None = None


class Kind(NamedTuple):
  """What is known of one released network.

  Attributes:
    role: 'generator' or 'discriminator', its place in a run; or 'features',
      of a network that judges images and has no such place.
    marks: a file whose names include all of one of these holds the network.
    read: arrays by released name -> (module, variables).
    write: the way back; variables of some collections only will do. None
      where there is none, as for batch norms folded into convolutions.
    facts: (module, variables) -> settings by path that the network needs to
      be what it was, beside its own section.
    hints: module -> settings by path for a config that nobody named.
    beside: (arrays of a generator, the D that comes with it) -> the arrays with
      what only D tells.
    told: arrays by released name -> settings by path that only they tell, such
      as a task's of the heads that come with a discriminator.
    unless: a file whose names include one of these holds another network.
    averages: prefixes under which a file holds the average of a generator, to
      those of the generator.
  """

  role: str
  marks: Sequence[tuple[str, ...]]
  read: Callable[[Mapping], tuple[nn.Module, dict]]
  write: Callable[..., dict[str, np.ndarray]] | None = None
  facts: Callable[[nn.Module, Any], dict] = lambda module, variables: {}
  hints: Callable[[nn.Module], dict] = lambda module: {}
  beside: Callable[[Mapping, nn.Module], Mapping] = lambda arrays, other: arrays
  told: Callable[[Mapping], dict] = lambda arrays: {}
  unless: Sequence[str] = ()
  averages: Mapping[str, str] = types.MappingProxyType({})


def training_hints(lr: float, b1: float, b2: float) -> dict:
  """Settings of both players' Adam, and of an average that keeps 0.999."""
  rule = {'lr': lr, 'b1': b1, 'b2': b2}
  return {
    'ema.name': 'decay',
    'ema.decay': 0.999,
    **{
      f'optimizer.{player}.{key}': value
      for player in ('generator', 'discriminator')
      for key, value in rule.items()
    },
  }


def check_names(rows: Sequence[Row], arrays: Mapping, unused=()) -> None:
  """Checks that the arrays are those of the rows, no fewer and no more.

  Args:
    rows: the network's arrays.
    arrays: by released name.
    unused: names that may be there and mean nothing to the function.

  Raises:
    UserError: with the names that are missing or left over.
  """
  known = [row.released for row in rows]
  missing = [name for name in known if name not in arrays]
  left = [name for name in arrays if name not in {*known, *unused}]
  if missing:
    raise UserError(f'{_listed(missing)} missing.')
  if left:
    raise UserError(f'{_listed(left)} left over.')


def _listed(names: Sequence[str], most: int = 6) -> str:
  """'a, b and 7 more are'."""
  more = [f'{len(names) - most} more'] if len(names) > most else []
  *first, last = [*names[:most], *more]
  verb = 'are' if first else 'is'
  return (f'{", ".join(first)} and {last}' if first else last) + f' {verb}'


def shape_of(arrays: Mapping, name: str, dims: int) -> tuple[int, ...]:
  """The shape of an array that sizes are read from.

  Raises:
    UserError: if it has not `dims` dimensions, or an empty one.
  """
  shape = np.shape(arrays[name])
  if len(shape) != dims or 0 in shape:
    raise UserError(
      f'{name} has shape {list(shape)}, not {dims} dimensions of 1 or more.'
    )
  return shape


def shapes(module: nn.Module, *inputs, **settings):
  """The shapes of a module's variables.

  Args:
    module: of the sizes that the arrays tell.
    *inputs: of the module, a batch of one.
    **settings: of its call, such as train=False.
  """
  make = lambda: module.init(jax.random.key(0), *inputs, **settings)
  return jax.eval_shape(make)


def fill(rows: Sequence[Row], arrays: Mapping, shapes):
  """A module's variables, taken from released arrays.

  Args:
    rows: one for every array of the module.
    arrays: by released name; floats of any width.
    shapes: of the module's variables, see above.

  Returns:
    {'params': ..., 'batch_stats': ...} of NumPy arrays: float32, or float64
    while jax_enable_x64 is on.

  Raises:
    UserError: an array is of another shape or no float, or not finite.
  """
  wanted = flax.traverse_util.flatten_dict(shapes)
  dtype = jax.dtypes.canonicalize_dtype(np.float64)
  flat = {}
  for name, ours, axes in rows:
    array, shape = arrays[name], wanted[ours].shape
    if axes:
      shape = tuple(shape[i] for i in np.argsort(axes))
    if np.shape(array) != shape:
      raise UserError(
        f'{name} has shape {list(np.shape(array))}; beside the other arrays it'
        f' must be {list(shape)}.'
      )
    if not jnp.issubdtype(array.dtype, jnp.floating):
      raise UserError(f'{name} is of type {array.dtype}, not a float.')
    array = np.asarray(array, dtype)
    if not np.isfinite(array).all():
      raise UserError(f'{name} holds numbers that are not finite.')
    flat[ours] = np.transpose(array, axes) if axes else array
  return flax.traverse_util.unflatten_dict(flat)


def write(rows: Sequence[Row], variables) -> dict[str, np.ndarray]:
  """Variables, or gradients by them, under released names and layouts.

  Rows of collections that `variables` lacks are left out.
  """
  arrays = {}
  flat = flax.traverse_util.flatten_dict(variables)
  for name, ours, axes in rows:
    if ours[0] in variables:
      array = np.asarray(flat[ours])
      arrays[name] = np.transpose(array, np.argsort(axes)) if axes else array
  return arrays
