"""Arrays out of pickles, PyTorch's and plain ones, that are never executed.

A pickle is a program: it calls any function it can name. Here it can name only
what is in `ALLOWED`, and each name stands for a function of this file that
keeps its arguments as data; the arrays are made afterwards. PyTorch and its
classes are not needed. opcodes.py runs the program, within bounds.
"""

import io
import math
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from gan_jax import limits
from gan_jax.convert import persistence, tfutil
from gan_jax.convert.opcodes import Bounded, Budget, Machine, checked_key
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
_MAX_NAME = 1000  # characters of an array's name
_MAX_RANK = 64  # dimensions of an array
_SPREAD = 2**20  # bytes that a view may show of fewer


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

  def restore(self, state):
    """Drops PyTorch's `_metadata`."""


def _mapping(pairs=()) -> _Mapping:
  """A dictionary of (key, value) pairs, as OrderedDict takes them."""
  return _Mapping((checked_key(key), value) for key, value in pairs)


class _DType:
  """What stands for a NumPy type: the code, '<f4', to look up later."""

  __slots__ = ('code', 'order')

  def __init__(self, code, *flags):
    self.code, self.order = _text(code), '='

  def restore(self, state):
    """Takes over the order of the bytes."""
    self.order = _text(state[1])

  def resolve(self) -> np.dtype | None:
    """The type, or None if it is not one of numbers."""
    if re.fullmatch(r'[<>=|]?([fiu][1248]|c8|c16|b1)', self.code):
      return np.dtype(self.code).newbyteorder(self.order)
    return None


class _Array:
  """What stands for a NumPy array: its bytes, type, shape and order."""

  __slots__ = ('parts', 'array')

  def __init__(self, *parts):
    self.parts, self.array = parts, None

  def restore(self, state):
    """Takes over what the array is made of."""
    *_, shape, dtype, fortran, data = state
    self.parts = (data, dtype, shape, 'F' if fortran else 'C')

  def resolve(self, budget: Budget) -> np.ndarray | None:
    """The array, or None if it is not one of numbers."""
    data, dtype, shape, order = self.parts
    if not isinstance(dtype, _DType) or not isinstance(data, str | bytes):
      return None  # a list of Python objects
    dtype = dtype.resolve()
    if dtype is None or self.array is not None:
      return self.array
    shape = (shape,) if isinstance(shape, int) else _whole_numbers(shape)
    if isinstance(data, str):  # written by Python 2
      budget.copy(data)
      data = data.encode('latin1')
    if not dtype.isnative:
      budget.copy(data)
    array = np.frombuffer(data, dtype).reshape(shape, order=order)
    self.array = array.astype(dtype.newbyteorder('='), copy=False)
    return self.array


def _text(value) -> str:
  """A value that must be text; of anything else str() may be without end."""
  if not isinstance(value, str):
    raise ValueError('a type of it has no name')
  return value


def _whole_numbers(values) -> tuple[int, ...]:
  """Values that must be few whole numbers."""
  if not isinstance(values, tuple | list) or len(values) > _MAX_RANK:
    raise ValueError('a shape of it is none')
  if not all(type(value) is int for value in values):
    raise ValueError('a shape of it is not of whole numbers')
  return tuple(values)


def _tensor(storage, offset, shape, strides, *_):
  if not isinstance(storage, _Storage):
    raise ValueError('a tensor of it has no storage')
  return _typed_tensor(
    storage, offset, shape, strides, None, None, storage.dtype
  )


def _typed_tensor(storage, offset, shape, strides, grad, hooks, dtype, *_):
  if not isinstance(storage, _Storage) or _text(dtype) not in DTYPES:
    raise ValueError('a tensor of it has no storage, or a type unheard of')
  (offset,) = _whole_numbers((offset,))
  return _Tensor(
    storage, dtype, offset, _whole_numbers(shape), _whole_numbers(strides)
  )


def _nested(raw):
  """Stands for itself: see `_Unpickler.find`."""
  raise NotImplementedError


def _encode(text, coding):
  if coding != 'latin1':
    raise ValueError('it has bytes in another coding than latin1')
  return _text(text).encode(coding)


def _set(entries=()):
  """A set as a list, which nothing looks at."""
  if not isinstance(entries, tuple | list):
    raise ValueError('a set of it is of something else than entries')
  return list(entries)


# (module, name) -> what stands for it. Strings stand for types.
ALLOWED: dict[tuple[str, str], Callable | str] = {
  ('collections', 'OrderedDict'): _mapping,
  ('_codecs', 'encode'): _encode,
  ('__builtin__', 'bytes'): lambda: b'',  # how protocol 2 says it
  ('torch', 'Size'): lambda shape=(): _whole_numbers(shape),
  ('torch._utils', '_rebuild_tensor'): _tensor,
  ('torch._utils', '_rebuild_tensor_v2'): _tensor,
  ('torch._utils', '_rebuild_tensor_v3'): _typed_tensor,
  ('torch._utils', '_rebuild_parameter'): lambda tensor, *_: tensor,
  ('torch.storage', 'UntypedStorage'): 'uint8',  # counts in bytes
  ('torch.storage', '_load_from_bytes'): _nested,
  ('tfutil', 'Network'): tfutil.Network,
  ('torch_utils.persistence', '_reconstruct_persistent_obj'): (
    persistence.Module
  ),
  ('dnnlib.util', 'EasyDict'): _mapping,
  ('builtins', 'set'): _set,
  ('__builtin__', 'set'): _set,
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


class _Unpickler(Machine):
  """Reads a pickle as data; anything outside `ALLOWED` is refused by name."""

  def __init__(self, file, budget: Budget, nested: bool = False):
    super().__init__(file, budget)
    self.storages: dict[str, _Storage] = {}
    self._is_nested = nested

  def find(self, module, name):
    """What stands for a name."""
    if (module, name) == persistence.TENSORFLOWS:
      raise UserError(persistence.REFUSAL)
    if (module, name) not in ALLOWED:
      # A name can hold anything: the sentence stays one line.
      called = f'{module:.80}.{name:.80}'.encode('unicode_escape').decode()
      raise UserError(
        f'wants to run {called}: refused; only arrays and'
        ' dictionaries of them are read, so save the state dict or the arrays'
        ' alone.'
      )
    stand_in = ALLOWED[module, name]
    return self._nested if stand_in is _nested else stand_in

  def persistent(self, pid):
    """A storage: ('storage', type, key, device, count[, part of another])."""
    if not isinstance(pid, tuple) or len(pid) not in (5, 6):
      raise ValueError('it has an unknown kind of storage')
    tag, dtype, key, _, count, *part = pid
    known = tag == 'storage' and _text(dtype) in DTYPES and not any(part)
    if not known or type(count) is not int or count < 0:
      raise ValueError('it has an unknown kind of storage')
    return self.storages.setdefault(_text(key), _Storage(key, dtype, count))

  def _nested(self, raw):
    """The storage in a stream of its own: what `pickle.dump` makes of one."""
    if self._is_nested or not isinstance(raw, bytes):
      raise ValueError('it has a stream within a stream within a stream')
    storage, _, data = _stream(Bounded(io.BytesIO(raw)), self.budget, True)
    if not isinstance(storage, _Storage):
      raise ValueError('it has a stream without a storage')
    return storage._replace(data=data[storage.key])


def read_zip(file) -> dict[str, np.ndarray]:
  """PyTorch's zip: <name>/data.pkl and <name>/data/<key>, a file a storage."""
  size = Bounded(file).size
  with zipfile.ZipFile(file) as archive:
    left = [min(limits.unpacked(size), limits.WEIGHTS)]

    def read(name):
      left[0] -= archive.getinfo(name).file_size
      if left[0] < 0:
        raise ValueError('it unpacks to more than weights do')
      return archive.read(name)

    names = archive.namelist()
    root = next(n for n in names if n.endswith('/data.pkl'))
    root = root.removesuffix('data.pkl')
    order = f'{root}byteorder'
    if order in names and read(order) != b'little':
      raise ValueError('it was written on a big-endian machine')
    pickled = read(f'{root}data.pkl')
    budget = Budget(len(pickled))
    unpickler = _Unpickler(Bounded(io.BytesIO(pickled)), budget)
    content = unpickler.load()
    data = {key: read(f'{root}data/{key}') for key in unpickler.storages}
  return _arrays(content, unpickler.storages, data, budget)


def read_stream(file) -> dict[str, np.ndarray]:
  """A pickle, or PyTorch's stream."""
  file = Bounded(file)
  budget = Budget(file.size)
  return _arrays(*_stream(file, budget), budget)


def _stream(file: Bounded, budget: Budget, nested: bool = False):
  """The content of a pickle or of PyTorch's stream; its storages and bytes.

  The stream: five pickles, then the storages.
  The pickles: a magic number, a version, facts on the machine, the content,
  and the keys of the storages in their order. A storage is its count, 8 bytes,
  and its numbers.
  """
  load = lambda: _Unpickler(file, budget, nested).load()
  content = load()
  if type(content) is not int or content != _MAGIC:
    return content, {}, {}
  load(), load()
  unpickler = _Unpickler(file, budget, nested)
  content = unpickler.load()
  data = {}
  for key in load():
    storage = unpickler.storages[_text(key)]
    count = int.from_bytes(file.read(8), 'little')
    if count != storage.count or key in data:
      raise ValueError(f'storage {key} has another length than announced')
    data[key] = file.read(count * DTYPES[storage.dtype].itemsize)
  return content, unpickler.storages, data


def _arrays(content, storages, data, budget) -> dict[str, np.ndarray]:
  """The arrays in a pickle's content, by name."""
  for key, storage in storages.items():
    if len(data[key]) < storage.count * DTYPES[storage.dtype].itemsize:
      raise ValueError(f'storage {key} is shorter than announced')
  content = tfutil.named(content)
  arrays = {}
  for i, (name, value) in enumerate(_walk(content)):
    if i >= _MAX_ENTRIES:
      raise ValueError(f'it holds more than {_MAX_ENTRIES:,} entries')
    if isinstance(value, _Tensor):
      raw = value.storage.data
      if raw is None and value.storage.key not in data:
        raise ValueError('the numbers of a tensor are missing')
      array = _view(value, data[value.storage.key] if raw is None else raw)
    elif isinstance(value, _Array):
      array = value.resolve(budget)
    elif isinstance(value, np.number):
      array = np.asarray(value)
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
  # Strides of 0 show one number many times over.
  if math.prod(shape) * size > max(len(raw), _SPREAD):
    raise ValueError('a tensor is larger than its storage')
  return np.ndarray(
    shape, dtype, raw, offset * size, [s * size for s in strides]
  )


def _walk(value, name: str = '', depth: int = 0) -> Iterator[tuple[str, Any]]:
  """(name with dots, value) of everything in nested dictionaries and lists."""
  yield name, value
  items = ()
  if isinstance(value, tfutil.Network):
    items = value.content.items()
  elif isinstance(value, dict | persistence.Module):
    items = value.items()
  elif type(value) in (list, tuple):
    items = enumerate(value)
  if items and depth >= _MAX_DEPTH:
    raise ValueError(f'it is nested more than {_MAX_DEPTH} deep')
  for key, inner in items:
    longer = f'{name}.{key}' if name else str(key)
    if len(longer) > _MAX_NAME:
      raise ValueError(f'a name in it has more than {_MAX_NAME:,} characters')
    yield from _walk(inner, longer, depth + 1)
