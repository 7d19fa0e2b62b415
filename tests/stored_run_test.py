"""Whole runs in an object store, as processes: what a folder would hold.

The store is tests/object_store.py, asked by the real clients (gcsfs,
TensorStore's for checkpoints).
"""

import json
import logging
import random
import re
import signal
import time

import pytest

from gan_jax import evaluate, explore, paths, sample
from gan_jax.errors import STOPPED
from tests import hosts_test, main_test, small

pytestmark = pytest.mark.release

TRAIN = (
  '--config=configs/quickstart.py:test',
  '--config.train.checkpoint_every=20',
  '--config.train.log_every=5',
  '--config.train.image_every=40',
  '--config.metrics.every=40',
  '--config.metrics.names=frechet_pixels',
  '--config.metrics.best=frechet_pixels',
)


# Small enough to compile in a moment, for two processes of four devices.
TOY = (
  '--config=configs/mlp_toy.py:test',
  '--config.train.steps=60',
  '--config.train.log_every=5',
  '--config.train.checkpoint_every=10',
  '--config.train.image_every=60',
)
STEPS = '--config.train.steps={}'


def start(store, *argv):
  return main_test.start(*argv, **store.environment)


def run(store, *argv):
  """What a process has said that ends well."""
  said, _ = (process := start(store, *argv)).communicate(timeout=300)
  assert process.returncode == 0, said
  return said


def until_step(process, step):
  """Reads what a process says until it is at a step; '' if it has ended."""
  for line in process.stdout:
    if (found := re.match(r'step (\d+)/', line)) and int(found[1]) >= step:
      return line
  return ''


def lines(folder, name):
  """Of a .jsonl file, without what is another in every run.

  Nor with that of the step at which a signal came.
  """
  some = map(json.loads, (folder / name).read_text().splitlines())
  free = ('images_per_second', 'memory_gb')
  return [
    {k: v for k, v in line.items() if k not in free}
    for line in some
    if line['step'] % 5 == 0
  ]


def names(folder):
  return sorted(file.name for file in folder.iterdir())


def same(store, folder, undisturbed):
  """Asserts that a run in the store is the one in a folder, to the bit."""
  there = paths.place(folder, '--workdir')
  for name in ('metrics.jsonl', 'evaluate.jsonl'):
    assert lines(there, name) == lines(undisturbed, name), name
  for name in ('', 'images', 'checkpoints', 'best'):
    assert names(there / name) == names(undisturbed / name), name
  for name in ('config.json', 'data.json', 'data.txt', 'stretches.json'):
    assert (there / name).read_bytes() == (undisturbed / name).read_bytes()
  for file in (undisturbed / 'images').iterdir():
    assert (there / 'images' / file.name).read_bytes() == file.read_bytes()
  a, b = main_test.final(folder), main_test.final(undisturbed)
  assert a.step == b.step and small.identical(a.state, b.state)


@pytest.fixture(scope='module')
def undisturbed(store, tmp_path_factory):
  folder = tmp_path_factory.mktemp('stored') / 'undisturbed'
  run(store, *TRAIN, STEPS.format(120), f'--workdir={folder}')
  return folder


def test_a_run_in_a_store_is_the_one_in_a_folder(store, undisturbed):
  """Started, stopped at its first third, gone on with."""
  folder = '--workdir=gs://bucket/runs/whole'
  run(store, *TRAIN, STEPS.format(40), folder)
  said = run(store, *TRAIN, STEPS.format(120), folder)
  assert 'Going on from step 40.' in said
  # Its evaluation of what was its last step then is one of the run's.
  same(store, 'gs://bucket/runs/whole', undisturbed)
  log = (paths.place('gs://bucket/runs/whole', 'x') / 'log.txt').read_text()
  assert 'step 120/120' in log and log.count('Done. The run is in gs://') == 2


def test_signals_and_kills_change_no_bit(store, undisturbed):
  folder, seed = 'gs://bucket/runs/killed', time.time_ns()
  moments = random.Random(seed)
  for kill in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
    process = start(store, *TRAIN, STEPS.format(120), f'--workdir={folder}')
    until_step(process, moments.choice((5, 20, 35, 60, 75)))
    time.sleep(moments.uniform(0, 0.5))
    process.send_signal(kill)
    said, _ = process.communicate(timeout=120)
    expected = STOPPED if kill == signal.SIGTERM else -9
    assert process.returncode in (expected, 0), (seed, said)
  run(store, *TRAIN, STEPS.format(120), f'--workdir={folder}')
  same(store, folder, undisturbed)


def test_a_second_process_is_refused_and_changes_nothing(store):
  folder = 'gs://bucket/runs/owned'
  long = (*TRAIN, STEPS.format(100_000), f'--workdir={folder}')
  owner = start(store, *long)
  until_step(owner, 5)
  second = start(store, *long)
  said, _ = second.communicate(timeout=120)
  assert second.returncode == 1 and said.count('gan_jax: ') == 1
  assert f'{folder} is in use by process {owner.pid} on ' in said
  assert owner.poll() is None
  owner.terminate()
  said, _ = owner.communicate(timeout=120)
  assert owner.returncode == STOPPED, said
  assert 'saved at step' in said and '.lock' not in names(
    paths.place(folder, '--workdir')
  )


def test_other_modes_look_into_it(store, undisturbed, caplog):
  """Samples, scores, a film and a latent search as of the run in a folder."""
  there = paths.place('gs://bucket/runs/whole', 'x')
  if not there.exists():
    run(store, *TRAIN, STEPS.format(120), f'--workdir={there}')
  invert = 'invert:count=2,iterations=2'
  for where in (there, undisturbed):
    sample.sample(where, '0-3', None, None)
    sample.sample(where, '0-3', 'best', None)
    evaluate.evaluate(where)
    explore.explore(where, 'progress:format=webp')
    explore.explore(where, invert)
    with caplog.at_level(logging.INFO):
      explore.explore(where, invert)
    assert 'pictures are there already' in caplog.text
    caplog.clear()
  for folder in ('samples', 'samples/step_000000120', 'explore'):
    assert names(there / folder) == names(undisturbed / folder)
    for file in (undisturbed / folder).glob('*.png'):
      other = (there / folder / file.name).read_bytes()
      assert other == file.read_bytes(), file
  assert lines(there, 'evaluate.jsonl') == lines(undisturbed, 'evaluate.jsonl')


def test_pictures_that_stream_from_a_store(store, tmp_path, photo_files):
  """By worker processes, each step's pictures alone."""
  for name, data in photo_files.items():
    (tmp_path / 'set').mkdir(exist_ok=True)
    (tmp_path / 'set' / name).write_bytes(data)
    store.put(f'pictures/{name}', data)
  common = (
    '--config=configs/dcgan_folder.py:test',
    '--config.data.device_budget_mb=0',
    '--config.data.workers=1',
    '--config.train.steps=6',
    '--config.train.log_every=1',
  )
  here, there = tmp_path / 'run', 'gs://bucket/runs/streamed'
  source = '--config.data.source=folder:'
  run(store, *common, f'{source}{tmp_path / "set"}', f'--workdir={here}')
  run(store, *common, f'{source}gs://bucket/pictures', f'--workdir={there}')
  a, b = main_test.final(here), main_test.final(there)
  assert small.identical(a.state, b.state)
  assert lines(here, 'metrics.jsonl') == lines(
    paths.place(there, 'x'), 'metrics.jsonl'
  )


def test_two_processes_write_one_run_to_a_store(store, tmp_path):
  """Both write each checkpoint; both are killed, and go on."""
  here, there = tmp_path / 'run', 'gs://bucket/runs/two'
  # Process 0 alone would find its program in the cache, and wait for the other
  # one's compiler for longer than collectives wait.
  env = store.environment | {'JAX_ENABLE_COMPILATION_CACHE': 'false'}
  both = lambda folder: hosts_test.two(folder, *TOY, **env)
  hosts_test.ended(both(here), [0, 0])
  killed = both(there)
  until_step(killed[0], 30)
  for process in killed:
    process.kill()
    process.communicate()
  hosts_test.ended(both(there), [0, 0])
  a, b = main_test.final(here), main_test.final(there)
  assert a.step == b.step and small.identical(a.state, b.state)
  stored = paths.place(there, '--workdir')
  assert lines(stored, 'metrics.jsonl') == lines(here, 'metrics.jsonl')
  assert names(stored / 'images') == names(here / 'images')


@pytest.fixture
def photo_files():
  """PNG files by name."""
  import io

  import numpy as np
  from PIL import Image

  files, draw = {}, np.random.default_rng(0)
  for k in range(20):
    stream = io.BytesIO()
    pixels = draw.integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(pixels).save(stream, 'PNG')
    files[f'{k:02d}.png'] = stream.getvalue()
  return files
