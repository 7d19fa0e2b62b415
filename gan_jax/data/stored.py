"""Arrays in files: rows written by several threads, checked when opened."""

import contextlib
import errno
import fcntl
import logging
import os
import pathlib
import zlib
from collections.abc import Iterator

import numpy as np

from gan_jax.data.source import in_threads

log = logging.getLogger('gan_jax')

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[bool]:
  """While nobody else makes this folder; the lock dies with its owner.

  Yields:
    False where the file system has no locks: two may then write the same, each
    to a folder of its own.
  """
  alone = True
  with open(folder.with_name(folder.name + '.lock'), 'ab') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      log.info('Another process is writing %s: waiting for its end.', folder)
      fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        raise
      alone = False
    yield alone


@contextlib.contextmanager
def naming(path: pathlib.Path) -> Iterator[None]:
  """Says of which file an error is: of an open one the system does not."""
  try:
    yield
  except OSError as error:
    error.filename = str(path)
    raise


class RowsFile:
  """A .npy file whose rows are written by several threads."""

  def __init__(self, path: pathlib.Path, shape: tuple[int, ...], dtype):
    self.path, self.crc = path, {}
    header = {
      'shape': shape,
      'fortran_order': False,
      'descr': np.lib.format.dtype_to_descr(np.dtype(dtype)),
    }
    self._file = open(path, 'wb')
    with naming(path):
      np.lib.format.write_array_header_1_0(self._file, header)
      self._file.flush()
    self._begin = self._file.tell()

  def write(self, run: int, i: int, row: np.ndarray) -> None:
    """Writes row i; rows of a run come in order. OSError if there is no room.

    Not by a memory map: a full disk would end the process there.
    """
    data = memoryview(np.ascontiguousarray(row)).cast('B')
    self.crc[run] = zlib.crc32(data, self.crc.get(run, 0))
    at = self._begin + i * len(data)
    with naming(self.path):
      while data:
        done = os.pwrite(self._file.fileno(), data, at)
        data, at = data[done:], at + done

  def close(self) -> None:
    """Brings the file to the disk."""
    with self._file, naming(self.path):
      os.fsync(self._file.fileno())


def matches(rows, starts: list[int], known: list[int]) -> bool:
  """Whether runs of rows, from each of `starts` on, have these checksums."""
  found, ends = [None] * len(starts), [*starts[1:], len(rows)]

  def work(some):
    for k in some:
      found[k] = zlib.crc32(rows[starts[k] : ends[k]])

  in_threads(work, len(starts), 'checking stored pictures, run')
  return found == known
