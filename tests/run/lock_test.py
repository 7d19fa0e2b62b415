"""A folder has one owner: real processes, which meet, end and are killed."""

import errno
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from gan_jax.errors import UserError
from gan_jax.run import lock
from gan_jax.run.lock import Lock

ROOT = pathlib.Path(__file__).parent.parent.parent
OWNER = """
import sys, time
from gan_jax import paths
from gan_jax.errors import UserError
from gan_jax.run.lock import lock_of
try:
  lock_of(paths.place(sys.argv[1], '--workdir')).take()
except UserError as error:
  sys.exit(str(error))
print('mine', flush=True)
time.sleep(float(sys.argv[2]))
"""


def start(folder, seconds):
  """A process that takes the lock of any folder and keeps it for a while."""
  return subprocess.Popen(
    [sys.executable, '-c', OWNER, str(folder), str(seconds)],
    cwd=ROOT,
    text=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )


@pytest.fixture
def owner(tmp_path):
  process = start(tmp_path, 60)
  assert process.stdout.readline() == 'mine\n'
  yield process
  process.kill()
  process.communicate()


def test_the_second_is_told_who_holds_it(owner, tmp_path):
  with pytest.raises(UserError) as error:
    Lock(tmp_path).take()
  assert f'in use by process {owner.pid} on {os.uname().nodename}' in str(
    error.value
  )
  other = start(tmp_path, 0)
  _, said = other.communicate(timeout=60)
  assert other.returncode == 1 and f'process {owner.pid}' in said
  assert owner.poll() is None  # and it still holds it
  with pytest.raises(UserError):
    Lock(tmp_path).take()


def test_it_dies_with_its_owner_at_once(owner, tmp_path):
  owner.send_signal(signal.SIGKILL)
  owner.wait()
  taken = Lock(tmp_path)
  taken.take()  # no waiting
  assert json.loads((tmp_path / '.lock').read_text())['pid'] == os.getpid()
  taken.release()


def test_a_child_that_outlives_the_owner_does_not_hold_it(tmp_path):
  """As the workers that read the data might."""
  script = OWNER.replace(
    "print('mine'",
    'import os\nif os.fork() == 0:\n'
    '  os.close(1), os.close(2), time.sleep(60), os._exit(0)\n'
    "print('mine'",
  )
  parent = subprocess.Popen(
    [sys.executable, '-c', script, str(tmp_path), '60'],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    start_new_session=True,
  )
  assert parent.stdout.readline() == b'mine\n'
  parent.kill()
  parent.wait()
  try:
    taken = Lock(tmp_path)
    taken.take()
    taken.release()
  finally:
    os.killpg(parent.pid, signal.SIGKILL)


def test_one_of_many_gets_it(tmp_path):
  """They start at once and let go at once; each has it or is refused."""
  processes = [start(tmp_path, 2) for _ in range(4)]
  ends = [process.communicate(timeout=60) for process in processes]
  assert sum(out == 'mine\n' for out, _ in ends) == 1
  assert all(out or 'is in use by' in error for out, error in ends)


def test_a_process_refuses_itself_and_leaves_nothing(tmp_path):
  first = Lock(tmp_path)
  first.take()
  with pytest.raises(UserError, match='in use by this very process'):
    Lock(tmp_path / '.').take()
  Lock(tmp_path).release()  # not its own: nothing happens
  assert start(tmp_path, 0).wait(60) == 1  # the attempts let nothing go
  first.release()
  assert not list(tmp_path.iterdir())
  first.take()
  first.release()


def test_a_lock_that_its_owner_has_just_removed_is_taken_anew(
  tmp_path, monkeypatch
):
  """Opened before the owner let go, locked after: that file is nobody's."""
  lockf, calls = fcntl.lockf, []

  def let_go_in_between(descriptor, how):
    if not calls:
      (tmp_path / '.lock').unlink()
    calls.append(how)
    lockf(descriptor, how)

  monkeypatch.setattr(lock.fcntl, 'lockf', let_go_in_between)
  taken = Lock(tmp_path)
  taken.take()
  assert len(calls) == 2 and start(tmp_path, 0).wait(60) == 1
  taken.release()


def test_a_file_system_without_locks_is_a_warning(
  tmp_path, monkeypatch, caplog
):
  def none(descriptor, how):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

  monkeypatch.setattr(lock.fcntl, 'lockf', none)
  taken = Lock(tmp_path)
  taken.take()
  assert 'file system without locks' in caplog.text
  taken.release()
  assert not list(tmp_path.iterdir())


def test_whoever_just_took_it_has_a_moment_to_say_who_it_is(
  tmp_path, monkeypatch
):
  file = tmp_path / '.lock'
  file.write_text('')
  moments = []

  def a_moment(seconds):
    moments.append(seconds)
    words = {'pid': 7, 'host': 'h', 'since': 'now'}
    file.write_text(json.dumps(words) if len(moments) == 3 else '{')

  monkeypatch.setattr(time, 'sleep', a_moment)
  assert lock._owner(file) == 'process 7 on h since now'
  file.write_text('[]')
  assert lock._owner(file) == 'another process'
