"""The weights of an ONNX file: the initialisers of its graph, nothing else.

ONNX files are messages in Protocol Buffers' wire format. A message is a row of
fields; a field is a key, number * 8 + type, and a value: a varint (type 0), 8
bytes (1), a length and so many bytes (2), or 4 bytes (5). The numbers of the
few fields that are read here are those of onnx.proto3.

An exporter that folds batch norms into convolutions gives the results numbers
for names; such files are read, and refused for the names they lack.
"""

import ml_dtypes
import numpy as np

from gan_jax import limits
from gan_jax.errors import UserError

# TensorProto.DataType.
TYPES = {
  1: np.float32,
  2: np.uint8,
  3: np.int8,
  4: np.uint16,
  5: np.int16,
  6: np.int32,
  7: np.int64,
  9: np.bool_,
  10: np.float16,
  11: np.float64,
  12: np.uint32,
  13: np.uint64,
  16: ml_dtypes.bfloat16,
}
_GRAPH, _INITIALIZER = 7, 5  # of ModelProto; of GraphProto
_DIMS, _TYPE, _FLOATS, _INT64S, _NAME, _RAW, _DOUBLES = 1, 2, 4, 7, 8, 9, 10
_LOCATION = 14  # 1: the data lie in another file


def read(file) -> dict[str, np.ndarray]:
  """The initialisers of an open file, by name.

  Raises:
    UserError: if the arrays lie in a second file.
    ValueError: if the bytes are no ONNX model.
  """
  arrays, fields = {}, _Fields()
  for number, graph in fields(memoryview(file.read())):
    if number == _GRAPH:
      for inner, tensor in fields(_bytes(graph)):
        if inner == _INITIALIZER:
          name, array = _tensor(_bytes(tensor), fields)
          if name in arrays:
            raise ValueError(f'two arrays are called {name}')
          arrays[name] = array
  return arrays


def _varint(data, at: int) -> tuple[int, int]:
  """The number that begins at a place, and the place behind it."""
  value = shift = 0
  while True:
    if at >= len(data) or shift > 63:
      raise ValueError('a number has no end')
    byte = data[at]
    value |= (byte & 127) << shift
    at, shift = at + 1, shift + 7
    if byte < 128:
      return value, at


class _Fields:
  """Goes through messages, all of which have so many fields and no more."""

  def __init__(self):
    self._left = limits.RECORDS

  def take(self, count: int) -> None:
    """Counts what is read; ValueError if it is too much."""
    self._left -= count
    if self._left < 0:
      raise ValueError(f'it has more than {limits.RECORDS:,} fields')

  def __call__(self, data):
    """(number, value) of a message's fields: an int, or a view of bytes."""
    at = 0
    while at < len(data):
      self.take(1)
      key, at = _varint(data, at)
      number, kind = key >> 3, key & 7
      if kind == 0:
        value, at = _varint(data, at)
      elif kind in (1, 2, 5):
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
          size, at = _varint(data, at)
        if size > len(data) - at:
          raise ValueError('a field ends behind the file')
        value, at = data[at : at + size], at + size
      else:
        raise ValueError(f'a field of type {kind}')
      yield number, value


def _bytes(value):
  """The value of a field that must be a message or text."""
  if isinstance(value, int):
    raise ValueError('a number stands where bytes should be')
  return value


def _tensor(data, fields: _Fields) -> tuple[str, np.ndarray]:
  """The name and the array of a TensorProto."""
  dims, kind, name, parts = [], 0, '', []
  for number, value in fields(data):
    if number == _DIMS:
      dims += [value] if isinstance(value, int) else _varints(value, fields)
    elif number == _TYPE:
      kind = value
    elif number == _NAME:
      name = bytes(_bytes(value)).decode()
    elif number == _LOCATION and value:
      raise UserError(
        'keeps its arrays in a second file: save the model as one file.'
      )
    elif number in (_FLOATS, _RAW, _DOUBLES):
      parts.append(_bytes(value))
    elif number == _INT64S:
      whole = [value] if isinstance(value, int) else _varints(value, fields)
      parts.append(np.array(whole, np.uint64).tobytes())
  if kind not in TYPES:
    raise ValueError(f'{name} is of a type with the number {kind}')
  flat = np.frombuffer(b''.join(parts), TYPES[kind])
  return name, flat.reshape(dims)


def _varints(data, fields: _Fields) -> list[int]:
  """A packed row of numbers."""
  found, at = [], 0
  fields.take(len(data))
  while at < len(data):
    value, at = _varint(data, at)
    found.append(value)
  return found
