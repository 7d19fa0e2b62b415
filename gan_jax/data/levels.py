"""Pictures at every resolution of a growing run: exact averages over areas.

A pixel of a lower resolution is the mean of those it covers, unquantised
(ProGAN, section 3; the released code stores the means rounded to uint8, and
this does not). Stored values are whole numbers, so that sums are exact and the
order of adding does not matter: whether the step reduces a set that lies on the
devices or a level is read from the cache, the bits are the same.

A set that streams is gone through once, and all its levels are kept:

<GAN_JAX_LEVELS or the cache folder>/<hash of the pictures>/
  512.npy ... 4.npy  sums of the stored values under each pixel
  labels.npy         int32
  levels.json        sizes and checksums; the folder is given its name last
"""

import errno
import functools
import json
import logging
import os
import pathlib
import shutil
import uuid
import weakref

import numpy as np

from gan_jax import paths
from gan_jax.data import source as sources
from gan_jax.data.source import Source, in_threads
from gan_jax.data.stored import RowsFile, locked, matches, naming
from gan_jax.errors import UserError

log = logging.getLogger('gan_jax')

_LOWEST = 4  # pixels a side: where the paper's networks begin
_TABLE, _LABELS = 'levels.json', 'labels.npy'
_FORMAT = 1  # of the folder; it goes into the hash
# What a full disk says: no room, no more of the quota, or of this file.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def sums(stored, side: int):
  """Adds up the pixels under each pixel of a lower resolution.

  Args:
    stored: uint8 [..., H, W, C], of NumPy or of JAX; `side` divides H and W.
    side: pixels.

  Returns:
    uint32 [..., side, side, C], exact up to pictures of 4096 pixels a side.
  """
  *lead, height, width, channels = stored.shape
  blocks = (side, height // side, side, width // side, channels)
  return stored.reshape(*lead, *blocks).sum((-4, -2), dtype=np.uint32)


def to_float(sums, cells: int):  # pylint: disable=redefined-outer-name
  """Sums to what networks see: as `data.source.to_float` of their means.

  Args:
    sums: whole numbers, of NumPy or of JAX, to the same bits.
    cells: how many pixels each is of, a power of 2: means are then exact in
      float32 as long as sums are below 2^24 (1024 px over 4 px).

  Returns:
    float32 of the same shape, in [-1, 1].
  """
  # Multiplying by a power of 2 rounds nothing, fused with what follows or not.
  mean = sums.astype(np.float32) * np.float32(1 / cells)
  return (mean - 127.5) * np.float32(1 / 127.5)


def at_level(stored, side: int):
  """Stored pictures as networks of a lower resolution see them.

  Args:
    stored: as for `sums`; H W / side^2 is a power of 2.
    side: pixels.

  Returns:
    float32 [..., side, side, C] in [-1, 1].
  """
  *_, height, width, _ = stored.shape
  return to_float(sums(stored, side), height * width // side**2)


def sides(full: int) -> list[int]:
  """The resolutions below a full one that its halves come to: 512, ... 4."""
  found = []
  while full % 2 == 0 and full // 2 >= _LOWEST:
    full //= 2
    found.append(full)
  return found


class LevelSource(Source):
  """One resolution of another source, as `open_level` has stored it.

  Attributes:
    dtype: uint16 where sums fit it, else uint32.
  """

  in_memory = True  # the system keeps what is read; nothing is decoded

  def __init__(self, whole: Source, side: int, folder: pathlib.Path):
    self.name, self.classes = whole.name, whole.classes
    self.shape = (side, side, whole.shape[-1])
    self._cells = (whole.shape[0] // side) ** 2
    self.dtype = _dtype(self._cells)
    self.report = f'{whole.report}\n  level      {side} pixels, from {folder}'
    self._folder, self._labels = folder, np.load(folder / _LABELS)

  def __getstate__(self):
    """What goes to other processes: the file's name, not what is in it."""
    return {k: v for k, v in self.__dict__.items() if k != '_sums'}

  @functools.cached_property
  def _sums(self):
    return np.load(self._folder / f'{self.shape[0]}.npy', mmap_mode='r')

  @property
  def unpack(self):
    """As in Source."""
    return functools.partial(to_float, cells=self._cells)

  @property
  def labels(self) -> np.ndarray:
    """The class of each picture (or 0), int32 [n]."""
    return self._labels

  def __len__(self):
    return len(self._labels)

  def __getitem__(self, i):
    return np.array(self._sums[i]), int(self._labels[i])

  def label(self, i):
    """As in Source."""
    return int(self._labels[i])

  def arrays(self):
    """As in Source."""
    return np.array(self._sums), self._labels


class PlannedLevel(LevelSource):
  """A level as `open_level` would give it, all black: nothing is stored."""

  def __init__(self, whole: Source, side: int):
    self.name, self.classes = whole.name, whole.classes
    self.shape = (side, side, whole.shape[-1])
    self._cells = (whole.shape[0] // side) ** 2
    self.dtype = _dtype(self._cells)
    self._labels = np.zeros(len(whole), np.int32)

  @property
  def _sums(self):
    black = np.zeros((), self.dtype)  # one number, seen as many
    return np.broadcast_to(black, (len(self), *self.shape))


def cache_bytes(shape: tuple[int, ...], count: int) -> int:
  """What the files of all levels of a set take, in bytes.

  Args:
    shape: (H, W, C) of its pictures.
    count: of its pictures.
  """
  of_one = sum(
    side**2 * shape[2] * _dtype((shape[0] // side) ** 2).itemsize
    for side in sides(shape[0])
  )
  return count * (of_one + 4)


def _dtype(cells: int) -> np.dtype:
  return np.dtype(np.uint16 if cells * 255 < 2**16 else np.uint32)


def open_level(source: Source, side: int) -> LevelSource:
  """A source at a lower resolution, out of the cache.

  If it is not there the source is gone through once, and all levels of it are
  written. Of two processes that want the same the second one waits.

  Args:
    source: of square pictures.
    side: pixels, half of theirs, or a quarter, ... but not below 4.

  Raises:
    UserError: no such level, or no room for the levels; nothing stays then.
  """
  height, width, *_ = source.shape
  if height != width or side not in sides(height):
    known = sides(height) if height == width else []
    raise UserError(
      f'{source.name}: pictures of {width}x{height} pixels cannot be reduced to'
      f' {side}x{side} by halves'
      + (f' (but to {", ".join(map(str, known))})' if known else '')
      + '; choose config.data.resolution as a power of two.'
    )
  folder = paths.cache('levels') / _digest(source)
  if not _is_whole(source, folder, side):
    try:
      folder.parent.mkdir(parents=True, exist_ok=True)
      with locked(folder) as alone:
        if not _is_whole(source, folder, side):
          _make(source, folder, alone)
    except OSError as error:
      if not str(error.filename).startswith(str(folder.parent)):
        raise  # of the source
      raise _unwritable(source, folder.parent, error) from None
  return LevelSource(source, side, folder)


_digests = weakref.WeakKeyDictionary()  # of sources, which do not change


def _digest(source: Source) -> str:
  """The name of a set: other pictures, labels or settings have another."""
  if source not in _digests:

    def read(i):
      return source.label(i).to_bytes(4, 'little') + source.content(i)

    facts = ['levels', _FORMAT, len(source), source.shape]
    found = sources.digest(read, len(source), source.name, facts)
    _digests[source] = found[:32]
  return _digests[source]


def _is_whole(source: Source, folder: pathlib.Path, side: int) -> bool:
  """Whether a level of a source is there as it was written, to the bit."""
  try:
    table = json.loads((folder / _TABLE).read_bytes())
    for name, level in table['levels'].items():
      if (folder / name).stat().st_size != level['bytes']:
        raise ValueError(f'{name} has another size')
    shape = len(source), side, side, source.shape[2]
    for name, wanted in ((f'{side}.npy', shape), (_LABELS, shape[:1])):
      rows = np.load(folder / name, mmap_mode='r')
      crc = table['levels'][name]['crc']
      if rows.shape != wanted or not matches(rows, table['starts'], crc):
        raise ValueError(f'{name} holds other bytes')
  except FileNotFoundError:
    if folder.exists():
      log.warning('%s lacks a file and is made again.', folder)
    return False
  except PermissionError as error:
    raise UserError(f'{error.filename} cannot be read.') from None
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    log.warning('%s is damaged (%s) and is made again.', folder, error)
    return False
  return True


def _make(source: Source, folder: pathlib.Path, alone: bool) -> None:
  """Writes all levels of a source to a folder, whole or not at all."""
  need = cache_bytes(source.shape, len(source))
  log.info(
    '%s: %s are written to %s, %s, so that stages of a lower resolution decode'
    ' nothing; GAN_JAX_LEVELS names another place.',
    source.name,
    _of_sides(source),
    folder,
    _size(need),
  )
  if alone:  # then these are of killed processes
    for left in folder.parent.glob(f'{folder.name}.*.part'):
      shutil.rmtree(left, ignore_errors=True)
  if folder.exists():  # damaged; who reads it goes on with the open file
    shutil.rmtree(folder)
  if shutil.disk_usage(folder.parent).free < need:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.parent))
  scratch = folder.with_name(f'{folder.name}.{uuid.uuid4().hex}.part')
  scratch.mkdir()
  try:
    _write(source, scratch)
    scratch.rename(folder)
  except BaseException:
    shutil.rmtree(scratch, ignore_errors=True)
    raise


def _write(source: Source, folder: pathlib.Path) -> None:
  """Goes through a source once and fills a folder."""
  full, _, channels = source.shape
  files = {
    side: RowsFile(
      folder / f'{side}.npy',
      (len(source), side, side, channels),
      _dtype((full // side) ** 2),
    )
    for side in sides(full)
  }
  labels = RowsFile(folder / _LABELS, (len(source),), np.int32)

  def work(run):
    for i in run:
      image, label = source[i]
      labels.write(run.start, i, np.array([label], np.int32))
      above = image.astype(np.uint32)
      for side, file in files.items():
        above = _halved(above)
        file.write(run.start, i, above.astype(_dtype((full // side) ** 2)))

  try:
    in_threads(work, len(source), f'reducing {source.name}')
  finally:
    for file in (*files.values(), labels):
      file.close()
  starts = sorted(labels.crc)
  table = {
    'starts': starts,
    'levels': {
      file.path.name: {
        'bytes': file.path.stat().st_size,
        'crc': [file.crc[start] for start in starts],
      }
      for file in (*files.values(), labels)
    },
  }
  with naming(folder / _TABLE):
    (folder / _TABLE).write_text(json.dumps(table), encoding='utf-8')


def _halved(image: np.ndarray) -> np.ndarray:
  """Sums of 2x2 pixels; NumPy adds four views faster than along two axes."""
  rows = image[0::2] + image[1::2]
  return rows[:, 0::2] + rows[:, 1::2]


def _unwritable(source: Source, folder: pathlib.Path, error: OSError):
  """The sentence for a cache that could not be written."""
  need = _size(cache_bytes(source.shape, len(source)))
  if error.errno in _FULL:
    free = _size(shutil.disk_usage(folder).free)
    return UserError(
      f'{source.name}: {_of_sides(source)} take {need}, and {folder} has {free}'
      ' free: make room, or set the environment variable GAN_JAX_LEVELS to a'
      ' folder that has more.'
    )
  why = (error.strerror or str(error)).lower()
  return UserError(
    f'{source.name}: {_of_sides(source)} ({need}) cannot be written to'
    f' {folder} ({why}): set the environment variable GAN_JAX_LEVELS to another'
    ' folder.'
  )


def _of_sides(source: Source) -> str:
  below = sides(source.shape[0])
  ends = f'{below[0]} to {below[-1]}' if len(below) > 1 else f'{below[0]}'
  return f'its resolutions of {ends} pixels'


def _size(count: int) -> str:
  """Bytes for people."""
  gib = count / 2**30
  return f'{gib:,.1f} GiB' if gib >= 1 else f'{count / 2**20:,.1f} MiB'
