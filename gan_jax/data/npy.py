"""Reads the arrays of .npz archives; what is announced is checked first.

NumPy's own reader makes room for as much as a header says before it looks for
the numbers, and gives the bytes of what is no array.
"""

import math
import zipfile

import numpy as np
from numpy.lib import format as npy

from gan_jax import limits

_SUFFIX = '.npy'
_CHUNK = 2**20  # bytes read at a time


class Archive:
  """The arrays of an archive by name, each read when it is asked for.

  Whatever is wrong with a file that anyone can have written is a ValueError
  here, whose text says what, and of which array.
  """

  def __init__(self, file):
    """Opens an archive; `file` is open for reading and stays so.

    Raises:
      ValueError: it is none, or two arrays have one name.
    """
    head = file.read(6)
    self._size = file.seek(0, 2)
    file.seek(0)
    if head == npy.MAGIC_PREFIX:
      raise ValueError('it is a single array, an .npy file')
    try:
      self._zip = zipfile.ZipFile(file)
      members = self._zip.infolist()
    except Exception as error:
      raise ValueError(f'it is no whole zip archive: {_words(error)}') from None
    self._members = {m.filename.removesuffix(_SUFFIX): m for m in members}
    if len(self._members) < len(members):
      raise ValueError('two of its members have the same name')

  @property
  def names(self) -> list[str]:
    """Of all members, without .npy."""
    return list(self._members)

  def __getitem__(self, name: str) -> np.ndarray:
    """An array of numbers, text or times.

    Raises:
      ValueError: see above.
    """
    member = self._members[name]
    try:
      packed = min(member.compress_size, self._size)  # both are mere words
      if member.file_size > limits.unpacked(packed):
        raise ValueError(
          f'its {packed:,} bytes unpack to {member.file_size:,}, which is more'
          ' than data do'
        )
      with self._zip.open(member) as stream:
        return _array(stream, member.file_size)
    except Exception as error:  # LZMAError, NotImplementedError, KeyError, ...
      raise ValueError(f"'{name}': {_words(error)}") from None


def _array(stream, size: int) -> np.ndarray:
  """The array in a stream of `size` bytes."""
  version = npy.read_magic(stream)
  headers = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
  }
  if version not in headers:
    raise ValueError(f'it is of version {version} of the format')
  shape, fortran, dtype = headers[version](stream)
  if dtype.hasobject:
    raise ValueError('it holds Python objects, not numbers')
  if dtype.names or dtype.subdtype:
    raise ValueError(f'it holds records of type {dtype}, not numbers')
  if min(shape, default=0) < 0:
    raise ValueError(f'it announces a shape of {list(shape)}')
  announced, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
  if announced != there:
    raise ValueError(f'it announces {announced:,} bytes and holds {there:,}')
  data = np.empty(announced, np.uint8)
  done = 0
  while done < announced:
    got = stream.readinto(memoryview(data)[done : done + _CHUNK])
    if not got:
      raise ValueError(f'it ends after {done:,} of {announced:,} bytes')
    done += got
  if stream.read(1):  # at the end the checksum is compared
    raise ValueError('it goes on behind its end')
  # An empty type, such as text without a character, takes no view.
  flat = data.view(dtype) if dtype.itemsize else np.empty(shape, dtype)
  return flat.reshape(shape, order='F' if fortran else 'C')


def _words(error: Exception) -> str:
  """What was wrong, in a line."""
  if isinstance(error, MemoryError):
    return 'it does not fit into the memory of this machine'
  text = ' '.join(str(error).split())[:200]
  return text or type(error).__name__
