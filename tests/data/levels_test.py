"""Lower resolutions: exact means, the same bits however they come."""

import errno
import logging
import os
import pathlib
import pickle
import shutil
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan_jax import mesh
from gan_jax.data import levels, pipeline, source
from gan_jax.data.pipeline import Feed
from gan_jax.errors import UserError
from gan_jax.experiment import make_feed
from gan_jax.state import Stage


class Pictures(source.Source):
  """Random pictures that say how often they were decoded."""

  name, dtype, in_memory = 'pictures', np.dtype(np.uint8), False

  def __init__(self, count=21, side=32, channels=3, seed=0):
    self.shape, self.reads = (side, side, channels), []
    rng = np.random.default_rng(seed)
    self.images = rng.integers(0, 256, (count, *self.shape), dtype=np.uint8)
    self.classes = ('a', 'b', 'c')

  def __len__(self):
    return len(self.images)

  def __getitem__(self, i):
    self.reads.append(i)
    return self.images[i], i % 3

  def label(self, i):
    return i % 3

  def content(self, i):
    return self.images[i].tobytes()


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_LEVELS', str(tmp_path / 'levels'))
  return tmp_path / 'levels'


@pytest.fixture(name='cache')
def _cache_path(_cache):
  return _cache


def means(stored, side):
  """Float64 means, pixel by pixel."""
  block = stored.shape[-2] // side
  out = np.empty((*stored.shape[:-3], side, side, stored.shape[-1]))
  for y in range(side):
    for x in range(side):
      rows = slice(y * block, y * block + block)
      columns = slice(x * block, x * block + block)
      out[..., y, x, :] = (
        stored[..., rows, columns, :].astype(np.float64).mean((-3, -2))
      )
  return out


# Sums and means.


@given(
  side=st.integers(1, 5),
  block=st.sampled_from([1, 2, 4, 8]),
  channels=st.sampled_from([1, 3]),
  lead=st.lists(st.integers(1, 3), max_size=2),
  low=st.integers(0, 255),
  seed=st.integers(0, 99),
)
def test_a_level_is_the_mean_of_its_pixels(
  side, block, channels, lead, low, seed
):
  rng = np.random.default_rng(seed)
  shape = (*lead, side * block, side * block, channels)
  stored = rng.integers(low, 256, shape, dtype=np.uint8)
  want = means(stored, side)
  got = levels.sums(stored, side)
  assert got.dtype == np.uint32 and got.shape == want.shape
  assert (got == np.rint(want * block**2)).all()
  seen = levels.at_level(stored, side)
  assert seen.dtype == np.float32 and np.abs(seen).max() <= 1
  # The mean is exact; then two roundings, of values up to 127.5 and to 1.
  np.testing.assert_allclose(seen, (want - 127.5) / 127.5, rtol=0, atol=1e-7)
  if block == 1:
    assert seen.tobytes() == source.to_float(stored).tobytes()


@pytest.mark.parametrize('side', [1, 2, 4, 8, 16, 32])
def test_numpy_and_jax_and_jit_give_the_same_bits(side):
  stored = Pictures(count=40).images
  want = levels.at_level(stored, side)
  eager = levels.at_level(jax.numpy.asarray(stored), side)
  jitted = jax.jit(levels.at_level, static_argnums=1)(stored, side)
  assert want.tobytes() == np.asarray(eager).tobytes()
  assert want.tobytes() == np.asarray(jitted).tobytes()


@pytest.mark.parametrize('value', [0, 1, 254, 255])
def test_the_largest_sums_are_exact(value):
  stored = np.full((1, 1024, 1024, 1), value, np.uint8)
  stored[0, 0, 0] ^= 1
  got = levels.at_level(stored, 4)
  exact = 256**2 * value + (1 if value % 2 == 0 else -1)
  assert levels.sums(stored, 4)[0, 0, 0, 0] == exact < 2**24
  wanted = np.float32(np.float32(exact / 256**2) - np.float32(127.5))
  assert got[0, 0, 0, 0] == wanted * np.float32(1 / 127.5)
  assert got[0, 3, 3, 0] == source.to_float(np.uint8([value]))[0]


def test_sides():
  assert levels.sides(1024) == [512, 256, 128, 64, 32, 16, 8, 4]
  assert levels.sides(96) == [48, 24, 12, 6] and levels.sides(4) == []


# The cache.


@pytest.mark.parametrize('side', [16, 8, 4])
def test_a_level_from_the_cache(side):
  whole = Pictures()
  level = levels.open_level(whole, side)
  assert level.shape == (side, side, 3) and len(level) == len(whole)
  assert level.classes == whole.classes and level.name == whole.name
  assert level.nbytes() == level.arrays()[0].nbytes
  for one in (level, pickle.loads(pickle.dumps(level))):
    for i in range(len(whole)):
      stored, label = one[i]
      assert stored.dtype == level.dtype == np.uint16 and label == i % 3
      want = levels.at_level(whole.images[i], side)
      assert one.unpack(stored).tobytes() == want.tobytes()
      assert one.label(i) == label
  assert len(pickle.dumps(level)) < 10_000
  stored, labels = level.arrays()
  assert (stored[5] == level[5][0]).all() and labels[5] == 2


def test_large_sums_take_four_bytes():
  whole = Pictures(count=2, side=128, channels=1)
  whole.images[:] = 255
  level = levels.open_level(whole, 4)
  assert level.dtype == np.uint32 and level[1][0].max() == 255 * 32**2
  assert levels.open_level(whole, 8).dtype == np.uint16  # 255 * 16^2
  assert levels.open_level(whole, 8)[0][0].max() == 255 * 16**2
  files = pathlib.Path(level._folder).glob('*.npy')
  headers = 128
  size = sum(file.stat().st_size - headers for file in files)
  assert size == levels.cache_bytes(whole.shape, 2)


def test_one_pass_makes_all_levels_and_each_is_kept(caplog, cache):
  whole = Pictures()
  with caplog.at_level(logging.INFO, 'gan_jax'):
    levels.open_level(whole, 4)
  assert sorted(whole.reads) == list(range(21))
  size = levels.cache_bytes(whole.shape, 21) / 2**20
  assert f'{size:.1f} MiB' in caplog.text and str(cache) in caplog.text
  for side in (16, 8, 4):
    levels.open_level(Pictures(), side)
    levels.open_level(whole, side)
  assert len(whole.reads) == 21


@pytest.mark.parametrize('change', ['pixel', 'label', 'fewer', 'shape'])
def test_other_data_have_another_cache(change, cache):
  levels.open_level(Pictures(), 4)
  other = Pictures(count=20 if change == 'fewer' else 21)
  if change == 'pixel':
    other.images[7, 3, 3, 0] ^= 1
  if change == 'label':
    other.label = lambda i: (i + 1) % 3
  if change == 'shape':
    other.images = other.images.reshape(84, 16, 16, 3)
    other.shape = (16, 16, 3)
  level = levels.open_level(other, 4)
  assert len(other.reads) == len(other)
  assert len([f for f in cache.iterdir() if f.is_dir()]) == 2
  want = levels.sums(other.images, 4)
  assert (level.arrays()[0] == want).all()


@pytest.mark.parametrize(
  'damage', ['cut', 'bit', 'gone', 'json', 'table', 'labels', 'header']
)
def test_a_damaged_cache_is_made_again(damage, caplog):
  whole = Pictures()
  folder = levels.open_level(whole, 8)._folder
  file = folder / '8.npy'
  content = bytearray(file.read_bytes())
  if damage == 'cut':
    file.write_bytes(content[:-1])
  elif damage == 'bit':
    content[-100] ^= 1
    file.write_bytes(content)
  elif damage == 'header':
    file.write_bytes(bytes(content).replace(b'(21, 8, 8', b'(21, 4,16'))
  elif damage == 'gone':
    file.unlink()
  elif damage == 'labels':
    np.save(folder / 'labels.npy', np.ones(21, np.int32))
  else:
    text = {'json': '{', 'table': '{"starts": 3, "levels": {}}'}[damage]
    (folder / 'levels.json').write_text(text)
  level = levels.open_level(whole, 8)
  assert 'made again' in caplog.text and len(whole.reads) == 42
  assert (level.arrays()[0] == levels.sums(whole.images, 8)).all()
  assert (level.labels == np.arange(21) % 3).all()


@pytest.mark.parametrize(
  ('shape', 'side'), [(32, 32), (32, 12), (32, 2), (36, 8)]
)
def test_no_such_level(shape, side, cache):
  with pytest.raises(UserError, match=f'{shape}x{shape} pixels cannot be'):
    levels.open_level(Pictures(side=shape), side)
  assert not cache.exists()


# Disks.


def test_too_little_room_is_said_before_anything_is_read(monkeypatch, cache):
  whole = Pictures()
  need = levels.cache_bytes(whole.shape, 21)
  usage = shutil.disk_usage('/')._replace(free=need - 1)
  monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage)
  with pytest.raises(UserError) as refused:
    levels.open_level(whole, 8)
  text = str(refused.value)
  assert 'GAN_JAX_LEVELS' in text and str(cache) in text and 'MiB' in text
  assert whole.reads == [] and not [f for f in cache.iterdir() if f.is_dir()]
  monkeypatch.undo()


@pytest.mark.parametrize(
  ('code', 'word'), [(errno.ENOSPC, 'make room'), (errno.EIO, 'cannot be')]
)
def test_a_disk_that_fills_up(code, word, monkeypatch, cache):
  written, real = [], os.pwrite

  def pwrite(*args):
    written.append(args)
    if len(written) > 30:
      raise OSError(code, os.strerror(code))
    return real(*args)

  whole = Pictures()
  with monkeypatch.context() as patched:
    patched.setattr(os, 'pwrite', pwrite)
    with pytest.raises(UserError, match=word) as refused:
      levels.open_level(whole, 8)
  assert 'GAN_JAX_LEVELS' in str(refused.value)
  assert not [f for f in cache.iterdir() if f.is_dir()]
  level = levels.open_level(whole, 8)
  assert (level.arrays()[0] == levels.sums(whole.images, 8)).all()


def test_a_place_that_is_a_file(monkeypatch, tmp_path):
  (tmp_path / 'file').write_text('x')
  monkeypatch.setenv('GAN_JAX_LEVELS', str(tmp_path / 'file' / 'x'))
  with pytest.raises(UserError, match='GAN_JAX_LEVELS'):
    levels.open_level(Pictures(), 8)


def test_what_the_source_cannot_read_is_not_the_cache_s_fault(cache):
  class Broken(Pictures):
    def __getitem__(self, i):
      raise OSError(errno.EIO, 'x', '/elsewhere')

  with pytest.raises(OSError, match='/elsewhere'):
    levels.open_level(Broken(), 8)
  assert not [f for f in cache.iterdir() if f.is_dir()]


# Processes.

# A source of its own: importing this file would take seconds.
SCRIPT = """
import logging, os, sys, time
sys.path.insert(0, {root!r})
import numpy as np
from gan_jax.data import levels, source
logging.basicConfig(level=logging.INFO, force=True)
class Held(source.Source):
  name, shape, dtype, reads = 'held', (16, 16, 1), np.dtype(np.uint8), 0
  def __len__(self):
    return 5
  def content(self, i):
    return bytes([i])
  def label(self, i):
    return i
  def __getitem__(self, i):
    os.write(1, b'read\\n')
    while not os.path.exists({gate!r}):
      time.sleep(0.02)
    self.reads += 1
    return np.full(self.shape, i, np.uint8), i
whole = Held()
level = levels.open_level(whole, 8)
print('\\nend', whole.reads, int(level.arrays()[0].sum()), flush=True)
"""


def start(gate):
  root = str(pathlib.Path(__file__).parents[2])
  return subprocess.Popen(
    [sys.executable, '-c', SCRIPT.format(root=root, gate=str(gate))],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
  )


def test_two_processes_at_once_and_one_killed(cache, tmp_path):
  gate = tmp_path / 'gate'
  killed = start(gate)
  assert killed.stdout.readline() == 'read\n'
  killed.send_signal(signal.SIGKILL)
  killed.communicate()
  (left,) = [f for f in cache.iterdir() if f.is_dir()]
  assert left.name.endswith('.part')

  first = start(gate)
  assert first.stdout.readline() == 'read\n'
  second = start(gate)
  assert any('waiting for its end' in line for line in second.stderr)
  gate.touch()
  told = [process.communicate(timeout=60)[0] for process in (first, second)]
  total = 256 * (0 + 1 + 2 + 3 + 4)
  assert told[0].endswith(f'\nend 5 {total}\n')
  assert told[1] == f'\nend 0 {total}\n'
  (folder,) = [f for f in cache.iterdir() if f.is_dir()]
  assert not folder.name.endswith('.part')


# Feeds.


def feed_of(whole, stage, budget, mirror, config):
  config.augment.mirror = mirror
  config.data.device_budget_mb = budget
  return make_feed(config, stage, whole, mesh.one_device(), offset=13)


def take(feed, steps=4):
  step, batches = jax.jit(feed.decode), feed.batches(2)
  got = [jax.device_get(step(feed.table, next(batches))) for _ in range(steps)]
  batches.close()
  return got


@pytest.mark.parametrize('mirror', [False, True])
@pytest.mark.parametrize('side', [4, 16, 32, 0])
def test_the_same_bits_on_every_way(side, mirror):
  from gan_jax.config import defaults

  config, whole = defaults(), Pictures(count=400)
  stage = Stage(side, 6, 2, 12)
  resident = feed_of(whole, stage, 1024, mirror, config)
  assert resident.table['image'].dtype == np.uint8
  streaming = feed_of(whole, stage, 0, mirror, config)
  assert not streaming.table
  # The full set does not fit, its level does.
  stored = feed_of(whole, stage, 1, mirror, config)
  assert bool(stored.table) == (side in (4, 16))
  ways = [take(feed) for feed in (resident, streaming, stored)]
  reduced = levels.at_level(whole.images, side or 32)
  choice = {row.tobytes(): i for i, row in enumerate(reduced)} | {
    row[:, ::-1].tobytes(): i for i, row in enumerate(reduced)
  }
  for batches in zip(*ways, strict=True):
    assert batches[0].image.shape == (2, 6, *reduced.shape[1:])
    assert batches[0].image.dtype == np.float32
    assert len({batch.image.tobytes() for batch in batches}) == 1
    assert len({batch.label.tobytes() for batch in batches}) == 1
    for k in range(2):
      for image, label in zip(
        batches[0].image[k], batches[0].label[k], strict=True
      ):
        assert choice[image.tobytes()] % 3 == label


def test_grain_s_processes_read_a_level():
  level = levels.open_level(Pictures(), 8)
  level.in_memory = False  # else nobody would ask them to
  given = dict(
    draws=1,
    batch=4,
    seed=1,
    mirror=True,
    mesh=mesh.one_device(),
    device_budget_mb=0,
  )
  want = take(Feed(level, workers=0, **given))
  got = take(Feed(level, workers=1, **given))
  for a, b in zip(want, got, strict=True):
    assert a.image.tobytes() == b.image.tobytes()


def test_a_broken_picture_gives_its_place_to_the_next(
  tmp_path, open_source, encode, photo, caplog
):
  for i in range(5):
    (tmp_path / f'{i}.png').write_bytes(encode(np.roll(photo, 5 * i, 1)))
  whole = open_source(f'folder:{tmp_path}', resolution=16, device_budget_mb=0)
  (tmp_path / '2.png').write_bytes(b'nothing')
  level = levels.open_level(whole, 4)
  assert '2.png' in caplog.text
  assert (level[2][0] == level[3][0]).all()
  assert (level[1][0] == levels.sums(whole[1][0], 4)).all()


def test_fits_is_what_the_feed_asks():
  whole = Pictures(count=16, side=32, channels=1)  # 1/64 MiB
  assert pipeline.fits(whole, 1 / 64) and not pipeline.fits(whole, 1 / 65)
