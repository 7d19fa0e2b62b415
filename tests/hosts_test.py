"""Several processes of one run, real ones: four devices each of two.

What they train is what one process with eight devices does, up to the order of
sums; whatever stops one of them stops both at the same step, and the same
command goes on to the same bits.
"""

import socket
import time

import numpy as np
import pytest

from gan_jax import hosts
from gan_jax.errors import UserError
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
)


def environment(devices):
  """Of a process with so many devices."""
  return dict(XLA_FLAGS=f'--xla_force_host_platform_device_count={devices}')


def free_port():
  """A port that nobody listens at."""
  with socket.socket() as server:
    server.bind(('localhost', 0))
    return server.getsockname()[1]


def two(folder, *args):
  """Starts two processes of a run."""
  common = [f'--coordinator=localhost:{free_port()}', '--processes=2']
  return [
    main_test.start(
      *args,
      f'--workdir={folder}',
      *common,
      f'--process={process}',
      **environment(4),
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


@pytest.mark.slow
def test_pairs_on_both_hosts_train_as_on_one(undisturbed, tmp_path):
  assert same_as_one_process(undisturbed, tmp_path, *SGAN)


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
