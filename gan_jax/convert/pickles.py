"""Arrays out of pickles, PyTorch's and plain ones, that are never executed.

A pickle is a program: it calls any function it can name. Here it can name only
what is in `ALLOWED`, and each name stands for a function of this file that
keeps its arguments as data; the arrays are made afterwards. PyTorch and its
classes are not needed.
"""

import io
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from gan_jax.errors import UserError

# PyTorch's types by the names of their storages, and by their own.
_STORAGES = {
  'Float': 'float32',
  'Double': 'float64',
  'Half': 'float16',
  'BFloat16': 'bfloat16',
  'Long': 'int64',
  'Int': 'int32',
  'Short': 'int16',
  'Char': 'int8',
  'Byte': 'uint8',
  'Bool': 'bool',
  'ComplexFloat': 'complex64',
  'ComplexDouble': 'complex128',
}
_OTHERS = ('uint16', 'uint32', 'uint64', 'float8_e4m3fn', 'float8_e5m2')
DTYPES = {
  name: np.dtype(getattr(ml_dtypes, name, None) or name)
  for name in (*_STORAGES.values(), *_OTHERS)
}

# The first object of the stream that PyTorch wrote before its zips.
_MAGIC = 0x1950A86A20F9469CFC6C
_MAX_DEPTH = 32
_MAX_ENTRIES = 1_000_000


class _Storage(NamedTuple):
  """A run of numbers that tensors are views of; `count` of type `dtype`."""

  key: str
  dtype: str
  count: int
  data: bytes | None = None  # of one whose bytes lie in the pickle itself


class _Tensor(NamedTuple):
  """A view of a storage; offset and strides in elements of `dtype`."""

  storage: _Storage
  dtype: str
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]


class _Mapping(dict):
  """A dictionary that drops what a pickle would add as attributes."""

  __slots__ = ()

  def __setstate__(self, state):
    """Drops PyTorch's `_metadata`."""


class _DType:
  """What stands for a NumPy type: the code, '<f4', to look up later."""

  __slots__ = ('code', 'order')

  def __init__(self, code, *flags):
    self.code, self.order = str(code), '='

  def __setstate__(self, state):
    self.order = str(state[1])

  def resolve(self) -> np.dtype | None:
    """The type, or None if it is not one of numbers."""
    if re.fullmatch(r'[<>=|]?([fiu][1248]|c8|c16|b1)', self.code):
      return np.dtype(self.code).newbyteorder(self.order)
    return None


class _Array:
  """What stands for a NumPy array: its bytes, type, shape and order."""

  __slots__ = ('parts',)

  def __init__(self, *parts):
    self.parts = parts

  def __setstate__(self, state):
    *_, shape, dtype, fortran, data = state
    self.parts = (data, dtype, shape, 'F' if fortran else 'C')

  def resolve(self) -> np.ndarray | None:
    """The array, or None if it is not one of numbers."""
    data, dtype, shape, order = self.parts
    dtype = dtype.resolve()
    if dtype is None:
      return None
    if isinstance(data, str):  # written by Python 2
      data = data.encode('latin1')
    array = np.frombuffer(bytes(data), dtype).reshape(shape, order=order)
    return array.astype(dtype.newbyteorder('='), copy=False)


def _tensor(storage, offset, shape, strides, *_):
  return _Tensor(storage, storage.dtype, offset, tuple(shape), tuple(strides))


def _typed_tensor(storage, offset, shape, strides, grad, hooks, dtype, *_):
  return _Tensor(storage, dtype, offset, tuple(shape), tuple(strides))


def _nested(raw):
  """The storage in a stream of its own: what `pickle.dump` makes of one."""
  storage, _, data = _stream(io.BytesIO(raw))
  return storage._replace(data=data[storage.key])


def _encode(text, coding):
  if coding != 'latin1':
    raise ValueError(f'bytes in {coding}')
  return text.encode(coding)


# (module, name) -> what stands for it. Strings stand for types.
ALLOWED: dict[tuple[str, str], Callable | str] = {
  ('collections', 'OrderedDict'): _Mapping,
  ('_codecs', 'encode'): _encode,
  ('__builtin__', 'bytes'): lambda: b'',  # how protocol 2 says it
  ('torch', 'Size'): tuple,
  ('torch._utils', '_rebuild_tensor'): _tensor,
  ('torch._utils', '_rebuild_tensor_v2'): _tensor,
  ('torch._utils', '_rebuild_tensor_v3'): _typed_tensor,
  ('torch._utils', '_rebuild_parameter'): lambda tensor, *_: tensor,
  ('torch.storage', 'UntypedStorage'): 'uint8',  # counts in bytes
  ('torch.storage', '_load_from_bytes'): _nested,
  ('numpy', 'ndarray'): 'ndarray',
  ('numpy', 'dtype'): _DType,
}
for _name, _dtype in _STORAGES.items():
  ALLOWED['torch', f'{_name}Storage'] = _dtype
for _dtype in DTYPES:
  ALLOWED['torch', _dtype] = _dtype
for _core in ('core', '_core'):  # NumPy 1 and 2
  ALLOWED |= {
    (f'numpy.{_core}.multiarray', '_reconstruct'): lambda *_: _Array(),
    (f'numpy.{_core}.multiarray', 'scalar'): lambda dtype, data: _Array(
      data, dtype, (), 'C'
    ),
    (f'numpy.{_core}.numeric', '_frombuffer'): _Array,
  }


class _Unpickler(pickle.Unpickler):
  """Reads a pickle as data; anything outside `ALLOWED` is refused by name."""

  def __init__(self, file):
    super().__init__(file, encoding='latin1')
    self.storages: dict[str, _Storage] = {}

  def find_class(self, module, name):
    if (module, name) not in ALLOWED:
      raise UserError(
        f'wants to run {module}.{name}: refused; only arrays and dictionaries'
        ' of them are read, so save the state dict or the arrays alone.'
      )
    stand_in = ALLOWED[module, name]
    if isinstance(stand_in, str):
      return stand_in
    # A pickle can set attributes of what it gets: of this one, made for it.
    return lambda *args: stand_in(*args)

  def persistent_load(self, pid):
    """A storage: ('storage', type, key, device, count[, part of another])."""
    tag, dtype, key, _, count, *part = pid
    if tag != 'storage' or dtype not in DTYPES or any(part):
      raise ValueError(f'an unknown kind of storage, {pid!r:.60}')
    return self.storages.setdefault(key, _Storage(key, dtype, count))


def read_zip(file) -> dict[str, np.ndarray]:
  """PyTorch's zip: <name>/data.pkl and <name>/data/<key>, a file a storage."""
  with zipfile.ZipFile(file) as archive:
    names = archive.namelist()
    root = next(n for n in names if n.endswith('/data.pkl'))
    root = root.removesuffix('data.pkl')
    order = f'{root}byteorder'
    if order in names and archive.read(order) != b'little':
      raise ValueError('it was written on a big-endian machine')
    with archive.open(f'{root}data.pkl') as stream:
      unpickler = _Unpickler(stream)
      content = unpickler.load()
    data = {
      key: archive.read(f'{root}data/{key}') for key in unpickler.storages
    }
  return _arrays(content, unpickler.storages, data)


def read_stream(file) -> dict[str, np.ndarray]:
  """A pickle, or PyTorch's stream."""
  return _arrays(*_stream(file))


def _stream(file):
  """The content of a pickle or of PyTorch's stream; its storages and bytes.

  The stream: five pickles, then the storages.
  The pickles: a magic number, a version, facts on the machine, the content,
  and the keys of the storages in their order. A storage is its count, 8 bytes,
  and its numbers.
  """
  content = _Unpickler(file).load()
  if content != _MAGIC:
    return content, {}, {}
  for _ in range(2):
    _Unpickler(file).load()
  unpickler = _Unpickler(file)
  content = unpickler.load()
  data = {}
  for key in _Unpickler(file).load():
    storage = unpickler.storages[key]
    count = int.from_bytes(file.read(8), 'little')
    if count != storage.count:
      raise ValueError(f'storage {key} has another length than announced')
    data[key] = file.read(count * DTYPES[storage.dtype].itemsize)
  return content, unpickler.storages, data


def _arrays(content, storages, data) -> dict[str, np.ndarray]:
  """The arrays in a pickle's content, by name."""
  for key, storage in storages.items():
    if len(data[key]) < storage.count * DTYPES[storage.dtype].itemsize:
      raise ValueError(f'storage {key} is shorter than announced')
  arrays = {}
  for i, (name, value) in enumerate(_walk(content)):
    if i >= _MAX_ENTRIES:
      raise ValueError(f'it holds more than {_MAX_ENTRIES:,} entries')
    if isinstance(value, _Tensor):
      raw = value.storage.data
      array = _view(value, data[value.storage.key] if raw is None else raw)
    elif isinstance(value, _Array):
      array = value.resolve()
    else:
      continue
    if name in arrays:
      raise ValueError(f'two arrays are called {name}')
    if array is not None:
      arrays[name] = array
  return arrays


def _view(tensor: _Tensor, raw: bytes) -> np.ndarray:
  """The tensor as a view of its storage's bytes."""
  dtype = DTYPES[tensor.dtype]
  _, _, offset, shape, strides = tensor
  # NumPy's own check takes an empty buffer for one of unknown size.
  last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
  if min(offset, *shape, *strides, 0) < 0:
    raise ValueError('a tensor has a size or stride below 0')
  if 0 in shape:
    return np.zeros(shape, dtype)
  if last >= len(raw) // dtype.itemsize:
    raise ValueError('a tensor lies outside its storage')
  size = dtype.itemsize
  return np.ndarray(
    shape, dtype, raw, offset * size, [s * size for s in strides]
  )


def _walk(value, name: str = '', depth: int = 0) -> Iterator[tuple[str, Any]]:
  """(name with dots, value) of everything in nested dictionaries and lists."""
  yield name, value
  items = ()
  if isinstance(value, dict):
    items = value.items()
  elif type(value) in (list, tuple):
    items = enumerate(value)
  if items and depth >= _MAX_DEPTH:
    raise ValueError(f'it is nested more than {_MAX_DEPTH} deep')
  for key, inner in items:
    yield from _walk(inner, f'{name}.{key}' if name else str(key), depth + 1)
