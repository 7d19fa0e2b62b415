"""ONNX: what PyTorch's exporter wrote, and messages written by hand."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax.convert import files
from gan_jax.errors import UserError
from tests.golden import rule

GOLDEN = rule.FOLDER / 'torch_onnx.onnx'


def counted(*shape, start=0):
  return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 8 + start


def test_what_pytorchs_exporter_wrote():
  """tests/golden/torch_files.py:onnx; names are the state dict's."""
  found = files.read(GOLDEN)
  expected = {
    'features.0.weight': counted(2, 1, 3, 3),
    'features.0.bias': counted(2, start=1),
    'features.2.weight': counted(1, 2, 1, 1, start=2),
    'features.2.bias': counted(1, start=3),
    'fc.weight': counted(2, 4, start=4),
    'fc.bias': counted(2, start=5),
  }
  assert set(found) == set(expected)
  for name, array in expected.items():
    np.testing.assert_array_equal(found[name], array)


# Protocol Buffers' wire format, written from its specification.


def varint(n):
  out = b''
  while n > 127:
    out, n = out + bytes([n & 127 | 128]), n >> 7
  return out + bytes([n])


def number(field, n):
  return varint(field << 3) + varint(n)


def text(field, content):
  return varint(field << 3 | 2) + varint(len(content)) + content


def model(*tensors):
  """ir_version 8, a string, a graph of a node and initialisers."""
  graph = text(1, b'a node') + b''.join(text(5, t) for t in tensors)
  return number(1, 8) + text(2, b'by hand') + text(7, graph)


def tensor(name, shape, kind, data, packed=True):
  dims = b''.join(map(varint, shape))
  dims = text(1, dims) if packed else b''.join(number(1, n) for n in shape)
  return dims + number(2, kind) + data + text(8, name.encode())


def write(path, content):
  path.write_bytes(content)
  return path


def test_the_fields_that_values_can_lie_in(tmp_path):
  file = write(
    tmp_path / 'm.onnx',
    model(
      tensor('raw', [2, 300], 1, text(9, counted(2, 300).tobytes())),
      tensor('raw16', [3], 10, text(9, np.float16([1, 2, 3]).tobytes()), False),
      tensor('floats', [2], 1, text(4, struct.pack('<2f', 1.5, -2))),
      tensor('double', [1], 11, text(10, struct.pack('<d', 0.1))),
      tensor('ints', [2], 7, text(7, varint(5) + varint(2**64 - 1))),
      tensor('int', [], 7, number(7, 300)),
    ),
  )
  found = files.read(file)
  expected = {
    'raw': counted(2, 300),
    'raw16': np.float16([1, 2, 3]),
    'floats': np.float32([1.5, -2]),
    'double': np.float64([0.1]),
    'ints': np.int64([5, -1]),
    'int': np.int64(300),
  }
  assert set(found) == set(expected)
  for name, array in expected.items():
    assert found[name].dtype == array.dtype, name
    np.testing.assert_array_equal(found[name], array, name)


def test_arrays_in_a_second_file_are_refused(tmp_path):
  outside = tensor('w', [2], 1, number(14, 1))
  with pytest.raises(UserError, match='second file: save the model as one'):
    files.read(write(tmp_path / 'm.onnx', model(outside)))


@settings(deadline=None, max_examples=60)
@given(cut=st.integers(0, 1134), flip=st.integers(0, 1134))
def test_damage_is_one_sentence(cut, flip, tmp_path_factory):
  content = bytearray(GOLDEN.read_bytes())
  content[flip] ^= 0x81
  path = tmp_path_factory.mktemp('onnx') / 'm.onnx'
  for damaged in (content, content[:cut]):
    try:
      found = files.read(write(path, bytes(damaged)))
    except UserError as error:
      assert str(error).startswith(str(path)) and '\n' not in str(error)
    else:
      assert all(isinstance(x, np.ndarray) for x in found.values())
