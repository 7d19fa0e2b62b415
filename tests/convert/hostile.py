"""Files that want more than they are worth: for hostile_test.py.

  python tests/convert/hostile.py write FOLDER
  python tests/convert/hostile.py read FOLDER

The second reads each with a limit on the memory of the process, and prints one
line of JSON: by name [sentence or traceback, seconds, MiB more at the peak].
"""

import gzip
import io
import json
import lzma
import pathlib
import pickle
import resource
import struct
import sys
import time
import traceback
import zipfile

MORE = 700 * 2**20  # bytes that may be asked for beside what imports took
NESTED = b')' + b'2\x86' * 60  # a tuple of 2**60 leaves, in 121 bytes
DEEP = b')' + b'\x85' * 100_000
MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
ENCODE = b'c_codecs\nencode\n'
SIZE = b'ctorch\nSize\n'
FLOATS = b'ctorch\nFloatStorage\n'


def text(value: str) -> bytes:
  raw = value.encode()
  return b'X' + struct.pack('<I', len(raw)) + raw


def storage(key: bytes, count: bytes) -> bytes:
  """A persistent id; key and count are opcodes."""
  return b'(' + text('storage') + FLOATS + key + text('cpu') + count + b'tQ'


def tensor(offset: bytes, shape: bytes, strides: bytes) -> bytes:
  own = storage(text('k'), b'K\x01')
  call = b'ctorch._utils\n_rebuild_tensor_v2\n('
  return call + own + offset + shape + strides + b'\x89}tR'


def number(value: int) -> bytes:
  raw = value.to_bytes(value.bit_length() // 8 + 1, 'little', signed=True)
  return b'\x8b' + struct.pack('<i', len(raw)) + raw


def module(parts: bytes) -> bytes:
  """A module of StyleGAN's; `parts` are opcodes of a dictionary."""
  call = b'ctorch_utils.persistence\n_reconstruct_persistent_obj\n('
  return call + b'}' + text('state') + b'}' + text('_modules') + parts + b'sstR'


def pickles():
  """By name the opcodes of pickles without head and end."""
  huge, wide = (1 << 8_000_000) - 1, 1 << 40
  array = (
    b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85'
    b'U\x01btR(K\x01' + number(wide) + b'\x85cnumpy\ndtype\n('
  )
  layers = b']q\x00('
  for k in range(8):
    layers += b'h' + bytes([k]) + b'2' * 900 + b'lq' + bytes([k + 1]) + b'('
  modules = b'Nq\x00'
  for k in range(8):
    parts = b''.join(text(c) + b'h' + bytes([k]) for c in 'abcdefghij')
    modules += module(b'}(' + parts + b'u') + b'q' + bytes([k + 1])
  return {
    'modules': modules,
    'module-in-itself': b'}q\x00' + module(b'h\x00') + b'q\x01h\x00'
    + text('a') + b'h\x01s0',
    'module-state': module(NESTED),
    'set-of-text': b'cbuiltins\nset\n' + text('a' * 1000) + b'\x85R',
    'memo': b']r\xff\xff\xff\x0f',
    'memo-largest': b']r\xff\xff\xff\xff',
    'memo-in-words': b']p99999999999\n',
    'frame': b'\x95' + struct.pack('<Q', 2**62) + b'N',
    'bytes8': b'\x8e' + struct.pack('<Q', 2**62),
    'bytes8-2gb': b'\x8e' + struct.pack('<Q', 2**31),
    'text8': b'\x8d' + struct.pack('<Q', 2**34),
    'bytearray8': b'\x96' + struct.pack('<Q', 2**34),
    'bytes4': b'B\xff\xff\xff\xff',
    'text4': b'X\xff\xff\xff\xff',
    'string4': b'T\xff\xff\xff\x7f',
    'long4': b'\x8b\xff\xff\xff\x7f',
    'long-in-words': b'L' + b'9' * 5000 + b'L\n',
    'int-in-words': b'I' + b'9' * 5000 + b'\n',
    'key': b'}' + NESTED + b'Ns',
    'keys': b'}(' + NESTED + b'Nu',
    'key-dict': b'(' + NESTED + b'Nd',
    'key-deep': b'}' + DEEP + b'Ns',
    'key-list': b'}]Ns',
    'set': b'\x8f(' + NESTED + b'\x90',
    'frozenset': b'(' + NESTED + b'\x91',
    'set-deep': b'\x8f(' + DEEP + b'\x90',
    'ordered': b'ccollections\nOrderedDict\n(]' + NESTED + b'N\x86atR',
    'pid': NESTED + b'Q',
    'pid-key': storage(NESTED, b'K\x01'),
    'pid-key-deep': storage(DEEP, b'K\x01'),
    'pid-type': b'(' + text('storage') + NESTED + b'NNK\x01tQ',
    'pid-count': storage(text('k'), number(wide)),
    'dtype': b'cnumpy\ndtype\n' + NESTED + b'\x85R',
    'dtype-state': b'cnumpy\ndtype\n(U\x02f4tR(K\x03' + NESTED + b'tb',
    'tensor-type': b'ctorch._utils\n_rebuild_tensor_v3\n('
    + storage(text('k'), b'K\x01')
    + b'K\x00))\x89}'
    + NESTED
    + b'tR',
    'tensor-huge': tensor(b'K\x00', number(huge) + b'\x85', b'K\x01\x85'),
    'tensor-wide': tensor(b'K\x00', number(wide) + b'\x85', b'K\x00\x85'),
    'tensor-nested': tensor(b'K\x00', NESTED, NESTED),
    'tensor-empty': tensor(
      b'K\x00', number(wide) * 3 + b'K\x00' + b't'.replace(b't', b'\x87'), b')'
    ),
    'array-wide': array + b'U\x02f4tR\x89U\x04abcdtb',
    'doubled': NESTED,
    'deep': DEEP,
    'deep-lists': b']' * 150_000 + b'a' * 149_999,
    'layers': layers + b'l',
    'copies': b']q\x00(' + b'K\x01' * 100_000 + b'e0'
    + (SIZE + b'h\x00\x85R0') * 20_000 + b'N',
    'encodes': text('a' * 1_000_000) + b'q\x00U\x06latin1q\x010'
    + (ENCODE + b'(h\x00h\x01tR') * 20_000 + b'N',
    'names': b']q\x00(' + (b'}' + text('a' * 4000) + b']ss') * 2 + b'l',
    'streams': b'ctorch.storage\n_load_from_bytes\nB\x04\x00\x00\x00\x80\x02N.'
    b'\x85R',
    'nothings': b'N0' * 400_000 + b'N',
    'marks': b'(' * 600_000 + b'N',
    'instance': b'(iposix\nsystem\n',
    'extension': b'\x82\x01',
    'buffer': b'\x97',
    'new': b'ccollections\nOrderedDict\n)\x81',
  }  # fmt: skip


def zipped(method=zipfile.ZIP_DEFLATED, **members) -> bytes:
  stream = io.BytesIO()
  with zipfile.ZipFile(stream, 'w', method) as archive:
    for name, data in members.items():
      archive.writestr(name.replace('__', '/'), data)
  return stream.getvalue()


def npy(shape: str, body: bytes = b'', kind: str = "'<f4'") -> bytes:
  head = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}}}"
  head = head.encode().ljust(117) + b'\n'
  return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(head)) + head + body


def safetensors(header: bytes, body: bytes = b'abcd') -> bytes:
  return struct.pack('<Q', len(header)) + header + body


def one(shape: str, offsets: str = '[0, 4]') -> bytes:
  entry = f'{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}'
  return safetensors(f'{{"x":{entry}}}'.encode())


def varint(value: int) -> bytes:
  out = b''
  while value > 127:
    out, value = out + bytes([value & 127 | 128]), value >> 7
  return out + bytes([value])


def field(number: int, data) -> bytes:
  if isinstance(data, int):
    return varint(number << 3) + varint(data)
  return varint(number << 3 | 2) + varint(len(data)) + data


def onnx(tensor: bytes) -> bytes:
  return field(1, 8) + field(7, field(5, tensor))


def files() -> dict[str, bytes]:
  """The hostile files by name."""
  made = {f'{k}.pkl': b'\x80\x04' + v + b'.' for k, v in pickles().items()}
  for name, body in pickles().items():
    if name in ('pid-count', 'tensor-wide', 'tensor-huge', 'tensor-empty'):
      body = b'\x80\x02}' + text('x') + body + b's.'
      made[f'{name}.pth'] = zipped(x__data__k=b'abcd', **{'x__data.pkl': body})
      made[f'{name}.legacy'] = (
        MAGIC + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + body
        + pickle.dumps(['k'], 2) + struct.pack('<Q', 2**40)
      )  # fmt: skip
  zeros = bytes(80 * 2**20)
  good = b'\x80\x02}' + text('x') + storage(text('k'), b'K\x01') + b's.'
  bomb = zipped(**{'x__data.pkl': good, 'x__data__k': zeros})
  made['bomb.pth'] = bomb
  made['bomb-pickle.pth'] = zipped(**{'x__data.pkl': zeros})
  made['bomb-order.pth'] = zipped(x__byteorder=zeros, **{'x__data.pkl': good})
  made['bomb.npz'] = zipped(**{'x.npy': npy(f'({20 * 2**20},)', zeros)})
  many = npy(f'({2 * 2**20},)', bytes(8 * 2**20))
  made['many.npz'] = zipped(**{f'{k}.npy': many for k in range(12)})
  for k, shape in enumerate(
    ('(10**12,)', '(1000000000000,)', '(99999999999,) * 9', '(-1,)', '(0,-5)',
     '(' + '2,' * 60 + ')', '(1' + '0' * 60 + ',)', '3', '(True,)', '(1.5,)')
  ):  # fmt: skip
    made[f'shape-{k}.npz'] = zipped(**{'x.npy': npy(shape, b'abcd')})
  for k, kind in enumerate(
    ("'|O'", "'<U999999999'", "[('a', '<f4')]", "('<f4', (9999, 9999))", '3')
  ):
    made[f'kind-{k}.npz'] = zipped(**{'x.npy': npy('(1,)', b'abcd', kind)})
  lying = bytearray(
    zipped(zipfile.ZIP_STORED, **{'x.npy': npy('(1,)', b'abcd')})
  )
  place = lying.index(b'PK\x01\x02')
  lying[place + 20 : place + 28] = struct.pack('<II', 2**32 - 2, 2**32 - 2)
  made['lying.npz'] = bytes(lying)
  for k, shape in enumerate(
    ('[1000000000000]', '[-1,-1]', '[1e3]', f'[{"9" * 5000}]', '[true]', '"ab"',
     f'[{"9" * 4000}{("," + "9" * 4000) * 500}]', f'[{"1," * 99}1]', '{}')
  ):  # fmt: skip
    made[f'shape-{k}.safetensors'] = one(shape)
  for k, offsets in enumerate(
    ('[0, 1000000000000]', '[-4, 0]', '[4, 0]', '[0]', '4', '[0.0, 4.0]')
  ):
    made[f'offsets-{k}.safetensors'] = one('[1]', offsets)
  made['deep.safetensors'] = safetensors(b'{"x":' + b'[' * 2_000_000)
  made['lists.safetensors'] = safetensors(b'{"x":[' + b'[],' * 9_000_000)
  made['header.safetensors'] = struct.pack('<Q', 2**40) + b'{"x":1}'
  made['double.safetensors'] = safetensors(b'{"x":1,"x":2}')
  float_type = field(2, 1)
  made['dims.onnx'] = onnx(field(1, 2**40) + float_type + field(9, b'abcd'))
  made['dims-many.onnx'] = onnx(field(1, b'\x01' * 9_000_000) + float_type)
  made['int64.onnx'] = onnx(field(2, 7) + field(7, b'\x01' * 9_000_000))
  made['fields.onnx'] = field(1, 8) + b'\x10\x01' * 600_000
  made['parts.onnx'] = onnx(field(2, 7) + b'\x38\x01' * 600_000)
  made['length.onnx'] = b'\x08\x08\x3a' + varint(2**62) + b'a'
  made['varint.onnx'] = b'\x08' + b'\xff' * 1000
  made['number.onnx'] = b'\x08\x08\x38\x01'
  return made


def data_sets() -> dict[str, bytes]:
  """Hostile files by name, whose suffix is the source that shall open them."""
  head = b'\0\0\x08'
  zeros = bytes(80 * 2**20)
  bomb = npy('(80,1024,1024)', zeros, "'|u1'")
  return {
    'set.npz': zipped(**{'image.npy': bomb}),
    'wide.npz': zipped(
      **{'image.npy': npy('(9,99999,99999,3)', b'a', "'|u1'")}
    ),
    'label.npz': zipped(
      **{
        'image.npy': npy('(1,2,2)', b'abcd', "'|u1'"),
        'label.npy': npy('(10000000000,)', b'a', "'|u1'"),
      }
    ),
    'wide.idx': head + b'\3' + struct.pack('>III', *[2**32 - 1] * 3),
    'axes.idx': head + b'\xff' + b'\xff' * 2000,
    'bomb.idx': gzip.compress(
      head + b'\3' + struct.pack('>III', 80, 1024, 1024) + zeros, 9
    ),
    'behind.idx': gzip.compress(
      head + b'\3' + struct.pack('>III', 1, 1, 1) + zeros, 9
    ),
    'line.text': b'a' * (50 * 2**20),
    'words.text': b'a ' * (25 * 2**20),
    'bomb.text.gz': gzip.compress(b'a' * 99 + zeros, 1),
    'bomb.text.xz': lzma.compress(b'a' * (200 * 2**20), preset=0),
    'lines.text.gz': gzip.compress((b'a' * 1000 + b'\n') * 200_000, 6),
  }


def write(folder: pathlib.Path):
  for kind, made in (('weights', files()), ('data', data_sets())):
    (folder / kind).mkdir()
    for name, content in made.items():
      (folder / kind / name).write_bytes(content)


def read(folder: pathlib.Path):
  from gan_jax import data
  from gan_jax.config import defaults
  from gan_jax.convert import files as reader
  from gan_jax.errors import UserError

  def open_data(path):
    section = defaults().data
    kind = path.name.split('.')[1]
    section.update(source=f'{kind}:{path}', max_bad=0.0)
    data.open_source(section)

  paths = sorted(folder.rglob('*.*'))
  size = int(pathlib.Path('/proc/self/statm').read_text().split()[0])
  limit = size * resource.getpagesize() + MORE
  resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
  peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10
  told, before = {}, peak()
  for path in paths:
    start = time.monotonic()
    try:
      (reader.read if path.parent.name == 'weights' else open_data)(path)
      said = 'it was read'
    except UserError as error:
      said = f'UserError: {error}'
    except BaseException:
      said = traceback.format_exc()
    took = time.monotonic() - start
    told[str(path.relative_to(folder))] = said, took, peak() - before
  print(json.dumps(told))


if __name__ == '__main__':
  {'read': read, 'write': write}[sys.argv[1]](pathlib.Path(sys.argv[2]))
