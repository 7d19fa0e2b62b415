"""Where picture files lie: a folder or a zip archive, read by name.

Names are paths with '/' below the root, sorted by code point, so that file i is
the same on every machine whatever its locale. What systems leave in folders and
archives for themselves is left out.
"""

import bz2
import contextlib
import errno
import lzma
import os
import pathlib
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

from gan_jax import limits, paths, stores
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


class StoredFolder:
  """Objects of a store below a folder's name, as in Folder.

  They are listed once, with their sizes; each is then read by itself, by
  whoever needs it.
  """

  def __init__(self, root):
    self._root = root
    with stores.reaching(root, 'config.data.source'):
      found = stores.sizes(root)
    self._sizes = {
      name: size
      for name, size in found.items()
      if all(map(_visible, name.split('/')))
    }

  def names(self) -> list[str]:
    """All objects below, sorted."""
    return self.listing()[0]

  def listing(self) -> tuple[list[str], list[str]]:
    """All objects, and all folders that their names tell of; each sorted."""
    above = {
      str(folder)
      for name in self._sizes
      for folder in pathlib.PurePosixPath(name).parents[:-1]
    }
    return sorted(self._sizes), sorted(above)

  @contextlib.contextmanager
  def reading(
    self, name: str, most: int = limits.PICTURE_FILE_BYTES
  ) -> Iterator[bytes]:
    """The bytes of an object, as in Folder.

    Raises:
      BadPictureError: it is too large, or gone. A store that cannot be reached
        is no fault of the picture's and ends the run.
    """
    size = self._sizes[name]
    _check_size(size, most)
    with _ROOM.of(size):
      try:
        data = stores.read(f'{self._root}/{name}')
      except FileNotFoundError:
        raise BadPictureError('it is no longer there') from None
      yield data


class Zip:
  """Files in a zip archive, read without unpacking it.

  Its directory is read once. Members are then read at their places in the file,
  so that neither threads nor forked processes share a position in it.
  """

  def __init__(self, path):
    """Opens an archive; of the file system or of a store.

    Raises:
      UserError: not a zip archive.
    """
    self._path, self._file = path, None
    try:
      with path.open('rb') as file, zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
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
    return {**self.__dict__, '_file': None}

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
        data = _unpack(self._packed(info), info)
      except MemoryError:
        raise BadPictureError(
          'in the archive: needs more memory than there is'
        ) from None
      except Exception as e:  # the packers raise many types on bad bytes
        reason = str(e) or type(e).__name__
        raise BadPictureError(f'in the archive: {reason}') from None
      yield data

  def _packed(self, info):
    """A member's bytes as they lie in the archive."""
    if info.flag_bits & 0x41:
      raise zipfile.BadZipFile('it is encrypted; unpack the archive')
    if info.flag_bits & 0x20:
      raise zipfile.BadZipFile('it is a patch of another file')
    head = self._at(info.header_offset, 30)
    if len(head) < 30 or head[:4] != b'PK\3\4':
      raise zipfile.BadZipFile('its header is damaged')
    length, extra = struct.unpack_from('<HH', head, 26)
    name = self._at(info.header_offset + 30, length)
    code = 'utf-8' if info.flag_bits & 0x800 else 'cp437'
    if name != info.orig_filename.encode(code):
      raise zipfile.BadZipFile('its header has another name')
    begin = info.header_offset + 30 + length + extra
    return self._at(begin, info.compress_size)

  def _at(self, offset, size):
    if stores.is_stored(self._path):
      return stores.read(self._path, offset, offset + size)
    file = self._file
    if file is None:
      file = self._file = open(self._path, 'rb', buffering=0)
    return os.pread(file.fileno(), size, offset)


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


def _unpack(packed, info):
  """A member's bytes, checked, in memory that its sizes bound.

  Not ZipFile.read: that unpacks all that there is, whatever length a member's
  header promised.
  """
  most = info.file_size + 1
  match info.compress_type:
    case zipfile.ZIP_STORED:
      data = packed
    case zipfile.ZIP_DEFLATED:
      data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most)
    case zipfile.ZIP_BZIP2:
      data = bz2.BZ2Decompressor().decompress(packed, most)
    case zipfile.ZIP_LZMA:
      # After a version and a length come the properties of an .lzma file, which
      # go on with the size: here, unknown.
      (size,) = struct.unpack_from('<H', packed, 2)
      head = packed[4 : 4 + size] + b'\xff' * 8
      unpacker = lzma.LZMADecompressor(lzma.FORMAT_ALONE, limits.READING_BYTES)
      data = unpacker.decompress(head + packed[4 + size :], most)
    case method:
      raise zipfile.BadZipFile(
        f'packed by method {method}, which cannot be unpacked here; use deflate'
      )
  if len(data) != info.file_size:
    raise zipfile.BadZipFile('it has not the length that it should have')
  if zlib.crc32(data) != info.CRC:
    raise zipfile.BadZipFile('Bad CRC-32')
  return data


Files = Folder | StoredFolder | Zip


def open_files(name: str, where: str, about: str = '') -> Files:
  """The files at a path.

  Args:
    name: the config's source string, for messages.
    where: path of a folder or a zip archive, here or in an object store.
    about: what should be there, for messages.

  Raises:
    UserError: there is nothing of the kind.
  """
  path = paths.place(where, 'config.data.source')
  if stores.is_stored(path):
    if path.suffix.lower() != '.zip':
      found = StoredFolder(path)
      if found.names():
        return found
    elif path.exists():
      return Zip(path)
  elif path.is_dir():
    return Folder(path)
  elif path.is_file():
    return Zip(path)
  put = f'put {about}, there, or ' if about else ''
  raise UserError(
    f"config.data.source is '{name}', but there is no folder or zip archive"
    f' {path}: {put}give folder:PATH with the path of one'
    + near(path, _holds_files)
  )


def _holds_files(path: pathlib.Path) -> bool:
  return path.is_dir() or path.suffix.lower() == '.zip'


def near(
  path,
  suits: Callable[[pathlib.Path], bool] = pathlib.Path.exists,
) -> str:
  """The end of a sentence on a path that is not there; see did_you_mean.

  Args:
    path: that is not there; nothing is near one of a store.
    suits: whether a path beside it is of the kind that is wanted.
  """
  folder = path.parent
  try:
    siblings = [] if stores.is_stored(path) else os.listdir(folder)
  except OSError:
    siblings = []
  visible = [n for n in siblings if _visible(n) and suits(folder / n)]
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
