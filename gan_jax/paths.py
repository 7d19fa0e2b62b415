"""Where a path that a person wrote leads, and where caches lie.

Paths are pathlib's for what lies in the file system, and etils.epath's, with
the same methods, for what lies in an object store; where one act is done in
two ways, the functions here and in run/write.py do it in the right one.
"""

import contextlib
import functools
import os
import pathlib
import re
import stat
import tempfile
from collections.abc import Iterator

from gan_jax import stores
from gan_jax.errors import UserError


def place(text, what: str):
  """The path that a flag or a setting names, of a folder or of gs://...

  Args:
    text: see `local`.
    what: the same.

  Raises:
    UserError: see `local` and `stores.opened`.
  """
  text = os.fspath(text)
  if stores.is_stored(text):
    return stores.opened(text, what)
  return local(text, what)


def local(text, what: str) -> pathlib.Path:
  """The path in the file system that a flag or a setting names.

  The one place where a person's text becomes a path: `~` and `~name` are home
  folders here, whether or not a shell has seen the text.

  Args:
    text: as the person wrote it, or a path.
    what: the flag or setting that it is the value of, for the sentence, such
      as '--workdir'.

  Raises:
    UserError: if it is empty, names a home folder that is not there, an
      address (gs://...), holds a NUL, or is longer than file systems take.
  """
  text = os.fspath(text)
  if not text or '\0' in text:
    raise UserError(f'{what}={text!r} is no path: name a file or a folder.')
  scheme = re.match(r'([A-Za-z][A-Za-z0-9+.-]*)://', text)
  if scheme:
    raise UserError(
      f'{what}={text} is an address, and {scheme[1]}:// is not read or written'
      ' from here: mount or copy it, and give the path of the folder.'
    )
  try:
    path = pathlib.Path(text).expanduser()
  except RuntimeError:
    raise UserError(
      f'{what}={text}: there is no home folder of that name; write the path'
      ' in full.'
    ) from None
  try:
    path.stat()
  except (FileNotFoundError, NotADirectoryError, PermissionError):
    pass  # whoever opens it says so
  except OSError as error:  # a name of more than 255 bytes, a loop of links
    raise UserError(
      f'{what}={text[:80]}... is no path here ({(error.strerror or "").lower()}'
      '): choose another.'
    ) from None
  return path


def absolute(path):
  """A path that does not lean on the working folder."""
  return path if stores.is_stored(path) else pathlib.Path(path).absolute()


def resolved(path):
  """A path without links and dots."""
  return path if stores.is_stored(path) else pathlib.Path(path).resolve()


def written(path) -> float:
  """When a file was written, in seconds since 1970."""
  if stores.is_stored(path):
    return stores.written(path)
  return path.stat().st_mtime


@contextlib.contextmanager
def fetched(path) -> Iterator[pathlib.Path]:
  """A file of the file system with what lies at a path, for a while."""
  if not stores.is_stored(path):
    yield path
    return
  with tempfile.TemporaryDirectory() as folder:
    here = pathlib.Path(folder) / path.name
    try:
      stores.get_file(path, here)
    except FileNotFoundError:
      raise UserError(f'{path} is not there: name another.') from None
    yield here


def regular(path: pathlib.Path, what: str, advice: str) -> None:
  """Refuses a path at which no ordinary file lies.

  A folder cannot be read, and a pipe or a device may never end.

  Args:
    path: where a file should be.
    what: the flag or setting that names it, with its value.
    advice: what to do instead, the end of the sentence without its full stop.

  Raises:
    UserError: if nothing is there, or anything but a file.
  """
  name = '' if str(path) in what else f'{path} '
  try:
    mode = path.stat().st_mode
  except FileNotFoundError:
    raise UserError(
      f'{what}: there is no such file{name and f" as {path}"}; {advice}.'
    ) from None
  except OSError as error:
    reason = (error.strerror or str(error)).lower()
    raise UserError(f'{what}: {name}cannot be read ({reason}).') from None
  if stat.S_ISDIR(mode):
    raise UserError(f'{what}: {name}is a folder, not a file; {advice}.')
  if not stat.S_ISREG(mode):
    raise UserError(
      f'{what}: {name}is a pipe or a device, not a file; save what comes out of'
      f' it, or {advice}.'
    )


def cache(kind: str) -> pathlib.Path:
  """The folder of things that may be lost: it need not exist.

  Args:
    kind: 'xla', 'weights', 'statistics', ...

  Returns:
    What the environment names by GAN_JAX_<KIND>; else gan_jax/<kind> in
    XDG_CACHE_HOME or ~/.cache; and where neither can be written to, as in a
    container that runs under a bare number, in a folder of this user's among
    the temporary ones.
  """
  named = os.environ.get(f'GAN_JAX_{kind.upper()}')
  if named:
    return local(named, f'GAN_JAX_{kind.upper()}')
  return _caches() / kind


@functools.cache
def _caches() -> pathlib.Path:
  """The folder of all caches."""
  home = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
  try:
    folder = pathlib.Path(home).expanduser() / 'gan_jax'
  except RuntimeError:  # nobody knows of a home
    folder = None
  if folder and _can_be_written(folder):
    return folder
  folder = pathlib.Path(tempfile.gettempdir()) / f'gan_jax-{os.getuid()}'
  try:
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
  except OSError:
    found = None
  # Compiled programs are run as they are: never those of somebody else.
  own = found and found.st_uid == os.getuid() and stat.S_ISDIR(found.st_mode)
  return folder if own else pathlib.Path(tempfile.mkdtemp(prefix='gan_jax-'))


def _can_be_written(folder: pathlib.Path) -> bool:
  """Whether a folder is there, or could be made, for this user."""
  try:
    while not folder.exists():
      folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
  except OSError:
    return False
