"""One process owns a folder: a lock that dies with its owner.

Folders of an object store have another, see lease.py.

A POSIX record lock (`fcntl.lockf`) on `<folder>/.lock`: the system lets go of
it when the process ends, however it ends, a child that outlives it does not
hold on to it, and NFS servers keep it for all their hosts. What the file says
(host, process, since when) is for people only. It is removed when it is let
go, so that a folder does not show who has looked in.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import pathlib
import socket
import time

from gan_jax import stores
from gan_jax.run.lease import NAME, Lease, named, now, taken

log = logging.getLogger('gan_jax')

# What systems say where a file cannot be locked, as opposed to: it is taken.
_CANNOT = {
  errno.ENOLCK,
  errno.ENOSYS,
  errno.ENOTSUP,
  errno.EOPNOTSUPP,
  errno.EINVAL,
}
# POSIX locks are a process's: it never refuses itself, and closing any
# descriptor of the file would let go of the lock. Hence this list.
_held: set[pathlib.Path] = set()


def lock_of(folder, what: str = '--workdir'):
  """The lock of a folder, wherever it lies; not taken yet."""
  return (Lease if stores.is_stored(folder) else Lock)(folder, what)


class Lock:
  """The lock of one folder, which must exist.

  Args:
    folder: what to own.
    what: the flag that names it, for the sentence.

  Attributes:
    LOST: what is said of a folder that is no longer ours, and what to do.
  """

  LOST = (
    'was moved or removed while the run was at work: put it back, or name where'
    ' it is now'
  )

  def __init__(self, folder, what: str = '--workdir'):
    self._folder, self._what = folder, what
    self._file = pathlib.Path(folder).resolve() / NAME
    self._descriptor: int | None = None

  def take(self) -> None:
    """Owns the folder, at once or not at all.

    Where the file system has no locks there is a warning and no lock.

    Raises:
      UserError: if another process owns it; the sentence says which.
      OSError: if the lock's file cannot be written.
    """
    if self._file in _held:
      raise taken(self._folder, self._what, 'this very process')
    while self._descriptor is None:
      descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o666)
      try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except OSError as error:
        os.close(descriptor)
        if error.errno not in _CANNOT:
          owner = _owner(self._file)
          raise taken(self._folder, self._what, owner) from None
        log.warning(
          '%s lies on a file system without locks (%s): make sure that no'
          ' other process works on it.',
          self._folder,
          error.strerror.lower(),
        )
        self._file.unlink(missing_ok=True)
        return
      if _is_still(self._file, descriptor):
        self._descriptor = descriptor
      else:  # its owner removed it between our opening and our locking
        os.close(descriptor)
    _held.add(self._file)
    words = dict(host=socket.gethostname(), pid=os.getpid(), since=now())
    with contextlib.suppress(OSError):  # no room: the lock holds without words
      os.ftruncate(self._descriptor, 0)
      os.pwrite(self._descriptor, json.dumps(words).encode(), 0)

  def is_ours(self) -> bool:
    """Whether the folder is still the one that was taken.

    Where the file system has no locks, whether there is one of its name.
    """
    if self._descriptor is None:
      return self._file.parent.is_dir()
    return _is_still(self._file, self._descriptor)

  def release(self) -> None:
    """Lets go of the folder, if it is ours."""
    if self._descriptor is None:
      return
    # Removed while it is held: whoever has it open notices, see `take`. Not
    # one of that name in a folder that has taken the place of ours.
    with contextlib.suppress(OSError):
      if self.is_ours():
        self._file.unlink()
    os.close(self._descriptor)
    _held.discard(self._file)
    self._descriptor = None


def _is_still(file: pathlib.Path, descriptor: int) -> bool:
  """Whether an open file is what lies under its name."""
  try:
    there = os.stat(file)
  except OSError:
    return False
  return os.path.samestat(there, os.fstat(descriptor))


def _owner(file: pathlib.Path) -> str:
  """Who holds the lock, in words."""
  for _ in range(20):  # it may have been taken a moment ago
    try:
      return named(json.loads(file.read_text(encoding='utf-8')))
    except (OSError, ValueError, KeyError, TypeError):
      time.sleep(0.02)
  return 'another process'
