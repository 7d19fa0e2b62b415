"""Devices, and how a run's arrays lie on them."""

import math

import jax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from gan_jax.errors import UserError


def make_mesh(section) -> Mesh:
  """The mesh of a run.

  Args:
    section: `config.mesh`: `data`, devices that share a minibatch (0: all
      that are left), and `pair`, devices that share an ensemble's pairs.

  Returns:
    A mesh with axes 'data' and 'pair'. Both are Auto: the compiler places
    what lies between annotated inputs and outputs.

  Raises:
    UserError: if there are fewer devices than asked for.
  """
  devices = jax.devices()
  shape = (section.data or max(len(devices) // section.pair, 1), section.pair)
  if math.prod(shape) > len(devices):
    raise UserError(
      f'config.mesh asks for {shape[0]} x {shape[1]} devices, but there'
      f' are {len(devices)}: set config.mesh.data to 0 to take them all.'
    )
  return _mesh(shape, devices[: math.prod(shape)])


def one_device() -> Mesh:
  """The first device alone: for results that no device count may change."""
  return _mesh((1, 1), jax.local_devices()[:1])


def _mesh(shape, devices) -> Mesh:
  auto = (AxisType.Auto,) * 2
  return jax.make_mesh(shape, ('data', 'pair'), auto, devices=devices)


def check_batch(mesh: Mesh, batch: int) -> None:
  """Raises UserError unless a minibatch divides evenly over `data`."""
  parts = mesh.shape['data']
  if batch % parts:
    raise UserError(
      f'config.train.batch = {batch} does not divide over {parts} devices:'
      f' take a multiple of {parts}, or set config.mesh.data to a divisor.'
    )


def replicated(mesh: Mesh) -> NamedSharding:
  """The whole array on every device: state, and data sets that fit."""
  return NamedSharding(mesh, P())


def by_sample(mesh: Mesh) -> NamedSharding:
  """Minibatches [K, N, ...] with their samples spread over `data`."""
  return NamedSharding(mesh, P(None, 'data'))
