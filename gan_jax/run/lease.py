"""One process owns a folder of an object store: a lock that must be kept up.

A store has no locks that die with their owner. What it has is a put on the
condition that there is no object of the name: of all that ask for
<folder>/.lock one gets it. It says who that is (host, process, since when), and
is put anew every `BEAT` seconds for as long as its owner lives.

An owner that ended without letting go is told by its process, if that was on
this machine; of any other by nobody having touched the object for `STALE`
seconds, for which a start then waits. Nobody's clock is asked but one's own.

What it cannot do: to take over is to remove the old object and to put a new
one, and between the two somebody else may do the same. So whoever has taken
over looks once more, `SETTLE` seconds later; and an owner that finds another's
object in the place of its own ends (`is_ours`, within `SEEN` seconds). An owner
that was held up for longer than `STALE` seconds may have lost its folder and
write for a moment more.
"""

import contextlib
import json
import logging
import os
import pathlib
import socket
import threading
import time
import uuid

from gan_jax import stores
from gan_jax.errors import UserError

log = logging.getLogger('gan_jax')

NAME = '.lock'
BEAT = 15.0  # seconds from one sign of life to the next
STALE = 4 * BEAT  # without any: the owner is gone
SETTLE = 2.0  # from taking over to being sure of it
SEEN = 5.0  # for so long what was seen of the object is taken for true


class Lease:
  """The lock of one folder; see `run.lock.Lock` for what it does.

  Args:
    folder: what to own.
    what: the flag that names it, for the sentence.

  Attributes:
    LOST: what is said of a folder that is no longer ours, and what to do.
  """

  LOST = (
    'was removed, or taken over by another process, while the run was at work:'
    ' let one of them alone work on it'
  )

  def __init__(self, folder, what: str = '--workdir'):
    self._folder, self._what = folder, what
    self._file = folder / NAME
    self._mine: dict | None = None
    self._seen = 0.0  # when the object was last seen to be ours
    self._busy = threading.Lock()  # one act on the object at a time
    self._end = threading.Event()

  def take(self) -> None:
    """Owns the folder, or not; at once, or after `STALE` seconds.

    Raises:
      UserError: if another process owns it, or the store cannot be written to.
    """
    mine = _this() | {
      'since': now(),
      'key': uuid.uuid4().hex,
      'beats': 0,
    }
    with stores.reaching(self._folder, self._what):
      taken_over = False
      while not stores.create(self._file, _bytes(mine)):
        taken_over = self._remove_left() or taken_over
      if taken_over:
        time.sleep(SETTLE)
        there = self._read()
        if not there or there['key'] != mine['key']:
          raise self._taken(there)
    self._mine, self._seen = mine, time.monotonic()
    self._end.clear()
    threading.Thread(target=self._live, name='lease', daemon=True).start()

  def _remove_left(self) -> bool:
    """Removes an object whose owner is gone; whether there was one.

    Raises:
      UserError: if its owner lives.
    """
    there = self._read()
    if there is None:
      return False  # it was let go a moment ago
    gone = _is_gone(there)
    if gone is False or (gone is None and not self._is_silent(there)):
      raise self._taken(there)
    if self._read() == there:
      log.info('%s was left by %s, which is gone.', self._folder, _who(there))
      stores.remove(self._file)
    return True

  def _is_silent(self, there: dict) -> bool:
    """Whether an object stays as it is for `STALE` seconds."""
    log.info(
      '%s says that %s works on it: waiting for a sign of life, %.0f s.',
      self._file,
      _who(there),
      STALE,
    )
    until = time.monotonic() + STALE
    while time.monotonic() < until:
      time.sleep(min(2.0, STALE / 10))
      if (now := self._read()) != there:
        return now is None
    return True

  def _read(self) -> dict | None:
    """What the object says, or None if there is none."""
    try:
      words = json.loads(stores.read(self._file))
    except FileNotFoundError:
      return None
    except ValueError:
      words = None
    # One that nobody can read is somebody's all the same.
    return words if isinstance(words, dict) and 'key' in words else {'key': ''}

  def _live(self) -> None:
    """Gives signs of life until the folder is let go, or lost."""
    while not self._end.wait(BEAT):
      # The next one may get through; if none does, others take the folder.
      with contextlib.suppress(Exception), self._busy:
        if self._end.is_set() or not self._look():
          return
        self._mine['beats'] += 1
        stores.put(self._file, _bytes(self._mine))

  def _look(self) -> bool:
    """Asks the store whether the object is ours."""
    there = self._read()
    ours = bool(there) and there['key'] == self._mine['key']
    self._seen = time.monotonic() if ours else 0.0
    return ours

  def is_ours(self) -> bool:
    """Whether the folder is still ours, as of `SEEN` seconds ago at most."""
    if time.monotonic() - self._seen < SEEN:
      return True
    with self._busy:
      return self._look()

  def release(self) -> None:
    """Lets go of the folder, if it is ours."""
    if self._mine is None:
      return
    self._end.set()
    with contextlib.suppress(Exception), self._busy:
      if self._look():
        stores.remove(self._file)
    self._mine = None

  def _taken(self, there: dict | None) -> UserError:
    return taken(self._folder, self._what, _who(there))


def taken(folder, what: str, owner: str) -> UserError:
  """What is said of a folder that another owns."""
  return UserError(
    f'{what}={folder} is in use by {owner}: wait for its end, stop it, or'
    f' choose another {what}.'
  )


def named(words: dict) -> str:
  """A process, by what the lock that it holds says of it."""
  return f'process {words["pid"]} on {words["host"]} since {words["since"]}'


def now() -> str:
  """This moment, as locks have it."""
  return time.strftime('%Y-%m-%d %H:%M:%S')


def _bytes(words: dict) -> bytes:
  return json.dumps(words).encode()


def _this() -> dict:
  """Who this process is: on its machine, its number and when it began."""
  pid = os.getpid()
  return {
    'host': socket.gethostname(),
    'pid': pid,
    'machine': _machine(),
    'began': _began(pid),
  }


def _machine() -> str:
  """This machine since it was started, and its table of processes; '' if none.

  A container has a table of its own, and its number 1 is not another's.
  """
  try:
    boot = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    return f'{boot} {os.readlink("/proc/self/ns/pid")}'
  except OSError:
    return ''


def _began(pid: int) -> str:
  """When a process began, in the system's ticks; '' if it is not at work."""
  try:
    line = pathlib.Path(f'/proc/{pid}/stat').read_text()
  except OSError:
    return ''
  # The name stands in brackets and may hold anything.
  state, *fields = line.rpartition(')')[2].split()
  return '' if state in 'ZX' else fields[18]


def _is_gone(there: dict) -> bool | None:
  """Whether an owner has ended; None if that cannot be told from here."""
  here = _machine()
  if not here or there.get('machine') != here:
    return None
  return _began(there['pid']) != there.get('began')


def _who(there: dict | None) -> str:
  """An owner in words."""
  if not there or 'pid' not in there:
    return 'another process'
  if _machine() and there.get('machine') == _machine():
    if there['pid'] == os.getpid():
      return 'this very process'
  return named(there)
