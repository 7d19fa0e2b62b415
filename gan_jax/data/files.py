"""Where picture files lie: a folder or a zip archive, read by name.

Names are paths with '/' below the root, sorted by code point, so that file i is
the same on every machine whatever its locale. What systems leave in folders and
archives for themselves is left out.
"""

import bz2
import contextlib
import copy
import errno
import lzma
import os
import pathlib
import re
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator

from gan_jax import limits, paths
from gan_jax.data.plain import BadPictureError
from gan_jax.data.room import Room
from gan_jax.errors import UserError, did_you_mean

# Thumbnails, waste and notes of file servers and desktops, in small letters;
# besides, all that begins with a dot.
_OF_SYSTEMS = frozenset(
  (
    '$recycle.bin',
    '#recycle',
    '#snapshot',
    '@eadir',
    '@recently-snapshot',
    '@recycle',
    '@sharebin',
    '@tmp',
    '@__thumb',
    '__macosx',
    '__pycache__',
    '~snapshot',
    'desktop.ini',
    'ehthumbs.db',
    'ehthumbs_vista.db',
    'icon\r',
    'lost+found',
    'network trash folder',
    'recycled',
    'recycler',
    'system volume information',
    'temporary items',
    'thevolumesettingsfolder',
    'thumbs.db',
  )
)

_ROOM = Room(limits.READING_BYTES)


class Folder:
  """Files below a folder; links to folders are followed."""

  def __init__(self, root: pathlib.Path):
    self._root = root

  def names(self) -> list[str]:
    """All files below, sorted.

    Raises:
      UserError: a folder that may not be listed.
    """
    return self.listing()[0]

  def listing(self) -> tuple[list[str], list[str]]:
    """All files and all folders below, each sorted.

    Raises:
      UserError: a folder that may not be listed.
    """
    names, below, seen = [], [], set()
    for top, folders, files in os.walk(
      self._root, onerror=_refuse, followlinks=True
    ):
      here = pathlib.Path(top).relative_to(self._root)
      real = os.path.realpath(top)
      if real in seen:  # a link that leads back up
        folders.clear()
        continue
      seen.add(real)
      folders[:] = sorted(f for f in folders if _visible(f))
      below.append(here.as_posix())
      names.extend((here / f).as_posix() for f in files if _visible(f))
    return sorted(names), sorted(below[1:])

  @contextlib.contextmanager
  def reading(
    self, name: str, most: int = limits.PICTURE_FILE_BYTES
  ) -> Iterator[bytes]:
    """The bytes of a file, for as long as they are needed.

    Waits while other threads hold as much as limits.READING_BYTES allows.

    Args:
      name: one of `names`.
      most: a larger file is refused.

    Raises:
      BadPictureError: it cannot be read, is too large, or is no regular file:
        to read from a pipe could take for ever.
    """
    with contextlib.ExitStack() as held:
      try:
        with open(self._root / name, 'rb', opener=open_regular) as file:
          size = os.fstat(file.fileno()).st_size
          _check_size(size, most)
          held.enter_context(_ROOM.of(size))
          data = file.read(size)
      except OSError as e:
        raise BadPictureError(e.strerror or str(e)) from None
      yield data


class Zip:
  """Files in a zip archive, read without unpacking it.

  A process opens it once: ZipFile lets threads take turns at reading, and its
  directory of a large set would be gigabytes if each thread had its own.
  """

  def __init__(self, path: pathlib.Path):
    """Opens an archive.

    Raises:
      UserError: not a zip archive.
    """
    self._path = path
    self.__setstate__({})
    try:
      infos = self._handle().infolist()
    except Exception as e:  # zipfile raises many types on a bad directory
      raise UserError(
        f'{path} cannot be read as a zip archive'
        f' ({str(e) or type(e).__name__}); give a folder of pictures, or copy'
        ' or pack the archive again.'
      ) from None
    # Of two of one name the last, as tools that unpack leave it.
    self._members = {
      name: info for info in infos if (name := _member_name(info))
    }

  def __getstate__(self):
    return {'_path': self._path, '_members': self._members}

  def __setstate__(self, state):
    self.__dict__.update(state, _lock=threading.Lock(), _opened=(None, 0))

  def _handle(self):
    # A forked process finds its parent's handle here, hence the number: they
    # would share one position in the file.
    with self._lock:
      if self._opened[1] != os.getpid():
        self._opened = zipfile.ZipFile(self._path), os.getpid()
      return self._opened[0]

  def names(self) -> list[str]:
    """All files in it, sorted."""
    return self.listing()[0]

  def listing(self) -> tuple[list[str], list[str]]:
    """All files in it, and the folders it names; each sorted."""
    shown = [
      n for n in self._members if all(map(_visible, n.rstrip('/').split('/')))
    ]
    files = sorted(n for n in shown if not n.endswith('/'))
    return files, sorted(n.rstrip('/') for n in shown if n.endswith('/'))

  @contextlib.contextmanager
  def reading(
    self, name: str, most: int = limits.PICTURE_FILE_BYTES
  ) -> Iterator[bytes]:
    """The bytes of a file, as in Folder."""
    info = self._members[name]
    _check_size(info.file_size, most)
    _check_size(info.compress_size, most)
    with _ROOM.of(info.file_size + info.compress_size):
      try:
        data = _unpacked(self._handle(), info)
      except MemoryError:
        raise BadPictureError(
          'in the archive: needs more memory than there is'
        ) from None
      except Exception as e:  # zipfile and its packers raise many types
        reason = str(e) or type(e).__name__
        raise BadPictureError(f'in the archive: {reason}') from None
      yield data


def _member_name(info):
  """A member's name as a path below the root; of folders it ends in '/'.

  Some packers on Windows write backslashes, and some on macOS write UTF-8
  without saying so.
  """
  name = info.filename
  if not info.flag_bits & 0x800:
    with contextlib.suppress(UnicodeError):
      name = name.encode('cp437').decode('utf-8')
  name = re.sub(r'^[A-Za-z]:', '', name.replace('\\', '/'))
  parts = [part for part in name.split('/') if part not in ('', '.', '..')]
  return '/'.join(parts) + '/' * (bool(parts) and name.endswith('/'))


def _unpacked(archive, info):
  """A member's bytes, checked, in memory that its sizes bound.

  Not ZipFile.read: that unpacks all that a member holds, whatever length its
  header promised.
  """
  if info.flag_bits & 1:
    raise zipfile.BadZipFile('it is encrypted')
  raw = copy.copy(info)  # the member as it is packed
  raw.compress_type, raw.file_size = zipfile.ZIP_STORED, info.compress_size
  del raw.CRC
  with archive.open(raw) as file:
    packed = file.read(info.compress_size)
  if info.compress_type == zipfile.ZIP_STORED:
    data = packed
  else:
    data = _unpack(packed, info.compress_type, info.file_size + 1)
  if len(data) != info.file_size:
    raise zipfile.BadZipFile('it has not the length that it should have')
  if zlib.crc32(data) != info.CRC:
    raise zipfile.BadZipFile('Bad CRC-32')
  return data


def _unpack(packed, method, most):
  """At most `most` bytes of what is packed."""
  if method == zipfile.ZIP_DEFLATED:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most)
  if method == zipfile.ZIP_BZIP2:
    return bz2.BZ2Decompressor().decompress(packed, most)
  if method == zipfile.ZIP_LZMA:
    # After a version and a length come the properties of an .lzma file, which
    # go on with the size: here, unknown.
    (size,) = struct.unpack_from('<H', packed, 2)
    head = packed[4 : 4 + size] + b'\xff' * 8
    lzma_file = lzma.LZMADecompressor(
      lzma.FORMAT_ALONE, memlimit=limits.PICTURE_FILE_BYTES
    )
    return lzma_file.decompress(head + packed[4 + size :], most)
  raise NotImplementedError(
    f'packed by method {method}, which cannot be unpacked here; use deflate'
  )


def open_files(name: str, where: str) -> Folder | Zip:
  """The files at a path.

  Args:
    name: the config's source string, for messages.
    where: path of a folder or a zip archive.

  Raises:
    UserError: there is nothing of the kind.
  """
  path = paths.local(where, 'config.data.source=folder:PATH with PATH')
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
  try:
    siblings = os.listdir(folder)
  except OSError:
    siblings = []
  visible = filter(_visible, siblings)
  return did_you_mean(path.name, visible, lambda name: str(folder / name))


def printable(name: str) -> str:
  """A file's name for people; bytes that are not UTF-8 are escaped."""
  return name.encode('utf-8', 'backslashreplace').decode()


def open_regular(path: str, flags: int) -> int:
  """An `opener` for `open`: of a pipe, a socket or a device an OSError.

  To open or to read one could take for ever.
  """
  # Looked at before, for a device may act on being opened; and not waited for
  # should it have changed since.
  if stat.S_ISREG(os.stat(path).st_mode):
    handle = os.open(path, flags | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(handle).st_mode):
      return handle
    os.close(handle)
  raise OSError(errno.EINVAL, 'no regular file, but a pipe, socket or device')


def _check_size(size, most):
  if size > most:
    raise BadPictureError(
      f'{size / limits.MIB:,.0f} MiB are more than the'
      f' {most // limits.MIB:,} that one file may have'
    )


def _visible(name):
  return not name.startswith('.') and name.lower() not in _OF_SYSTEMS


def _refuse(error):
  raise UserError(
    f'the folder {error.filename} cannot be listed ({error.strerror}); check'
    ' its permissions or move it away.'
  )
