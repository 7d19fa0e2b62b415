"""Writing to a run's folder, wherever it lies: whole or not at all.

What is different in an object store is in gan_jax/stores.py.
"""

import contextlib
import json
import logging
import math
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator

from gan_jax import stores


@contextlib.contextmanager
def whole(path) -> Iterator[pathlib.Path]:
  """A scratch file that takes a file's place when the block has ended.

  Whoever reads `path` meanwhile, or after a kill, finds the old file or the new
  one. If the block fails nothing stays of it, and the old file is untouched.

  Args:
    path: of the file to write; its folder exists.

  Yields:
    The path to write to, of the file system and with the same ending; beside
    the file, hidden, and one for each process.
  """
  if stores.is_stored(path):
    with tempfile.TemporaryDirectory() as folder:
      scratch = pathlib.Path(folder) / path.name
      yield scratch
      stores.put_file(scratch, path)
    return
  path = pathlib.Path(path)
  scratch = path.with_name(f'.{path.stem}.{os.getpid()}{path.suffix}')
  try:
    yield scratch
    scratch.replace(path)
  except BaseException as error:
    if isinstance(error, OSError) and str(error.filename) in (
      'None',
      str(scratch),
    ):
      error.filename = str(path)  # the one that people know
      error.filename2 = None
    with contextlib.suppress(OSError):  # the folder may be gone
      scratch.unlink()
    raise


# What `whole` calls its scratch files.
_SCRATCH = re.compile(r'\.(.+)\.\d+(\.\w+)')


def lacking(folder) -> list:
  """The folders that are missing for a folder, itself first."""
  if stores.is_stored(folder):
    return []  # none is made there
  return [one for one in (folder, *folder.parents) if not one.exists()]


def make_folder(folder) -> None:
  """Makes a folder, and those that it lies in, where they are missing."""
  if not stores.is_stored(folder):
    folder.mkdir(parents=True, exist_ok=True)


def remove_tree(folder) -> None:
  """Removes a folder and all that is in it."""
  if stores.is_stored(folder):
    stores.remove_tree(folder)
  else:
    shutil.rmtree(folder)


def move_tree(folder, to) -> None:
  """Moves a folder, in the place of another of the name if there is one."""
  if stores.is_stored(folder):
    stores.remove_tree(to)
    stores.move_tree(folder, to)
    return
  shutil.rmtree(to, ignore_errors=True)
  to.parent.mkdir(exist_ok=True)
  folder.rename(to)


def clear(folder, but: str = '') -> None:
  """Removes what killed processes left of files that they were writing.

  Args:
    folder: it need not exist; nobody else may be writing to it now.
    but: the stem of a file that somebody else may be writing even so.
  """
  if stores.is_stored(folder) or not folder.is_dir():
    return
  for file in folder.iterdir():
    scratch = _SCRATCH.fullmatch(file.name)
    if scratch and scratch[1] != but and file.is_file():
      with contextlib.suppress(OSError):
        file.unlink()


def flush(folder) -> None:
  """Brings the lines that were added to a folder's files to where they go."""
  if stores.is_stored(folder):
    stores.flush(folder)


def strict(values, indent: int | None = None) -> str:
  """Values as JSON that every reader takes.

  JSON has no NaN and no infinity: a number that is neither is null.

  Args:
    values: nested dictionaries, lists and tuples.
    indent: of nested lines; None for one line.
  """
  return json.dumps(_finite(values), indent=indent, allow_nan=False)


def _finite(value):
  if isinstance(value, float) and not math.isfinite(value):
    return None
  if isinstance(value, dict):
    return {key: _finite(entry) for key, entry in value.items()}
  if isinstance(value, list | tuple):
    return [_finite(entry) for entry in value]
  return value


def append(file, line: str) -> None:
  """Adds a line at the end of a file, in one write: two processes may at once.

  Where a killed one left half a line, the new one begins on a line of its own.
  In an object store it is there after `flush`, or soon: see gan_jax/stores.py.

  Args:
    file: it need not exist; its folder does.
    line: without its end; what is not text in it is escaped.

  Raises:
    OSError: if there is no room for it; nothing of it stays.
  """
  if stores.is_stored(file):
    stores.append(file, line)
    return
  descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
  try:
    size = os.fstat(descriptor).st_size
    torn = size and os.pread(descriptor, 1, size - 1) != b'\n'
    text = '\n' * bool(torn) + line + '\n'
    content = text.encode('utf-8', 'backslashreplace')
    written = os.write(descriptor, content)
    try:
      while written < len(content):  # to hear what the system has against it
        written += os.write(descriptor, content[written:])
    except OSError:
      if os.fstat(descriptor).st_size == size + written:
        os.ftruncate(descriptor, size)
      raise
  except OSError as error:
    error.filename = str(file)
    raise
  finally:
    os.close(descriptor)


class LogFile(logging.Handler):
  """A log; what cannot be written ends the run, as for any other file."""

  def __init__(self, file):
    super().__init__()
    self._file = file
    self.setFormatter(logging.Formatter('%(asctime)s %(message)s'))

  def emit(self, record):
    """See logging."""
    append(self._file, self.format(record))

  def flush(self):
    """See logging; also called where the program is ended from outside."""
    flush(self._file.parent)
