"""Batches: the same bits however they come to the devices."""

import pathlib
import pickle
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from gan_jax.data import order
from gan_jax.data.pipeline import Feed, _Loader, decode
from gan_jax.data.source import Source
from gan_jax.errors import UserError


def make_mesh(data=1, pair=1):
  return jax.make_mesh(
    (data, pair),
    ('data', 'pair'),
    axis_types=(AxisType.Auto,) * 2,
    devices=jax.devices()[: data * pair],
  )


def make_feed(source, **changes):
  return Feed(
    source,
    **dict(
      draws=1,
      batch=8,
      seed=3,
      mirror=True,
      mesh=make_mesh(),
      device_budget_mb=1024,
      workers=0,
    )
    | changes,
  )


def take(feed, steps, start=0):
  """Batches of some steps on the host, as the jitted step sees them."""
  step, batches = jax.jit(feed.decode), feed.batches(start)
  got = [jax.device_get(step(feed.table, next(batches))) for _ in range(steps)]
  batches.close()
  return got


def same(a, b):
  return len(a) == len(b) and all(
    x.image.tobytes() == y.image.tobytes()
    and (x.label == y.label).all()
    and x.image.shape == y.image.shape
    for x, y in zip(a, b, strict=True)
  )


class Numbered(Source):
  """Picture i is full of i, but for its left column."""

  name, shape, dtype = 'numbered', (4, 6, 3), np.dtype(np.uint8)

  def __init__(self, n):
    self.n = n

  def __len__(self):
    return self.n

  def __getitem__(self, i):
    image = np.full(self.shape, i, np.uint8)
    image[:, 0] = 255
    return image, i % 5


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory, open_source, encode, photo):
  """A folder, opened so that its pictures are decoded whenever read."""
  root = tmp_path_factory.mktemp('pictures')
  for i in range(21):
    place = root / 'ab'[i % 2] / f'{i:02d}.png'
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(encode(np.roll(photo, i, 1)))
  return open_source(f'folder:{root}', resolution=16, device_budget_mb=0)


# What a batch holds.


@pytest.mark.parametrize('budget', [0, 1024])
def test_batch_by_a_plain_formula(budget):
  n, draws, batch, start = 30, 2, 8, 5
  source = Numbered(n)
  feed = make_feed(source, draws=draws, batch=batch, device_budget_mb=budget)
  assert bool(feed.table) == (budget > 0)
  for t, got in enumerate(take(feed, 3, start), start):
    assert got.image.shape == (draws, batch, 4, 6, 3)
    assert got.image.dtype == np.float32 and got.label.dtype == np.int32
    for k in range(draws):
      for row in range(batch):
        i = (t * draws + k) * batch + row
        picture, label = source[order.epoch_order(3, i // n, n)[i % n]]
        if order.mirrored(3, np.array(i)):
          picture = picture[:, ::-1]
        want = (picture.astype(np.float64) - 127.5) / 127.5
        assert np.abs(got.image[k, row] - want).max() < 1e-6
        assert got.label[k, row] == label


def test_all_values_lie_in_minus_one_to_one():
  raw = {
    'image': np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16, 1),
    'label': np.zeros((1, 1), np.int32),
    'mirror': np.zeros((1, 1), bool),
  }
  got = np.asarray(jax.jit(decode)({}, raw).image).ravel()
  assert got[0] == -1 and got[-1] == 1
  assert (np.diff(got) > 0).all() and (got == -got[::-1]).all()


def test_without_mirror_nothing_is_flipped():
  for budget in (0, 1024):
    got = take(
      make_feed(Numbered(20), mirror=False, device_budget_mb=budget), 4
    )
    images = np.concatenate([b.image for b in got])
    assert (images[..., 0, :] == 1).all() and (images[..., -1, :] < 1).all()


@pytest.mark.parametrize('name', ['ring8', 'swissroll'])
def test_points_are_left_as_they_are(name, open_source):
  source = open_source(f'toy:{name}')
  feeds = [make_feed(source, device_budget_mb=b) for b in (0, 1024)]
  a, b = (take(feed, 3) for feed in feeds)
  assert same(a, b) and a[0].image.shape == (1, 8, 2)
  index = order.indices(3, np.arange(8), len(source))
  assert (a[0].image[0] == source.arrays()[0][index]).all()
  assert (a[0].label[0] == source.arrays()[1][index]).all()


# The same bits on every way.


def test_resident_equals_streaming(folder, open_source):
  where = folder.name
  kept = open_source(where, resolution=16)
  resident = take(make_feed(kept, draws=2), 6, start=2)
  threads = take(make_feed(folder, draws=2, device_budget_mb=0), 6, start=2)
  again = take(make_feed(folder, draws=2), 6, start=2)  # decoded, then kept
  assert same(resident, threads) and same(resident, again)
  labels = np.concatenate([b.label for b in resident])
  assert set(labels.ravel()) == {0, 1}


@pytest.mark.parametrize('workers', [1, 2])
def test_worker_processes_give_the_same(folder, workers):
  feed = make_feed(folder, device_budget_mb=0)
  other = make_feed(folder, device_budget_mb=0, workers=workers)
  assert same(take(feed, 7, start=4), take(other, 7, start=4))


@given(
  n=st.integers(1, 40),
  draws=st.integers(1, 3),
  batch=st.integers(1, 6),
  start=st.integers(0, 50),
  seed=st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=30)
def test_positions_run_through_steps_draws_and_rows(
  n, draws, batch, start, seed
):
  feed = make_feed(Numbered(n), draws=draws, batch=batch, seed=seed)
  batches = feed.batches(start)
  raw = [jax.device_get(next(batches)) for _ in range(3)]
  positions = np.arange(start * draws * batch, (start + 3) * draws * batch)
  for name, want in (
    ('index', order.indices(seed, positions, n)),
    ('mirror', order.mirrored(seed, positions)),
  ):
    assert raw[0][name].shape == (draws, batch)
    assert (np.stack([r[name] for r in raw]).ravel() == want).all()
  assert raw[0]['index'].dtype == np.int32


@pytest.mark.parametrize('budget', [0, 1024])
def test_sequence_does_not_depend_on_the_batch_size(budget):
  def sequence(draws, batch):
    steps = 48 // (draws * batch)
    feed = make_feed(
      Numbered(20), draws=draws, batch=batch, device_budget_mb=budget
    )
    return np.concatenate(
      [b.image.reshape(-1, 4, 6, 3) for b in take(feed, steps)]
    )

  want = sequence(1, 4)
  for draws, batch in ((1, 8), (2, 4), (3, 16)):
    assert sequence(draws, batch).tobytes() == want.tobytes()


def test_resuming_needs_only_the_step(folder):
  for budget in (0, 1024):
    feed = make_feed(folder, device_budget_mb=budget)
    assert same(take(feed, 9)[6:], take(feed, 3, start=6))


@pytest.mark.parametrize('budget', [0, 1024])
@pytest.mark.parametrize('shape', [(8, 1), (4, 2), (2, 1)])
@pytest.mark.parametrize('apart', [False, True])
def test_mesh_gives_the_same_global_batch(budget, shape, apart, folder):
  want = take(make_feed(folder, draws=2, device_budget_mb=budget), 2)
  mesh = make_mesh(*shape)
  feed = make_feed(
    folder, draws=2, device_budget_mb=budget, mesh=mesh, apart=apart
  )
  assert same(take(feed, 2), want)
  raw = next(feed.batches(0))
  for array in raw.values():
    assert array.sharding.spec == P('pair' if apart else None, 'data')
    assert array.sharding.mesh == mesh
    part = array.addressable_shards[0].data.shape
    assert part[:2] == (2 // shape[1] if apart else 2, 8 // shape[0])
  for array in feed.table.values():
    assert array.sharding.is_fully_replicated
    assert len(array.sharding.device_set) == shape[0] * shape[1]


def test_the_step_moves_nothing_between_devices():
  feed = make_feed(Numbered(20), mesh=make_mesh(8))
  step = jax.jit(feed.decode).lower(feed.table, next(feed.batches(0)))
  compiled = step.compile()
  for word in ('all-gather', 'all-reduce', 'all-to-all', 'collective-permute'):
    assert word not in compiled.as_text()
  assert compiled.output_shardings.image.spec == P(None, 'data')


def test_hosts_read_their_part_only():
  reads = []

  class Counted(Numbered):
    def __getitem__(self, i):
      reads.append(i)
      return super().__getitem__(i)

  def load(rows, columns):
    own = np.array(rows), np.array(columns)
    return _Loader(Counted(30), 30, (2, 8), own, 3, True, 0)(4)

  whole = load(range(2), range(8))
  parts = [load(range(2), range(3)), load(range(2), range(3, 8))]
  pairs = [load([0], range(8)), load([1], range(8))]
  assert len(reads) == 16 + 2 * 3 + 2 * 5 + 2 * 8
  for name, mine in whole.items():
    assert (np.concatenate([p[name] for p in parts], 1) == mine).all()
    assert (np.concatenate([p[name] for p in pairs], 0) == mine).all()


def test_batch_must_divide(folder):
  with pytest.raises(UserError, match='batch = 6 does not divide over'):
    make_feed(folder, batch=6, mesh=make_mesh(4))


# Ends.


def test_loaders_can_be_sent_to_processes(folder):
  feed = make_feed(folder, device_budget_mb=0)
  loader = feed._load
  copy = pickle.loads(pickle.dumps(loader))
  for name, rows in loader(3).items():
    assert (copy(3)[name] == rows).all()


def prefetch_threads():
  return [t for t in threading.enumerate() if 'grain-prefetch' in t.name]


def test_closing_stops_the_threads(folder):
  before = len(prefetch_threads())
  batches = make_feed(folder, device_budget_mb=0).batches(0)
  next(batches)
  assert len(prefetch_threads()) > before
  batches.close()
  for _ in range(100):
    if len(prefetch_threads()) == before:
      return
    time.sleep(0.05)
  pytest.fail('threads go on after close()')


SCRIPT = """
import os, signal, sys
sys.path[:0] = {path!r}
import pipeline_test, conftest
def main():
  source = conftest.open_with({name!r}, resolution=16, device_budget_mb=0)
  feed = pipeline_test.make_feed(source, device_budget_mb=0, workers={workers})
  global batches, last
  batches = feed.batches(0)
  caught = []
  signal.signal(signal.SIGINT, lambda *_: caught.append(1))
  for _ in range(3):
    last = next(batches)
  os.killpg(os.getpid(), signal.SIGINT)  # Ctrl-C goes to the whole group
  for _ in range(40):
    last = next(batches)
  assert caught
  print('done')
if __name__ == '__main__':
  main()
"""


@pytest.mark.parametrize(
  'workers', [0, pytest.param(1, marks=pytest.mark.slow)]
)
def test_a_program_ends_with_batches_still_open(folder, workers, tmp_path):
  here = pathlib.Path(__file__).parent
  script = tmp_path / 'script.py'
  script.write_text(
    SCRIPT.format(
      path=[str(here), str(here.parents[1])], name=folder.name, workers=workers
    )
  )
  done = subprocess.run(
    [sys.executable, script],
    capture_output=True,
    text=True,
    timeout=60,
    start_new_session=True,
  )
  assert (done.returncode, done.stdout) == (0, 'done\n'), done.stderr
  assert done.stderr == ''
