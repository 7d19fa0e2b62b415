"""Several processes of one run, real ones: four devices each of two.

What they train is what one process with eight devices does, up to the order of
sums; whatever stops one of them stops both at the same step, and the same
command goes on to the same bits.
"""

import concurrent.futures
import json
import socket
import subprocess
import sys
import threading
import time
import types

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

from gan_jax import hosts
from gan_jax.errors import STOPPED, UserError
from gan_jax.run.checkpoints import Checkpoints
from tests import main_test, small

# Messengers that remember, of pairs on both hosts.
SGAN = (
  '--config=configs/sgan_toy.py:n=4,test',
  '--config.mesh.pair=2',
  '--config.train.steps=60',
  '--config.train.log_every=10',
  '--config.train.checkpoint_every=10',
  '--config.train.image_every=60',
  '--config.metrics.every=60',
)


def environment(devices):
  """Of a process with so many devices."""
  return dict(XLA_FLAGS=f'--xla_force_host_platform_device_count={devices}')


def free_port():
  """A port that nobody listens at."""
  with socket.socket() as server:
    server.bind(('localhost', 0))
    return server.getsockname()[1]


def two(folder, *args, **env):
  """Starts two processes of a run."""
  common = [f'--coordinator=localhost:{free_port()}', '--processes=2']
  return [
    main_test.start(
      *args,
      f'--workdir={folder}',
      *common,
      f'--process={process}',
      **environment(4),
      **env,
    )
    for process in (0, 1)
  ]


def ended(processes, codes):
  """What two processes have said; they end with these codes."""
  said = [process.communicate(timeout=300)[0] for process in processes]
  assert [process.returncode for process in processes] == codes, said
  return said


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  folder = tmp_path_factory.mktemp('hosts') / 'undisturbed'
  ended(two(folder, *SGAN), [0, 0])
  return folder


def same_as_one_process(apart, folder, *args):
  """Whether two processes have trained what one with all devices does."""
  ended([main_test.start(*args, f'--workdir={folder}', **environment(8))], [0])
  a, b = (main_test.final(f).state for f in (apart, folder))
  pictures = [
    {f.name for f in (x / 'images').iterdir()} for x in (apart, folder)
  ]
  # Gradients are summed over the devices in another order.
  near = np.allclose(small.flat(a), small.flat(b), rtol=0, atol=1e-4)
  return near and pictures[0] == pictures[1]


def scores(folder):
  """The last line of a run's scores."""
  return json.loads((folder / 'evaluate.jsonl').read_text().splitlines()[-1])


@pytest.mark.slow
def test_pairs_on_both_hosts_train_as_on_one(undisturbed, tmp_path):
  assert same_as_one_process(undisturbed, tmp_path, *SGAN)
  # Each of the two has judged its share of the points.
  a, b = map(scores, (undisturbed, tmp_path))
  assert a.keys() == b.keys() and a['step'] == 60
  for name, value in a.items():
    if isinstance(value, float):
      assert value == pytest.approx(b[name], rel=0.02), name


@pytest.mark.slow
def test_whatever_ends_one_ends_both_and_both_go_on(undisturbed, tmp_path):
  processes = two(tmp_path, *SGAN)
  main_test.wait_for_step(processes[0], tmp_path, 10)
  processes[1].terminate()
  said = ended(processes, [75, 75])
  saved = Checkpoints(tmp_path / 'checkpoints').steps()[-1]
  assert f'saved at step {saved};' in said[0]

  processes = two(tmp_path, *SGAN)
  main_test.wait_for_step(processes[0], tmp_path, saved + 10)
  processes[1].kill()
  start = time.monotonic()
  output, _ = processes[0].communicate(timeout=300)
  assert time.monotonic() - start < 1.5 * hosts.LOST_AFTER
  # On the CPU messages to the other one fail, else JAX ends the process.
  assert processes[0].returncode in (75, -6), output
  assert 'start all of them again' in output or 'another task died' in output

  ended(two(tmp_path, *SGAN), [0, 0])
  ends = [main_test.final(f).state for f in (tmp_path, undisturbed)]
  assert small.identical(*ends)


class Threads:
  """Processes of a pod, each a thread, for `hosts.shared` and `gather`."""

  def __init__(self, monkeypatch, count):
    self._count, self._here = count, threading.local()
    self._met, self._given = threading.Barrier(count, timeout=30), [0] * count
    monkeypatch.setattr(jax, 'process_count', lambda: count)
    monkeypatch.setattr(jax, 'process_index', lambda: self._here.me)
    utilities = types.SimpleNamespace(process_allgather=self._allgather)
    monkeypatch.setattr(hosts, 'multihost_utils', utilities)

  def _allgather(self, x):
    assert x.dtype in (np.int32, np.uint8)  # JAX would round others
    self._given[self._here.me] = x
    self._met.wait()
    found = np.stack(self._given)  # which refuses arrays of several shapes
    self._met.wait()
    return found

  def all(self, function):
    """What the function gives on each of them."""

    def work(me):
      self._here.me = me
      return function()

    with concurrent.futures.ThreadPoolExecutor(self._count) as pool:
      return list(pool.map(work, range(self._count)))


@hypothesis.given(st.integers(1, 4), st.lists(st.integers(0, 300), max_size=9))
@hypothesis.settings(max_examples=30, deadline=None)
def test_work_is_shared_and_its_results_are_everywhere(count, parts):
  with pytest.MonkeyPatch.context() as patch:
    done = []

    def work(part):
      done.append(part)
      return np.full(part, 0.1)

    found = Threads(patch, count).all(lambda: list(hosts.shared(work, parts)))
  assert sorted(done) == sorted(parts)  # each by one process
  for process in found:
    assert [list(x) for x in process] == [[0.1] * part for part in parts]


def test_what_fails_on_one_process_fails_on_all(monkeypatch):
  def work(part):
    if part == 4:
      raise UserError('of one picture')
    return part

  def run():
    with pytest.raises(UserError, match='of one picture'):
      list(hosts.shared(work, range(6)))
    return True

  assert Threads(monkeypatch, 3).all(run) == [True] * 3


@pytest.mark.parametrize(
  ('flags', 'sentence'),
  [
    (('--process=0',), '--process needs --processes=N'),
    (('--processes=2', '--process=0'), '--processes=2 needs --coordinator'),
    (
      ('--processes=2', '--process=2', '--coordinator=localhost:1'),
      '--process=2 is not one of --processes=2',
    ),
  ],
)
def test_a_process_that_does_not_say_who_it_is_is_refused(flags, sentence):
  names = [flag.removeprefix('--').split('=') for flag in flags]
  values = {k: int(v) if v.isdigit() else v for k, v in names}
  with pytest.raises(UserError, match=sentence):
    hosts.connect(**values)


@pytest.mark.slow  # 10 s, of which 7 are imports
@pytest.mark.parametrize('process', [0, 1])
def test_a_process_that_finds_no_other_says_so(process):
  program = (
    'from gan_jax import hosts; hosts.FOUND_WITHIN = 3;'
    f" hosts.connect('localhost:{free_port()}', {process}, 2)"
  )
  done = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, timeout=120
  )
  assert done.returncode == STOPPED  # its machine may come later
  assert done.stderr.count('\n') == 1
  assert 'The processes did not find each other' in done.stderr


@pytest.mark.parametrize(
  ('values', 'several'),
  [
    ({}, False),
    (dict(SLURM_STEP_NUM_TASKS='1'), False),
    (dict(SLURM_STEP_NUM_TASKS='4'), True),
    (dict(OMPI_COMM_WORLD_SIZE='2'), True),
    (dict(TPU_WORKER_HOSTNAMES='a'), False),
    (dict(TPU_WORKER_HOSTNAMES='a,b'), True),
  ],
)
def test_launchers_are_known_by_what_they_set(values, several, monkeypatch):
  for name in ('SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_SIZE'):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.delenv('TPU_WORKER_HOSTNAMES', raising=False)
  for name, value in values.items():
    monkeypatch.setenv(name, value)
  asked = []
  monkeypatch.setattr(
    hosts.jax.distributed, 'initialize', lambda **given: asked.append(given)
  )
  hosts.connect()
  assert bool(asked) == several
