"""The program as its users start it, stop it and misuse it: processes."""

import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from gan_jax import flags, main
from gan_jax.mesh import one_device
from gan_jax.restore import restore
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.run.folder import RunDir
from tests import small

ROOT = pathlib.Path(__file__).parent.parent
# One device and XLA's own choices, as a newcomer has; the suite's own process
# has eight devices and a quicker compiler.
ENV = os.environ | {'XLA_FLAGS': ''}
TRAIN = ('--config=configs/quickstart.py:test',)


def start(*argv, **env):
  return subprocess.Popen(
    [sys.executable, '-m', 'gan_jax.main', *argv],
    cwd=ROOT,
    env=ENV | env,
    text=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
  )


def run(*argv):
  """Exit status and everything that was printed."""
  process = start(*argv)
  output, _ = process.communicate(timeout=300)
  return process.returncode, output


def final(workdir):
  return restore(workdir, one_device())


def wait_for_step(process, workdir, step):
  """Returns once this process, just started, has logged a step or ended."""
  log = workdir / 'log.txt'
  before = len(log.read_text()) if log.exists() else 0
  while process.poll() is None:
    text = log.read_text()[before:] if log.exists() else ''
    if any(int(s) >= step for s in re.findall(r' step (\d+)/', text)):
      return
    time.sleep(0.02)


LONG = (
  *TRAIN,
  '--config.train.steps=200',
  '--config.train.checkpoint_every=25',
  '--config.train.log_every=5',
  '--config.train.image_every=100',
  '--config.metrics.every=50',
  '--config.metrics.names=frechet_pixels',
  '--config.metrics.best=frechet_pixels',
)


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  folder = tmp_path_factory.mktemp('undisturbed')
  status, output = run(*LONG, f'--workdir={folder}')
  assert status == 0, output
  return folder


def test_killed_at_random_it_ends_bit_identical(undisturbed, tmp_path):
  """SIGKILL, the same command again; twenty times in kill_test.py."""
  moments = random.Random(time.time_ns())
  process = start(*LONG, f'--workdir={tmp_path}')
  wait_for_step(process, tmp_path, moments.randint(1, 120))
  time.sleep(moments.random() * 0.2)
  process.kill()
  process.communicate()
  assert process.returncode == -signal.SIGKILL, 'the run was not interrupted'
  status, output = run(*LONG, f'--workdir={tmp_path}')
  assert status == 0, output
  a, b = final(undisturbed), final(tmp_path)
  assert a.step == b.step == 200
  assert small.identical(a.state, b.state)
  # Log, evaluations, best state and pictures are as if nothing had happened.
  assert left(tmp_path) == left(undisturbed)


def left(folder):
  """What a run leaves beside its state."""
  run = RunDir(folder)
  evaluated = run.lines('evaluate.jsonl')
  losses = [(ln['step'], ln['d_loss']) for ln in run.lines() if 'd_loss' in ln]
  assert len(losses) == 40 and len(evaluated) == 4
  return {
    'losses': losses,
    'evaluated': evaluated,
    'best': (folder / 'best.json').read_text(),
    'pictures': {f.name: f.read_bytes() for f in (folder / 'images').iterdir()},
  }


@pytest.mark.slow
def test_a_second_process_is_refused_and_the_first_unharmed(
  undisturbed, tmp_path
):
  first = start(*LONG, f'--workdir={tmp_path}')
  wait_for_step(first, tmp_path, 10)
  status, output = run(*LONG, f'--workdir={tmp_path}')
  assert status == 1 and 'Traceback' not in output, output
  assert f'in use by process {first.pid} on ' in output
  output, _ = first.communicate(timeout=300)
  assert first.returncode == 0, output
  assert small.identical(final(tmp_path).state, final(undisturbed).state)
  assert not (tmp_path / '.lock').exists()


def test_a_signal_saves_and_says_so_by_its_exit_code(undisturbed, tmp_path):
  for name, step in (('SIGTERM', 30), ('SIGINT', 100)):
    process = start(*LONG, f'--workdir={tmp_path}')
    wait_for_step(process, tmp_path, step)
    process.send_signal(getattr(signal, name))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 75, output
    assert f'{name}: saved at step' in output and 'Traceback' not in output
    saved = Checkpoints(tmp_path / 'checkpoints').steps()[-1]
    assert f'saved at step {saved};' in output
  status, output = run(*LONG, f'--workdir={tmp_path}')
  assert status == 0 and f'Going on from step {saved}.' in output
  assert small.identical(final(tmp_path).state, final(undisturbed).state)


@pytest.mark.slow
def test_a_signal_before_the_first_step_ends_at_once(tmp_path):
  # Without the cache it compiles for seconds, and the signal comes in time.
  off = dict(JAX_ENABLE_COMPILATION_CACHE='false')
  process = start(*LONG, f'--workdir={tmp_path}', **off)
  while not (tmp_path / 'data.json').exists():  # the data are open
    time.sleep(0.01)
  process.send_signal(signal.SIGINT)
  output, _ = process.communicate(timeout=120)
  assert process.returncode == 130, output
  assert output.endswith(
    'gan_jax: interrupted; what was saved before is as it was.\n'
  )
  assert 'Traceback' not in output


MISTAKES = {
  'no config': ([], '--mode=train needs --config'),
  'no such file': (['--config=configs/quikstart.py'], 'did you mean'),
  'unknown flag': ([*TRAIN, '--stepz=3'], '--stepz=3 is not a flag'),
  'unknown key': ([*TRAIN, '--config.train.bach=3'], "did you mean 'batch'"),
  'wrong type': ([*TRAIN, '--config.train.batch=x'], 'of type int'),
  'wrong choice': ([*TRAIN, '--config.loss.name=wgan'], "'wasserstein'"),
  'wrong option': (['--config=configs/quickstart.py:tset'], "'tset'"),
  'no such data': (
    [*TRAIN, '--config.data.source=folder:/no/such/folder'],
    '/no/such/folder',
  ),
  'wrong shape': ([*TRAIN, '--config.data.resolution=48'], '28, 32, 64'),
  'no run there': (['--mode=sample', '--workdir=/tmp'], 'holds no run'),
  'unwritable': (
    [*TRAIN, '--workdir=/proc/x'],
    '--workdir=/proc/x cannot be written to',
  ),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_ends_in_one_sentence(mistake, tmp_path, monkeypatch):
  argv, words = MISTAKES[mistake]
  if not any('--workdir' in word for word in argv):
    argv = [*argv, f'--workdir={tmp_path}']
  monkeypatch.setattr(sys, 'argv', ['main', *argv])
  monkeypatch.chdir(ROOT)
  with pytest.raises(SystemExit) as stop:
    main.main()
  said = str(stop.value)
  assert said.startswith('gan_jax: ') and words in said and '\n' not in said


def test_a_mistake_shows_no_traceback_and_fails():
  status, output = run(*TRAIN, '--config.data.source=folder:/no/such/folder')
  assert status == 1 and 'Traceback' not in output
  assert output.startswith('gan_jax: ') and output.count('\n') == 1


def test_every_mode_has_a_job():
  assert set(main.JOBS) == set(flags.MODES)


def test_help_needs_no_jax_and_shows_examples():
  status, output = run('--help')
  assert status == 0 and 'Examples' in output and '--seeds' in output
  imported = subprocess.run(
    [
      sys.executable,
      '-c',
      "import sys; sys.argv = ['x', '--help']\n"
      'from gan_jax import main; main.main()\n'
      "print('jax' in sys.modules)",
    ],
    capture_output=True,
    text=True,
    cwd=ROOT,
    check=True,
  )
  assert imported.stdout.endswith('False\n')
