"""Full disks, folders that go away, names that are no text: processes."""

import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

import pytest

from gan_jax.mesh import one_device
from gan_jax.restore import restore
from tests import small

ROOT = pathlib.Path(__file__).parent.parent
TRAIN = (
  '--config=configs/quickstart.py:test',
  '--config.metrics.every=2',
  '--config.metrics.names=frechet_pixels',
  '--config.metrics.best=frechet_pixels',
)


def start(*argv, limit=None, **env):
  """The program; no file of its may grow above `limit` bytes."""
  sizes = (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
  # Not of its cache, which the limit would spoil for others.
  env = {'XLA_FLAGS': '', 'JAX_ENABLE_COMPILATION_CACHE': 'true'} | env
  if limit:
    env['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '1000'
  return subprocess.Popen(
    [sys.executable, '-m', 'gan_jax.main', *map(str, argv)],
    cwd=ROOT,
    env=os.environ | env,
    text=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    preexec_fn=limit
    and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, sizes)),
  )


def run(*argv, **more):
  process = start(*argv, **more)
  output, _ = process.communicate(timeout=200)
  return process.returncode, output


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'x'
  status, output = run(*TRAIN, f'--workdir={folder}')
  assert status == 0, output
  return folder


LIMITS = (64, 700, 3000, 20_000, 80_000, 150_000, 250_000, 320_000)


@pytest.mark.slow
@pytest.mark.parametrize('limit', LIMITS)
def test_no_room_is_one_sentence_and_the_next_start_goes_on(
  limit, undisturbed, tmp_path
):
  """At a size that stops the settings, the grids, or a checkpoint."""
  status, output = run(*TRAIN, f'--workdir={tmp_path}', limit=limit)
  last = output.splitlines()[-1]
  assert status == 1 and 'Traceback' not in output, output
  assert last.startswith('gan_jax: ') and 'ulimit -f' in last, output
  if limit > 64:
    assert 'had reached step' in last and 'checkpoint' in last, output
  assert not list(tmp_path.glob('.*'))  # no lock, nothing half-written
  status, output = run(*TRAIN, f'--workdir={tmp_path}')
  assert status == 0, output
  a, b = (restore(d, one_device()) for d in (tmp_path, undisturbed))
  assert a.step == b.step == 4 and small.identical(a.state, b.state)
  for name in ('best.json', 'evaluate.jsonl', 'config.json'):
    assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()


LONG = ('--config.train.steps=4000', '--config.train.checkpoint_every=10')


@pytest.mark.slow
@pytest.mark.parametrize('how', ['moved', 'removed'])
def test_a_folder_that_goes_away_is_one_sentence(how, tmp_path):
  folder = tmp_path / 'x'
  process = start(*TRAIN[:1], *LONG, f'--workdir={folder}')
  while not (folder / 'checkpoints' / '20').exists():
    assert process.poll() is None, process.communicate()
    time.sleep(0.05)
  if how == 'moved':
    folder.rename(tmp_path / 'y')
  else:
    shutil.rmtree(folder, ignore_errors=True)
    folder.exists() and folder.rename(tmp_path / 'rest')
  output, _ = process.communicate(timeout=100)
  last = output.splitlines()[-1]
  assert process.returncode == 1 and 'Traceback' not in output, output
  assert str(folder) in last and 'moved or removed' in last, output
  if how == 'moved':
    assert restore(tmp_path / 'y', one_device()).step >= 20


C = {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'}


@pytest.mark.parametrize(
  'name',
  [
    pytest.param('ąžuolas', marks=pytest.mark.slow),
    os.fsdecode(b'caf\xe9'),
  ],
)
def test_names_that_the_terminal_does_not_have(name, tmp_path, undisturbed):
  folder = tmp_path / name
  status, output = run(*TRAIN, f'--workdir={folder}', **C)
  assert 'Traceback' not in output
  if name.isprintable():
    assert status == 0, output
    state = restore(folder, one_device()).state
    assert small.identical(state, restore(undisturbed, one_device()).state)
  else:
    assert status == 1 and 'is not UTF-8' in output and not folder.exists()


def test_a_run_that_can_only_be_read_is_sampled_elsewhere(
  undisturbed, tmp_path
):
  """By anybody: nothing in it is written to, nor locked."""
  run_ = shutil.copytree(undisturbed, tmp_path / 'run')
  for path in [run_, *run_.rglob('*')]:
    path.chmod(0o555 if path.is_dir() else 0o444)
  before = {p: p.stat().st_mtime_ns for p in run_.rglob('*')}
  out = tmp_path / 'out'
  argv = ('--mode=sample', f'--workdir={run_}', '--seeds=0-2')
  status, output = run(*argv, f'--out={out}')
  assert status == 0, output
  names = {f'seed000{k}.png' for k in range(3)}
  assert {p.name for p in out.iterdir()} == names
  assert (tmp_path / 'out.png').exists()  # the grid, beside it
  assert {p: p.stat().st_mtime_ns for p in run_.rglob('*')} == before
