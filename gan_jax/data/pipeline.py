"""From a source to batches on the devices.

A set that fits the budget lies on every device as it is stored (uint8, but for
points), and a step gathers its rows there: the host sends only indices. A
larger one is read by grain's threads or worker processes and sent sample by
sample. Only inside the step does it become floats. Both ways give the
same bits. Nothing here has state that a checkpoint would have to keep: step t
uses the K*N positions of the run from offset + t*K*N on (order.py).
"""

import atexit
import contextlib
import dataclasses
import functools
import itertools
import math
import os
import signal
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import flax
import grain.python as grain
import jax
import numpy as np
from absl import flags
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from gan_jax.data import order
from gan_jax.data.augment import mirror
from gan_jax.data.levels import at_level
from gan_jax.data.source import Source, to_float
from gan_jax.mesh import by_sample, check_batch

_PREFETCH_BYTES = 2**30  # of host memory, for batches read ahead
_FOREVER = 2**40  # steps

# Threads and processes that nobody has stopped by the end of the program are
# stopped before the interpreter takes itself apart.
_open = weakref.WeakSet()
atexit.register(lambda: [batches.close() for batches in list(_open)])


@flax.struct.dataclass
class Batch:
  """What a step trains on: K draws of N samples.

  Attributes:
    image: float32 [K, N, H, W, C] in [-1, 1]; points [K, N, 2] as they are;
      text [K, N, L, V], one-hot.
    label: int32 [K, N]; 0 if the source has no classes.
  """

  image: jax.Array
  label: jax.Array


def decode(
  table: dict[str, jax.Array],
  raw: dict[str, jax.Array],
  shape: tuple[int, ...] = (),
  unpack: Callable = to_float,
) -> Batch:
  """What `Feed` sends, as a batch; a pure function for use inside the step.

  Args:
    table: `Feed.table`.
    raw: an element of `Feed.batches`.
    shape: of a stored sample, where the table has rows of them.
    unpack: stored samples to floats: `Source.unpack`, of which the default is
      that of pictures and of points, or `levels.at_level`.
  """
  if 'index' in raw:
    # Indices come from a permutation of the rows, so none needs clipping.
    image, label = (
      table[name].at[raw['index']].get(mode='promise_in_bounds')
      for name in ('image', 'label')
    )
    image = image.reshape(*label.shape, *shape)
  else:
    image, label = raw['image'], raw['label']
  if image.ndim == 5:  # pictures: nothing else has a left and a right
    image = mirror(image, raw['mirror'])
  return Batch(unpack(image), label)


def fits(source: Source, device_budget_mb: float) -> bool:
  """Whether a set lies on the devices, as opposed to: it streams."""
  return source.nbytes() <= device_budget_mb * 2**20


class Feed:
  """The batches of a run, as arrays on the devices of a mesh.

  Attributes:
    table: passed to every step; {'image': samples as stored, a row each [n, S],
      'label': int32 [n]} on each device, or {} when the set streams. Of [n, H,
      W, C] a TPU's step would first make a copy, its axes in another order.
    decode: (table, an element of `batches`) -> Batch, for use in the step.
  """

  def __init__(
    self,
    source: Source,
    *,
    draws: int,
    batch: int,
    seed: int,
    mirror: bool,
    mesh: jax.sharding.Mesh,
    device_budget_mb: float,
    workers: int,
    offset: int = 0,
    side: int = 0,
    before: 'Feed | None' = None,
    apart: bool = False,
    planned: bool = False,
  ):
    """Puts a small set onto the devices.

    Args:
      source: the samples.
      draws: K, batches that one step uses.
      batch: N, samples of one of them, over all devices; a multiple of the
        mesh's size along 'data'.
      seed: of the order and the mirroring, >= 0.
      mirror: flip each picture left to right with probability one half.
      mesh: with an axis 'data'.
      device_budget_mb: sets up to this many MiB live on the devices.
      workers: processes that read a streamed set; 0 reads in threads.
      offset: position of step 0, where earlier steps were of another size.
      side: pixels that the step reduces pictures to, see `levels.at_level`; 0
        leaves them as they are.
      before: another stage's; a set that it has on the devices is not put
        there twice.
      apart: whether draws lie where their pair does: K along the mesh's axis
        'pair', which divides it. Else every pair's devices have them all.
      planned: that the set would lie on the devices is said only: `table` has
        shapes, types and places. The devices may then be a topology's.

    Raises:
      UserError: N is not such a multiple.
    """
    check_batch(mesh, batch)
    unpack = functools.partial(at_level, side=side) if side else source.unpack
    self.decode = functools.partial(
      decode, shape=source.stored_shape, unpack=unpack
    )
    self._sharding = by_sample(mesh, apart)
    self._shape = (draws, batch)
    own = _own(self._sharding, self._shape)
    self._resident = fits(source, device_budget_mb)
    # Worker processes would only copy a set that lies in memory.
    self._workers = 0 if source.in_memory else workers
    samples = math.prod(map(len, own))
    self._step_bytes = samples * source.nbytes() // len(source)
    # The first step whose samples there are.
    self._first = max(0, -(offset // (draws * batch)))
    read = None if self._resident else source
    self._load = _Loader(
      read, len(source), self._shape, own, seed, mirror, offset
    )
    self.source, self.table = source, {}
    if self._resident and before and before.source is source:
      self.table = before.table
    elif self._resident:
      self.table = (_planned if planned else _on_devices)(source, mesh)

  def like(self) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes, types and places of an element of `batches`."""
    return {
      name: jax.ShapeDtypeStruct(
        self._shape + mine.shape[2:], mine.dtype, sharding=self._sharding
      )
      for name, mine in self._load(self._first).items()
    }

  def batches(self, start_step: int) -> Iterator[dict[str, Any]]:
    """What steps start_step, start_step + 1, ... get, without end.

    Close the iterator (or drop it) to stop its threads and processes.

    Args:
      start_step: >= 0; a resumed run passes the number of steps done.

    Returns:
      Iterator over dictionaries of arrays, sharded over 'data' along their
      second axis, and over 'pair' along the first if draws lie `apart`. A set
      on the devices: 'index' int32 [K, N] and 'mirror' bool [K, N]. One that
      streams: 'image' as stored [K, N, ...], 'label' int32 [K, N] and 'mirror'
      bool [K, N].
    """
    if self._resident:
      local = (self._load(step) for step in itertools.count(start_step))
    else:
      local = iter(self._stream(start_step))
    batches = self._on_devices(local)
    _open.add(batches)
    return batches

  def _stream(self, start_step):
    """A grain data set that reads ahead, this process's part of each step."""
    processes = max(1, self._workers)
    ahead = _PREFETCH_BYTES // max(1, self._step_bytes) // processes
    ahead = max(1, min(16, ahead))
    threads = max(1, min(ahead, (os.cpu_count() or 1) // processes))
    steps = grain.MapDataset.range(start_step, start_step + _FOREVER)
    dataset = steps.map(self._load).to_iter_dataset(
      grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
    )
    if not self._workers:
      return dataset
    if not flags.FLAGS.is_parsed():  # in a notebook or a test
      flags.FLAGS.mark_as_parsed()  # grain asks for its flags
    return dataset.mp_prefetch(
      grain.MultiprocessingOptions(num_workers=self._workers),
      worker_init_fn=_ignore_interrupt,
    )

  def _on_devices(self, local):
    with contextlib.closing(local):
      for raw in local:
        if self._workers:  # nothing may outlive the workers' shared memory
          raw = {name: np.array(mine) for name, mine in raw.items()}
        yield {
          name: jax.make_array_from_process_local_data(
            self._sharding, mine, self._shape + mine.shape[2:]
          )
          for name, mine in raw.items()
        }


@dataclasses.dataclass(frozen=True)
class _Loader:
  """Step number to the samples that this process feeds; goes to the workers.

  Attributes:
    source: read here; None if the devices have it, then indices are given.
    n: number of samples in the source.
    shape: (K, N).
    own: which of the K and which of the N are this process's.
    seed: of order and mirroring.
    mirror: whether to flip at all.
    offset: position of step 0.
  """

  source: Source | None
  n: int
  shape: tuple[int, int]
  own: tuple[np.ndarray, np.ndarray]
  seed: int
  mirror: bool
  offset: int

  def __call__(self, step):
    (draws, batch), (rows, columns) = self.shape, self.own
    draw = (np.int64(step) * draws + rows[:, None]) * batch
    positions = self.offset + draw + columns  # [local K, local N]
    index = order.indices(self.seed, positions, self.n)
    raw = {'mirror': order.mirrored(self.seed, positions) & self.mirror}
    if self.source is None:
      return raw | {'index': index.astype(np.int32)}
    samples = [self.source[int(i)] for i in index.flat]
    image = np.stack([image for image, _ in samples])
    label = np.array([label for _, label in samples], np.int32)
    return raw | {
      'image': image.reshape(*index.shape, *image.shape[1:]),
      'label': label.reshape(index.shape),
    }


def _own(sharding, shape):
  """Which indices of each axis lie on this process's devices, ascending."""
  parts = sharding.addressable_devices_indices_map(shape).values()
  return tuple(
    np.unique(np.concatenate([np.arange(size)[part[axis]] for part in parts]))
    for axis, size in enumerate(shape)
  )


def _ignore_interrupt(index, count):
  """Ctrl-C reaches every process of a terminal; the main one decides."""
  del index, count
  signal.signal(signal.SIGINT, signal.SIG_IGN)


def samples_at(
  source: Source, seed: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
  """The first samples of a run's order, not mirrored, for people and metrics.

  Args:
    source: the samples.
    seed: the run's.
    count: how many; more than there are begin the second epoch.

  Returns:
    Samples [count, ...] as in `Batch` and labels int32 [count].
  """
  indices = order.indices(seed, np.arange(count), len(source))
  samples, labels = zip(*(source[int(i)] for i in indices), strict=True)
  return source.unpack(np.stack(samples)), np.array(labels, np.int32)


def _planned(source: Source, mesh) -> dict[str, jax.ShapeDtypeStruct]:
  """What `_on_devices` would give, told without reading the set."""
  everywhere = NamedSharding(mesh, P())
  n, row = len(source), math.prod(source.stored_shape)
  return {
    name: jax.ShapeDtypeStruct(shape, dtype, sharding=everywhere)
    for name, shape, dtype in (
      ('image', (n, row), source.dtype),
      ('label', (n,), np.int32),
    )
  }


def _on_devices(source: Source, mesh) -> dict[str, jax.Array]:
  """A whole set, on each device of a mesh; see `Feed.table`."""
  images, labels = source.arrays()
  images = images.reshape(len(images), -1)
  everywhere = NamedSharding(mesh, P())
  return {
    name: jax.make_array_from_process_local_data(everywhere, x, x.shape)
    for name, x in (('image', images), ('label', labels))
  }
