"""Where picture files lie: a folder or a zip archive, read by name.

Names are paths with '/' below the root, sorted by code point, so that file i is
the same on every machine whatever its locale. Hidden files and what macOS adds
to archives are left out.
"""

import os
import pathlib
import threading
import zipfile
import zlib

from gan_jax import paths
from gan_jax.data.picture import BadPictureError
from gan_jax.errors import UserError, did_you_mean


class Folder:
  """Files below a folder; links to folders are followed."""

  def __init__(self, root: pathlib.Path):
    self._root = root

  def names(self) -> list[str]:
    """All files below, sorted.

    Raises:
      UserError: a folder that may not be listed.
    """
    names, seen = [], set()
    for top, folders, files in os.walk(
      self._root, onerror=_refuse, followlinks=True
    ):
      real = os.path.realpath(top)
      if real in seen:  # a link that leads back up
        folders.clear()
        continue
      seen.add(real)
      folders[:] = sorted(f for f in folders if _visible(f))
      below = pathlib.Path(top).relative_to(self._root)
      names.extend((below / f).as_posix() for f in files if _visible(f))
    return sorted(names)

  def read(self, name: str) -> bytes:
    """The bytes of a file.

    Raises:
      BadPictureError: it cannot be read.
    """
    try:
      return (self._root / name).read_bytes()
    except OSError as e:
      raise BadPictureError(e.strerror or str(e)) from None


class Zip:
  """Files in a zip archive, read without unpacking it.

  A handle is opened for each thread of each process when it first reads:
  neither may share another's position in the file.
  """

  def __init__(self, path: pathlib.Path):
    """Opens an archive.

    Raises:
      UserError: not a zip archive.
    """
    self._path = path
    self._local = threading.local()
    try:
      self._handle()
    except (zipfile.BadZipFile, OSError, EOFError) as e:
      raise UserError(
        f'{path} cannot be read as a zip archive ({e}); give a folder of'
        ' pictures, or copy or pack the archive again.'
      ) from None

  def __getstate__(self):
    return {'_path': self._path}

  def __setstate__(self, state):
    self.__dict__.update(state, _local=threading.local())

  def _handle(self):
    # A forked process finds its parent's handle here, hence the number.
    if getattr(self._local, 'pid', None) != os.getpid():
      self._local.zip = zipfile.ZipFile(self._path)
      self._local.pid = os.getpid()
    return self._local.zip

  def names(self) -> list[str]:
    """All files in it, sorted."""
    names = {i.filename for i in self._handle().infolist() if not i.is_dir()}
    return sorted(n for n in names if all(map(_visible, n.split('/'))))

  def read(self, name: str) -> bytes:
    """The bytes of a file.

    Raises:
      BadPictureError: it cannot be read.
    """
    try:
      return self._handle().read(name)
    # RuntimeError is what zipfile raises for encrypted members.
    except (
      OSError,
      EOFError,
      RuntimeError,
      zlib.error,
      KeyError,
      zipfile.BadZipFile,
    ) as e:
      raise BadPictureError(f'in the archive: {e}') from None


def open_files(name: str, where: str) -> Folder | Zip:
  """The files at a path.

  Args:
    name: the config's source string, for messages.
    where: path of a folder or a zip archive.

  Raises:
    UserError: there is nothing of the kind.
  """
  path = paths.local(where, 'config.data.source')
  if path.is_dir():
    return Folder(path)
  if path.is_file():
    return Zip(path)
  raise UserError(
    f"config.data.source is '{name}', but there is no folder or zip archive"
    f' {path}: give folder:PATH with the path of one{near(path)}'
  )


def near(path: pathlib.Path) -> str:
  """The end of a sentence on a path that is not there; see did_you_mean."""
  folder = path.parent
  siblings = [p.name for p in folder.iterdir()] if folder.is_dir() else []
  visible = filter(_visible, siblings)
  return did_you_mean(path.name, visible, lambda name: str(folder / name))


def printable(name: str) -> str:
  """A file's name for people; bytes that are not UTF-8 are escaped."""
  return name.encode('utf-8', 'backslashreplace').decode()


def _visible(name):
  return not name.startswith('.') and name != '__MACOSX'


def _refuse(error):
  raise UserError(
    f'the folder {error.filename} cannot be listed ({error.strerror}); check'
    ' its permissions or move it away.'
  )
