"""Object stores, gs://BUCKET/...: how each act of a file system is done there.

A store keeps objects by name: each is put whole, and read whole or in part. It
has no folders but the beginnings of names, renames nothing, appends to nothing
and locks nothing. So

- a file is written on the local disk and put when it is done, in one request:
  whoever reads finds the old one or the new one (`run.write.whole`);
- lines are added by reading the object and putting it anew with them, at most
  every `EVERY` seconds for each object, before this process reads it, before a
  checkpoint and at the end (`append`, `flush`). A killed process has lost what
  a run that goes on from its newest checkpoint takes again, and less than
  `EVERY` seconds of its log. Of two processes that add to one object in the
  same moment one may lose its lines: only evaluate.jsonl has two writers;
- a folder needs no making and goes with its last object; it is removed, or
  copied and removed, object by object;
- what must be made by one alone is put on the condition that it is not there
  (`create`), which the store decides: the lock is made of that, see
  `run.lease`.

Paths are etils.epath's, by which Orbax works, too, and the client is gcsfs. It
finds the platform's own credentials (the machine's account, or those of
`gcloud auth application-default login`): none are asked for or kept here.
"""

import contextlib
import functools
import importlib.util
import logging
import os
import pathlib
import posixpath
import re
import threading
import time
from collections.abc import Iterator

from gan_jax.errors import UserError, store_error

# Or epath, and Orbax by it, takes TensorFlow for a store where that is there:
# seconds to import, credentials of its own, and no put on a condition. It asks
# once, at its first path of any kind.
os.environ.setdefault('EPATH_USE_TF', '0')

EVERY = 30.0  # seconds between two puts of an object that grows
_SCHEME = 'gs://'
_PACKAGE = 'gcsfs'


def is_stored(path) -> bool:
  """Whether a path, or its text, is of an object store."""
  return os.fspath(path).startswith(_SCHEME)


def opened(text: str, what: str):
  """The path that an address names, with the methods of pathlib's.

  Args:
    text: as a person wrote it, such as 'gs://bucket/runs/x'.
    what: the flag or setting that it is the value of, for the sentence.

  Raises:
    UserError: if no bucket and folder are named, or the client is not there.
  """
  bucket, _, key = text.removeprefix(_SCHEME).partition('/')
  # Orbax does so, and names are not normalised elsewhere.
  key = posixpath.normpath(key.strip('/'))
  named = re.fullmatch(r'[\w.-]+', bucket, re.ASCII)
  if not named or key == '.' or key.startswith('..'):
    raise UserError(
      f'{what}={text} names no folder of a bucket: write it as'
      f' {_SCHEME}BUCKET/FOLDER.'
    )
  if set(text) & set('*?[]#'):
    raise UserError(
      f'{what}={text} has one of * ? [ ] # in it, which the clients of object'
      ' stores take for more than a letter: choose another name.'
    )
  if importlib.util.find_spec(_PACKAGE) is None:
    raise UserError(
      f'{what}={text} is in an object store, for which the package {_PACKAGE}'
      f" is missing: pip install {_PACKAGE}, or gan_jax with its extra 'gcs'."
    )
  # Pages of its inside where the network is gone: what counts is raised.
  logging.getLogger('gcsfs').setLevel(logging.CRITICAL)
  import fsspec
  from etils import epath

  # What other processes do is to be seen: nothing is remembered of a listing.
  fsspec.config.conf.setdefault('gcs', {})['use_listings_cache'] = False
  return epath.Path(f'{_SCHEME}{bucket}/{key}')


@functools.cache
def _client():
  """The client of the store, of fsspec's kind: the one that epath uses."""
  import fsspec

  return fsspec.filesystem('gcs', finalize_on_close=True)


@contextlib.contextmanager
def reaching(path, what: str) -> Iterator[None]:
  """Words whatever keeps from a store, at the first act on it.

  Args:
    path: that is asked for.
    what: the flag or setting that names it.

  Raises:
    UserError: if the store refuses or cannot be reached.
  """
  try:
    yield
  except UserError:
    raise
  except Exception as error:  # each package of the client has kinds of its own
    said = store_error(error)
    if said is None:
      raise
    raise UserError(
      f'{what}={path} cannot be reached ({said}): look whether the bucket is'
      " there, and whether this machine's account, or yours after `gcloud auth"
      ' application-default login`, may read and write in it.'
    ) from error


def read(path, begin: int | None = None, end: int | None = None) -> bytes:
  """An object's bytes, or those from one place up to another."""
  return _client().cat_file(os.fspath(path), begin, end)


def create(path, data: bytes) -> bool:
  """Puts an object if there is none of its name; whether it did."""
  try:
    _client().pipe_file(os.fspath(path), data, mode='create')
  except FileExistsError:
    return False
  return True


def put(path, data: bytes) -> None:
  """Puts an object, whole."""
  _client().pipe_file(os.fspath(path), data)


def put_file(file: pathlib.Path, path) -> None:
  """Puts what a local file holds, whole."""
  _client().put_file(os.fspath(file), os.fspath(path))


def get_file(path, file: pathlib.Path) -> None:
  """Writes an object to a local file."""
  _client().get_file(os.fspath(path), os.fspath(file))


def sizes(folder) -> dict[str, int]:
  """The objects below a folder: their names from there on, and bytes."""
  found = _client().find(os.fspath(folder), detail=True)
  begin = len(os.fspath(folder).removeprefix(_SCHEME)) + 1
  names = {name[begin:]: facts['size'] for name, facts in found.items()}
  # Consoles mark a folder that they have made by an object whose name ends so.
  return {k: n for k, n in names.items() if k and not k.endswith('/')}


def written(path) -> float:
  """When an object was put, in seconds since 1970."""
  return _client().modified(os.fspath(path)).timestamp()


def remove(path) -> None:
  """Removes an object; that it is gone already is no error."""
  with contextlib.suppress(FileNotFoundError):
    _client().rm_file(os.fspath(path))


def remove_tree(folder) -> None:
  """Removes a folder's objects; none of them there is no error."""
  for name in sizes(folder):
    remove(f'{folder}/{name}')


def move_tree(folder, to) -> None:
  """Copies a folder's objects, and removes them when all are copied."""
  for name in sizes(folder):
    _client().cp_file(f'{folder}/{name}', f'{to}/{name}')
  remove_tree(folder)


class _Growing:
  """An object that lines are added to."""

  def __init__(self, path: str):
    self._path, self._lines, self._last = path, [], -EVERY
    self._lock = threading.Lock()  # the log is of all threads

  def add(self, line: str) -> None:
    with self._lock:
      self._lines.append(line)
      if time.monotonic() - self._last >= EVERY:
        self._put()

  def flush(self) -> None:
    with self._lock:
      if self._lines:
        self._put()

  def _put(self) -> None:
    try:
      before = read(self._path)
    except FileNotFoundError:
      before = b''
    torn = before and not before.endswith(b'\n')
    text = ''.join(f'{line}\n' for line in self._lines)
    added = text.encode('utf-8', 'backslashreplace')
    put(self._path, before + b'\n' * bool(torn) + added)
    self._lines.clear()
    self._last = time.monotonic()


_growing: dict[str, _Growing] = {}


def append(path, line: str) -> None:
  """Adds a line to an object, which need not exist; see the module."""
  path = os.fspath(path)
  _growing.setdefault(path, _Growing(path)).add(line)


def flush(folder) -> None:
  """Puts the lines that were added to objects below a folder."""
  below = f'{os.fspath(folder)}/'
  for path, growing in list(_growing.items()):
    if path.startswith(below):
      growing.flush()
