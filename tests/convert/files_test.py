"""Files of every format are read, and nothing that they hold is run."""

import io
import json
import math
import os
import pathlib
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax.convert import files, pickles
from gan_jax.errors import UserError
from tests.golden import rule

GOLDEN = rule.FOLDER
COUNT = np.arange(6.0, dtype=np.float32).reshape(2, 3)

# What tests/golden/torch_files.py put into each of three files.
TENSORS = {
  'weight': np.float32([1, 1, 1]),
  'bias': np.float32([2, 2, 2]),
  'running_mean': np.float32([3, 3, 3]),
  'running_var': np.float32([4, 4, 4]),
  'num_batches_tracked': np.int64(5),
}
TENSORS = {f'0.{k}': v for k, v in TENSORS.items()} | {
  'plain': COUNT,
  'transposed': COUNT.T,
  'part': np.float32([4, 5]),
  'spread': np.zeros(4, np.float32),
  'scalar': np.float32(7),
  'empty': np.zeros((0, 3), np.float32),
  'parameter': COUNT + 1,
  'bfloat16': COUNT.astype(ml_dtypes.bfloat16),
  'float16': COUNT.astype(np.float16),
  'float64': COUNT.astype(np.float64),
  'int64': COUNT.astype(np.int64),
  'uint8': COUNT.astype(np.uint8),
  'bool': COUNT.astype(bool),
}
EXPECTED = {f'g_ema.{k}': v for k, v in TENSORS.items()}
EXPECTED['optim.0.moments.m'] = COUNT


def assert_same(found, expected):
  assert set(found) == set(expected)
  for name, array in expected.items():
    assert found[name].dtype == array.dtype, name
    np.testing.assert_array_equal(found[name], array, name)


def write(path, content):
  path.write_bytes(content)
  return path


def refused(path):
  """The one sentence that a file is refused with."""
  with pytest.raises(UserError) as error:
    files.read(path)
  said = str(error.value)
  assert said.startswith(str(path)) and '\n' not in said
  return said


# Files that PyTorch wrote.


@pytest.mark.parametrize(
  'name', ['torch_zip.pth', 'torch_legacy.pth', 'torch_pickle.pkl']
)
def test_what_pytorch_wrote(name, tmp_path):
  assert_same(files.read(GOLDEN / name), EXPECTED)
  # The content tells the format, not the name.
  other = write(tmp_path / 'weights.bin', (GOLDEN / name).read_bytes())
  assert_same(files.read(other), EXPECTED)


def test_types_that_have_no_storage_of_their_own():
  three = np.arange(3.0)
  expected = {
    'uint16': three.astype(np.uint16),
    'float8_e4m3fn': three.astype(ml_dtypes.float8_e4m3fn),
    'float8_e5m2': three.astype(ml_dtypes.float8_e5m2),
  }
  assert_same(files.read(GOLDEN / 'torch_zip_types.pth'), expected)


def test_a_whole_module_is_refused_by_name():
  said = refused(GOLDEN / 'torch_module.pth')
  assert 'wants to run torch.nn.modules.linear.Linear: refused' in said
  assert 'save the state dict' in said


# Other formats, written here.


def safetensors(arrays, codes):
  """The format's own description, as bytes."""
  header, data = {'__metadata__': {'format': 'pt'}}, b''
  for name, array in arrays.items():
    raw = array.tobytes()
    header[name] = {
      'dtype': codes[array.dtype.name],
      'shape': list(array.shape),
      'data_offsets': [len(data), len(data) + len(raw)],
    }
    data += raw
  text = json.dumps(header).encode()
  text += b' ' * (-len(text) % 8)
  return len(text).to_bytes(8, 'little') + text + data


CODES = {
  'float64': 'F64',
  'float32': 'F32',
  'float16': 'F16',
  'bfloat16': 'BF16',
  'int64': 'I64',
  'int8': 'I8',
  'uint16': 'U16',
  'bool': 'BOOL',
}


@st.composite
def tables(draw):
  """Arrays of any type and shape, by name."""
  names = draw(st.lists(st.text(max_size=8), min_size=1, unique=True))
  arrays = {}
  for i, name in enumerate(names):
    shape = draw(st.lists(st.integers(0, 3), max_size=4))
    values = np.random.default_rng(i).integers(0, 100, shape)
    dtype = draw(st.sampled_from(sorted(CODES)))
    dtype = ml_dtypes.bfloat16 if dtype == 'bfloat16' else dtype
    arrays[name] = values.astype(dtype)
  arrays.pop('__metadata__', None)
  return arrays or {'x': COUNT}


@settings(deadline=None, max_examples=60)
@given(tables())
def test_safetensors(tmp_path_factory, arrays):
  path = tmp_path_factory.mktemp('safetensors') / 'x.safetensors'
  assert_same(files.read(write(path, safetensors(arrays, CODES))), arrays)


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
  values = np.float32([1.5, -3.25, 2.0**60, 0.0])
  halves = (values.view(np.uint32) >> 16).astype(np.uint16)
  content = safetensors({'x': halves}, {'uint16': 'BF16'})
  found = files.read(write(tmp_path / 'x', content))['x']
  np.testing.assert_array_equal(found.astype(np.float32), values)


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
  arrays = {'a.b': COUNT, 'c': np.int32(3)}
  save(tmp_path / 'x.npz', **arrays)
  assert_same(files.read(tmp_path / 'x.npz'), arrays)


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_a_pickle_of_arrays(tmp_path, protocol):
  arrays = {
    'c': COUNT,
    'f': np.asfortranarray(COUNT),
    'big': COUNT.astype('>f8'),
    'scalar': np.float64(2.5),
    'none': np.zeros((2, 0), np.float32),
  }
  other = {'text': np.array(['a']), 'objects': np.array([None]), 'n': 3}
  content = pickle.dumps({'nets': [arrays | other]}, protocol)
  found = files.read(write(tmp_path / 'x.pkl', content))
  expected = {f'nets.0.{k}': v for k, v in arrays.items()}
  expected['nets.0.big'] = COUNT.astype(np.float64)
  assert_same(found, expected)


def test_a_pickle_of_python_2(tmp_path):
  """Bytes are text there; NumPy was numpy.core."""
  content = (
    b'\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n'
    b'K\x00\x85U\x01btR(K\x01K\x02\x85cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03'
    b'U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08'
    + np.float32([1.5, -2.0]).tobytes()
    + b'tbs.'
  )
  found = files.read(write(tmp_path / 'x.pkl', content))
  assert_same(found, {'a': np.float32([1.5, -2.0])})


# Pickles put together by hand.


class Name(tuple):
  """Names a function: (module, name)."""


class Stored(tuple):
  """A persistent id."""


def assemble(value):
  """The opcodes that put a value on a pickle's stack."""
  if isinstance(value, Name):
    return b'c%s\n%s\n' % tuple(x.encode() for x in value)
  if isinstance(value, tuple):
    end = b'tQ' if isinstance(value, Stored) else b't'
    return b'(' + b''.join(map(assemble, value)) + end
  if isinstance(value, bool):
    return b'\x88' if value else b'\x89'
  if isinstance(value, int):
    return b'I%d\n' % value
  if isinstance(value, bytes):
    return b'B' + len(value).to_bytes(4, 'little') + value
  raw = value.encode()
  return b'X' + len(raw).to_bytes(4, 'little') + raw


def call(function, *args):
  """The opcodes of a call."""
  return assemble(Name(function)) + assemble(args) + b'R'


def zipped(pickled, **storages):
  """The bytes of PyTorch's zip."""
  stream = io.BytesIO()
  with zipfile.ZipFile(stream, 'w') as archive:
    archive.writestr('x/data.pkl', b'\x80\x02' + pickled + b'.')
    archive.writestr('x/byteorder', 'little')
    for key, data in storages.items():
      archive.writestr(f'x/data/{key}', data)
  return stream.getvalue()


REBUILD = ('torch._utils', '_rebuild_tensor_v2')


def one_tensor(numbers, offset, shape, strides):
  """A zip of {'x': a view of `numbers`}."""
  storage = Stored(
    ('storage', Name(('torch', 'FloatStorage')), 'k', 'cpu', len(numbers))
  )
  tensor = call(REBUILD, storage, offset, shape, strides, False, ())
  return zipped(b'}' + assemble('x') + tensor + b's', k=numbers.tobytes())


@settings(deadline=None, max_examples=80)
@given(
  st.integers(0, 30),
  st.integers(0, 6),
  st.lists(st.tuples(st.integers(0, 4), st.integers(0, 7)), max_size=4),
)
def test_a_view_has_its_numbers_or_is_refused(
  tmp_path_factory, count, offset, dims
):
  """Element i of a view is number offset + i . strides of its storage."""
  shape, strides = tuple(n for n, _ in dims), tuple(s for _, s in dims)
  numbers = np.arange(count, dtype=np.float32) + 1
  path = tmp_path_factory.mktemp('views') / 'x.pth'
  write(path, one_tensor(numbers, offset, shape, strides))
  index = np.indices(shape).reshape(len(shape), math.prod(shape))
  places = offset + np.asarray(strides, int) @ index
  if np.size(places) and np.max(places) >= count:
    assert 'damaged' in refused(path)
  elif np.size(places):
    found = files.read(path)['x']
    np.testing.assert_array_equal(found, numbers[places].reshape(shape))


def test_strides_and_offsets_below_0_are_refused(tmp_path):
  numbers = np.arange(8, dtype=np.float32)
  for offset, stride in ((0, -1), (-1, 1)):
    content = one_tensor(numbers, offset, (4,), (stride,))
    assert 'damaged' in refused(write(tmp_path / 'x.pth', content))


EVIL = [
  ('os', 'system'),
  ('posix', 'system'),
  ('builtins', 'eval'),
  ('__builtin__', 'getattr'),
  ('numpy', 'load'),
  ('torch', 'load'),
  ('torch.hub', 'load'),
  ('numpy.core.multiarray', 'fromfile'),
  ('collections', 'OrderedDict.fromkeys'),
]


@pytest.mark.parametrize('name', EVIL, ids='.'.join)
def test_a_call_that_is_not_allowed_is_refused_by_name(tmp_path, name):
  evil = call(name, 'x')
  legacy = b''.join(
    b'\x80\x02' + x + b'.'
    for x in (pickle.dumps(pickles._MAGIC, 2)[2:-1], b'I1001\n', b'}', evil)
  )
  inside = call(('torch.storage', '_load_from_bytes'), legacy)
  for content in (
    b'\x80\x02' + evil + b'.',
    zipped(evil),
    zipped(b'}' + assemble('x') + evil + b's'),
    legacy,
    b'\x80\x03' + inside + b'.',
  ):
    said = refused(write(tmp_path / 'x.pth', content))
    assert f'wants to run {".".join(name)}: refused' in said


class Evil:
  """Pickled, it leaves a file behind where it is executed."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_nothing_is_executed(tmp_path, protocol):
  mark = tmp_path / 'executed'
  content = pickle.dumps({'x': COUNT, 'y': Evil(mark)}, protocol)
  assert f'wants to run {os.name}.mkdir: refused' in refused(
    write(tmp_path / 'x.pkl', content)
  )
  np.savez(tmp_path / 'x.npz', x=np.array([Evil(mark)], object))
  assert 'holds Python objects: refused' in refused(tmp_path / 'x.npz')
  assert not mark.exists()
  pickle.loads(content)  # that it would have been
  assert mark.exists()


def test_a_pickle_changes_nothing_of_ours(tmp_path):
  """BUILD may set attributes of what a pickle has named."""
  state = b'(N}' + assemble('left') + assemble(1) + b'stb'
  for name in pickles.ALLOWED:
    content = b'\x80\x02' + assemble(Name(name)) + state + b'.'
    refused(write(tmp_path / 'x.pkl', content))  # no arrays, or no attributes
    assert not hasattr(pickles.ALLOWED[name], 'left')


def test_what_contains_itself_ends(tmp_path):
  loop = {}
  loop['x'] = loop
  said = refused(write(tmp_path / 'x.pkl', pickle.dumps(loop)))
  assert 'nested more than' in said


# Mistakes.


@pytest.fixture(scope='module')
def formats(tmp_path_factory):
  """One whole file of each format."""
  folder = tmp_path_factory.mktemp('formats')
  np.savez(folder / 'x.npz', a=COUNT, b=COUNT)
  write(folder / 'x.safetensors', safetensors({'a': COUNT}, CODES))
  write(folder / 'x.pkl', pickle.dumps({'a': COUNT}))
  # A model: its version; its graph, of one initialiser of 2 x 3 floats.
  raw = b'\x08\x02\x08\x03\x10\x01\x42\x01a\x4a\x18' + COUNT.tobytes()
  graph = b'\x2a' + bytes([len(raw)]) + raw
  write(folder / 'x.onnx', b'\x08\x08\x3a' + bytes([len(graph)]) + graph)
  return [
    *folder.iterdir(),
    GOLDEN / 'torch_zip.pth',
    GOLDEN / 'torch_legacy.pth',
  ]


def test_a_file_cut_anywhere_is_refused(formats, tmp_path):
  for path in formats:
    content = path.read_bytes()
    for size in {*range(0, len(content), 1 + len(content) // 60)}:
      refused(write(tmp_path / 'cut', content[:size]))


def test_a_damaged_zip_is_refused(tmp_path):
  """Its checksums see a single bit."""
  content = bytearray(one_tensor(np.arange(8, dtype=np.float32), 0, (8,), (1,)))
  place = content.index(np.float32([1, 2, 3]).tobytes())
  content[place] ^= 1
  assert 'damaged' in refused(write(tmp_path / 'x.pth', bytes(content)))


@settings(deadline=None, max_examples=800)
@given(
  st.integers(0, 5),
  st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 255)),
    min_size=1,
    max_size=3,
  ),
)
def test_damage_never_ends_in_a_traceback(
  formats, tmp_path_factory, k, changes
):
  content = bytearray(formats[k % len(formats)].read_bytes())
  for place, value in changes:
    content[place % len(content)] = value
  path = tmp_path_factory.mktemp('flip') / 'x.onnx'
  try:
    files.read(write(path, bytes(content)))
  except UserError as error:
    assert '\n' not in str(error)


@pytest.mark.parametrize(
  'content, words',
  [
    (b'', 'is none of .npz'),
    (b'<!DOCTYPE html>', 'web page'),
    (b'version https://git-lfs.github.com/spec/v1', 'Git LFS pointer'),
    (pickle.dumps({'epoch': 3}), 'holds no arrays'),
    (safetensors({}, CODES), 'holds no arrays'),
  ],
)
def test_no_arrays(tmp_path, content, words):
  assert words in refused(write(tmp_path / 'x', content))


def test_no_such_file(tmp_path):
  assert 'there is no such file' in refused(tmp_path / 'x.pth')
  assert 'is a folder, not a file' in refused(tmp_path)
  os.mkfifo(tmp_path / 'pipe')
  assert 'is a pipe or a device' in refused(tmp_path / 'pipe')
  (tmp_path / 'sparse').touch()
  os.truncate(tmp_path / 'sparse', 2**40)
  assert 'has 1,024.0 GiB' in refused(tmp_path / 'sparse')


def test_two_arrays_of_one_name_are_refused(tmp_path):
  content = pickle.dumps({'a': {'b': COUNT}, 'a.b': COUNT})
  assert 'two arrays are called a.b' in refused(write(tmp_path / 'x', content))


def test_reading_needs_no_pytorch():
  folder = pathlib.Path(files.__file__).parent
  for file in folder.glob('*.py'):
    assert 'import torch' not in file.read_text()
