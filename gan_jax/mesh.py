"""Devices, and how a run's arrays lie on them."""

import logging
import math

import jax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from gan_jax.errors import UserError
from gan_jax.settings import Setting
from gan_jax.state import TrainState

log = logging.getLogger('gan_jax')

SETTINGS = {
  'data': Setting(
    0, 'devices that share a minibatch; 0: all that are left', low=0, high=2**20
  ),
  'pair': Setting(
    0,
    "devices that share an ensemble's pairs; 0: as many as leave none idle",
    low=0,
    high=2**20,
  ),
  'shard_optimizer': Setting(
    False,
    "whether each device along data holds a share of the optimisers' moments in"
    ' place of them all (ZeRO stage 1), for a gather of each update',
  ),
}


def make_mesh(section, parts: int = 1, devices=None) -> Mesh:
  """The mesh of a run.

  Args:
    section: `config.mesh`: `data`, devices that share a minibatch (0: all
      that are left), and `pair`, devices that share an ensemble's pairs (0:
      as many as leave no device idle).
    parts: of an ensemble that can lie apart, `ensemble.parts`. Each device
      gets equally many, so `pair` becomes the largest divisor of `parts` that
      is not above what was asked for.
    devices: to take; None: all there are.

  Returns:
    A mesh with axes 'data' and 'pair'. Both are Auto: the compiler places
    what lies between annotated inputs and outputs.

  Raises:
    UserError: if there are fewer devices than asked for.
  """
  devices = devices or jax.devices()
  pair = _pair_devices(section, parts, len(devices))
  shape = (section.data or max(len(devices) // pair, 1), pair)
  if math.prod(shape) > len(devices):
    asked = [key for key in ('data', 'pair') if section[key]]
    raise UserError(
      f'config.mesh asks for {shape[0]} x {shape[1]} devices, but there'
      f' are {len(devices)}: set'
      f' {" and ".join(f"config.mesh.{key}" for key in asked)} to 0 to take'
      ' them all.'
    )
  return _mesh(shape, devices[: math.prod(shape)])


def _pair_devices(section, parts: int, devices: int) -> int:
  """The size of the axis 'pair': a divisor of `parts`."""
  if not section.pair:
    if not section.data:
      return math.gcd(parts, devices)
    return _divisor(parts, max(devices // section.data, 1))
  pair = _divisor(parts, section.pair)
  if pair < section.pair and parts > 1:
    log.warning(
      'config.mesh.pair = %d does not divide the %d local pairs: they lie on'
      ' %d device(s) along that axis.',
      section.pair,
      parts,
      pair,
    )
  return pair


def _divisor(number: int, most: int) -> int:
  """The largest divisor of a number that is at most `most`."""
  return max(k for k in range(1, most + 1) if number % k == 0)


def one_device() -> Mesh:
  """The first device alone: for results that no device count may change."""
  return _mesh((1, 1), jax.local_devices()[:1])


def local(devices=None) -> Mesh:
  """This host's devices, or some of them, along 'data'.

  For work that every host does by itself, as evaluation.
  """
  devices = devices or jax.local_devices()
  return _mesh((len(devices), 1), devices)


def _mesh(shape, devices) -> Mesh:
  auto = (AxisType.Auto,) * 2
  return jax.make_mesh(shape, ('data', 'pair'), auto, devices=devices)


def check_batch(mesh: Mesh, batch: int, accumulate: int = 1) -> None:
  """Raises UserError unless a minibatch divides evenly over `data`.

  Args:
    mesh: of the run.
    batch: samples of the minibatch.
    accumulate: parts that each device works through its share in.
  """
  parts = mesh.shape['data']
  if batch % (parts * accumulate):
    more = (
      f' in config.train.accumulate = {accumulate} parts'
      if accumulate > 1
      else ''
    )
    raise UserError(
      f'config.train.batch = {batch} does not divide over {parts} devices'
      f'{more}: take a multiple of {parts * accumulate}, in config.growth.batch'
      ' as well, or set config.mesh.data to a divisor.'
    )


def replicated(mesh: Mesh) -> NamedSharding:
  """The whole array on every device: state, and data sets that fit."""
  return NamedSharding(mesh, P())


def of_state(
  mesh: Mesh, state: TrainState, shard_optimizer: bool
) -> TrainState:
  """Where a TrainState lies: local pairs, and what belongs to each, apart.

  That is along `pair`; all else is whole on every device, but for the
  optimisers' moments if they are shared out along `data`.

  Args:
    mesh: of the run.
    state: arrays, or their shapes.
    shard_optimizer: `config.mesh.shard_optimizer`.

  Returns:
    A sharding for each array.
  """
  parts = mesh.shape['data'] if shard_optimizer else 1

  def place(path, x):
    first, *keys = (getattr(key, 'name', None) for key in path)
    pair = ('pair',) if first in ('local_pairs', 'messengers') else ()
    own = share(x.shape[len(pair) :], parts) if 'opt' in keys else P()
    return NamedSharding(mesh, P(*pair, *own))

  return jax.tree_util.tree_map_with_path(place, state)


def share(shape, parts: int) -> P:
  """A moment's share: along the largest axis that `parts` divides, if any."""
  sizes = {size: axis for axis, size in enumerate(shape) if size % parts == 0}
  if parts == 1 or not any(sizes):
    return P()
  axis = sizes[max(sizes)]
  return P(*[None] * axis, 'data')


def share_out(tree):
  """Arrays within a step, each device along `data` with its `share`."""
  parts = jax.sharding.get_abstract_mesh().shape.get('data', 1)
  if parts == 1:
    return tree
  place = jax.lax.with_sharding_constraint
  return jax.tree.map(lambda x: place(x, share(x.shape, parts)), tree)


def gather(tree):
  """Arrays within a step, whole on every device along `data`."""
  parts = jax.sharding.get_abstract_mesh().shape.get('data', 1)
  if parts == 1:
    return tree
  return jax.lax.with_sharding_constraint(tree, P())


def tracing_on(mesh: Mesh):
  """A context: functions that are traced in it `spread` over this mesh."""
  return jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def spread(samples, axis: int = 0):
  """What a step draws for each sample, [N, ...], over `data` as the data are.

  The compiler follows where arrays lie from a step's inputs, and what is drawn
  has none: left to itself, every device would make and judge all fakes.
  Outside of `tracing_on`, or where N does not divide, it stays as it is.

  Args:
    samples: [..., N, ...].
    axis: that of N.
  """
  parts = jax.sharding.get_abstract_mesh().shape.get('data', 1)
  if parts == 1 or samples.shape[axis] % parts:
    return samples
  place = P(*[None] * axis, 'data')
  return jax.lax.with_sharding_constraint(samples, place)


def by_sample(mesh: Mesh, apart: bool = False) -> NamedSharding:
  """Minibatches [K, N, ...] with their samples spread over `data`.

  Args:
    mesh: of the run.
    apart: whether the K belong to pairs, in their order: each then lies with
      its pair.
  """
  return NamedSharding(mesh, P('pair' if apart else None, 'data'))
