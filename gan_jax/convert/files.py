"""Reads the files that networks are released in; runs nothing they hold."""

import json
import math
import pathlib
import zipfile

import ml_dtypes
import numpy as np

from gan_jax import limits, paths
from gan_jax.convert import onnx, pickles
from gan_jax.data.npy import Archive
from gan_jax.errors import UserError

# Types of a .safetensors file.
SAFETENSORS = {
  'F64': np.float64,
  'F32': np.float32,
  'F16': np.float16,
  'BF16': ml_dtypes.bfloat16,
  'F8_E4M3': ml_dtypes.float8_e4m3fn,
  'F8_E5M2': ml_dtypes.float8_e5m2,
  'I64': np.int64,
  'I32': np.int32,
  'I16': np.int16,
  'I8': np.int8,
  'U64': np.uint64,
  'U32': np.uint32,
  'U16': np.uint16,
  'U8': np.uint8,
  'BOOL': np.bool_,
}


_MAX_RANK = 64  # dimensions of an array
_LARGEST = 2**48  # one of them


def read(path) -> dict[str, np.ndarray]:
  """The arrays of a file, by name.

  The format is told by the content: NumPy's .npz, .safetensors, PyTorch's
  .pth and .pt (the zip of today and the stream before version 1.6), pickles
  of arrays, and files named .onnx, whose initialisers are read. Nested
  dictionaries and lists give names with dots, 'g_ema.conv.weight'; what is no
  array of numbers is left out. Pickles are not executed: see pickles.py.

  Args:
    path: of the file.

  Returns:
    {name: array}; the arrays are read-only and may share memory.

  Raises:
    UserError: there is no such file, it is of no known format, damaged, or a
      pickle that wants more than arrays.
  """
  path = paths.local(path, '--from')
  paths.regular(path, str(path), 'give the path of a weight file')
  try:
    size = path.stat().st_size
    if size > limits.WEIGHTS:
      raise UserError(
        f'has {size / limits.GIB:,.1f} GiB: files of up to'
        f' {limits.WEIGHTS / limits.GIB:.0f} GiB are read; save the networks'
        ' alone, without the state of their optimisers.'
      )
    with open(path, 'rb') as file:
      arrays = _reader(path, file)(file)
  except UserError as error:
    raise UserError(f'{path} {error}') from None
  except OSError as error:
    reason = error.strerror or error
    raise UserError(f'{path} cannot be read: {reason}.') from None
  except MemoryError:
    raise UserError(
      f'{path} does not fit into the memory of this machine.'
    ) from None
  except Exception as error:
    # Whatever a decoder may meet in bytes that anyone can have written.
    reason = str(error).partition('\n')[0][:120] or type(error).__name__
    raise UserError(
      f'{path} is damaged or cut short ({reason}): download or copy it again.'
    ) from None
  if not arrays:
    raise UserError(f'{path} holds no arrays.')
  return arrays


def _reader(path: pathlib.Path, file):
  """The function for the format that a file's content shows."""
  head, size = file.read(9), path.stat().st_size
  file.seek(0)
  # First: the length of a header may begin with the mark of a pickle.
  if head[8:] == b'{' and int.from_bytes(head[:8], 'little') <= size - 8:
    return _safetensors
  if head.startswith(b'PK\x03\x04'):
    with zipfile.ZipFile(file) as archive:
      names = archive.namelist()
    file.seek(0)
    if any(name.endswith('/data.pkl') for name in names):
      return pickles.read_zip
    if any(name.endswith('.npy') for name in names):
      return _npz
  elif head.startswith(b'\x80'):
    return pickles.read_stream
  elif head[:1] == b'\x08' and path.suffix == '.onnx':
    return onnx.read  # whose mark, a small number, is no mark
  raise UserError(
    'is none of .npz, .safetensors, .pth or .pt of PyTorch, .pkl, .onnx (its'
    f' content begins with {head}): a download may have stored a web page or a'
    ' Git LFS pointer in its place.'
  )


def _npz(file) -> dict[str, np.ndarray]:
  archive = Archive(file, limits.WEIGHTS)
  try:
    return {name: archive[name] for name in archive.names}
  except ValueError as error:
    if 'Python objects' not in str(error):
      raise
    raise UserError(
      'holds Python objects: refused; save its arrays of numbers alone.'
    ) from None


def _safetensors(file) -> dict[str, np.ndarray]:
  """8 bytes: length of the header; the header, JSON; the arrays' bytes."""
  length = int.from_bytes(file.read(8), 'little')
  if length > limits.HEADER:
    raise ValueError(f'its header announces {length:,} bytes')
  header = json.loads(file.read(length), object_pairs_hook=_without_doubles)
  data = file.read()
  header.pop('__metadata__', None)
  arrays = {}
  for name, entry in header.items():
    dtype, shape = np.dtype(SAFETENSORS[entry['dtype']]), entry['shape']
    begin, end = entry['data_offsets']
    if not 0 <= begin <= end <= len(data):
      raise ValueError(f'{name} lies outside the file')
    whole = all(type(n) is int and 0 <= n <= _LARGEST for n in shape)
    if not whole or len(shape) > _MAX_RANK:
      raise ValueError(f'{name} has no shape')
    if end - begin != math.prod(shape) * dtype.itemsize:
      raise ValueError(f'{name} has more or fewer bytes than its shape needs')
    arrays[name] = np.ndarray(shape, dtype, data, begin)
  return arrays


def _without_doubles(pairs) -> dict:
  """A JSON object as a dictionary; ValueError if a key comes twice."""
  found = dict(pairs)
  if len(found) < len(pairs):
    raise ValueError('two arrays have the same name')
  return found
