"""Zip archives as packers, systems and accidents leave them."""

import struct
import time
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax.data import files
from gan_jax.data.picture import BadPictureError
from gan_jax.errors import UserError

METHODS = {
  'stored': zipfile.ZIP_STORED,
  'deflate': zipfile.ZIP_DEFLATED,
  'bzip2': zipfile.ZIP_BZIP2,
  'lzma': zipfile.ZIP_LZMA,
}


def pack(path, members, method=zipfile.ZIP_STORED):
  """A zip of (name, bytes), each with the name as it is given."""
  with warnings.catch_warnings(), zipfile.ZipFile(path, 'w') as archive:
    warnings.simplefilter('ignore')  # of a name twice
    for name, data in members:
      info = zipfile.ZipInfo('x')
      info.filename, info.compress_type = name, method
      archive.writestr(info, data)
  return path


def read(path, name, **most):
  with files.Zip(path).reading(name, **most) as data:
    return data


# Names.


@pytest.mark.parametrize(
  'names',
  [
    ['pets\\cat\\1.png', 'pets\\dog\\2.png'],
    ['cat\\1.png', 'dog/2.png'],
    ['/cat/1.png', '/dog/2.png'],
    ['C:\\pets\\cat\\1.png', 'C:\\pets\\dog\\2.png'],
    ['../cat/1.png', '../../dog/2.png'],
    ['..\\..\\cat\\1.png', './dog/./2.png'],
    ['//cat//1.png', 'dog//2.png'],
    ['\\\\server\\cat\\1.png', '\\\\server\\dog\\2.png'],
    ['cat/../cat/1.png', 'dog/2.png'],
  ],
)
def test_names_of_members(names, tmp_path, open_source, encode):
  members = [
    (name, encode(np.full((8, 8), 50 * k, np.uint8)))
    for k, name in enumerate(names)
  ]
  root = tmp_path / 'x'
  root.mkdir()
  pack(root / 'a.zip', members)
  source = open_source(f'folder:{root}/a.zip', resolution=8, conditional=True)
  assert source.classes == ('cat', 'dog')
  for k in range(2):
    image, label = source[k]
    assert image.max() == 50 * k and label == k
  assert [p.name for p in tmp_path.iterdir()] == ['x']  # nothing is unpacked
  assert [p.name for p in root.iterdir()] == ['a.zip']


def test_folders_of_members_are_no_files(tmp_path, encode):
  path = tmp_path / 'a.zip'
  pack(path, [('a\\', b''), ('b/', b''), ('a\\1.png', b'1'), ('/', b'')])
  assert files.Zip(path).listing() == (['a/1.png'], ['a', 'b'])


@pytest.mark.parametrize('first', ['a/1.png', 'a\\1.png', './a/1.png'])
def test_of_two_of_a_name_the_last_counts(first, tmp_path):
  path = pack(tmp_path / 'a.zip', [(first, b'old'), ('a/1.png', b'new')])
  assert files.Zip(path).names() == ['a/1.png']
  assert read(path, 'a/1.png') == b'new'


def test_names_in_utf_8_without_its_mark_and_in_cp437(tmp_path):
  path = pack(tmp_path / 'a.zip', [('Käfer/1.png', b''), ('Löwe/2.png', b'')])
  assert files.Zip(path).names() == ['Käfer/1.png', 'Löwe/2.png']
  data = path.read_bytes()
  marks = [i for i in range(len(data)) if data[i : i + 4] == b'PK\3\4']
  heads = [i for i in range(len(data)) if data[i : i + 4] == b'PK\1\2']
  for at in [*(m + 6 for m in marks), *(h + 8 for h in heads)]:
    data = data[:at] + b'\0\0' + data[at + 2 :]
  path.write_bytes(data)
  assert files.Zip(path).names() == ['Käfer/1.png', 'Löwe/2.png']
  wrong = data.replace('ä'.encode(), 'ä'.encode('cp437') + b'h')
  path.write_bytes(wrong.replace('ö'.encode(), 'ö'.encode('cp437') + b'h'))
  assert files.Zip(path).names() == ['Kähfer/1.png', 'Löhwe/2.png']


# What systems leave.

SYSTEM = (
  """
  @eaDir/cat/1.png/SYNOPHOTO_THUMB_M.jpg .thumbnails/1.png cat/.thumbnails/1.png
  #recycle/1.png $RECYCLE.BIN/1.png $Recycle.Bin/1.png __MACOSX/cat/._1.png
  cat/._1.png .ipynb_checkpoints/1.png cat/.ipynb_checkpoints/1-checkpoint.png
  lost+found/1.png .AppleDouble/1.png .@__thumb/1.png @__thumb/1.png
  .Trash-1000/files/1.png @Recycle/1.png #snapshot/1.png
  ~snapshot/1.png @tmp/1.png cat/Thumbs.db ehthumbs.db dog/desktop.ini
  .DS_Store .Spotlight-V100/1.png .fseventsd/1.png
""".split()
  + ['System Volume Information/1.png', 'Temporary Items/1.png']
)


@pytest.mark.parametrize('packed', [False, True])
def test_what_systems_leave_is_left_out(packed, tmp_path, open_source, encode):
  picture = encode(np.zeros((8, 8), np.uint8))
  names = ['cat/1.png', 'dog/2.png']
  if packed:
    pack(tmp_path / 'a.zip', [(n, picture) for n in names + SYSTEM])
    source = open_source(f'folder:{tmp_path}/a.zip', resolution=8)
  else:
    for name in names + SYSTEM:
      (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
      (tmp_path / name).write_bytes(picture)
    source = open_source(f'folder:{tmp_path}', resolution=8)
  assert source.names == names and source.classes == ('cat', 'dog')
  assert 'besides' not in source.report


# Damage.


@pytest.mark.parametrize('method', METHODS)
def test_whole_members(method, tmp_path):
  data = np.random.default_rng(0).bytes(5000) + bytes(5000)
  path = pack(tmp_path / 'a.zip', [('a', data), ('b', b'')], METHODS[method])
  assert read(path, 'a') == data and read(path, 'b') == b''


def damage(path, how):
  """Damages the first member of an archive, 00.png."""
  data = bytearray(path.read_bytes())
  head, entry = data.index(b'PK\3\4'), data.index(b'PK\1\2')
  name, extra = struct.unpack_from('<HH', data, head + 26)
  body = head + 30 + name + extra
  match how:
    case 'bytes':
      data[body + 8 : body + 30] = bytes(range(100, 122))
    case 'zeros':
      data[body : body + 20] = bytes(20)
    case 'method':  # deflate64, and one that nobody knows
      data[head + 8], data[entry + 10] = 9, 9
    case 'unknown method':
      data[head + 8], data[entry + 10] = 77, 77
    case 'encrypted':
      data[head + 6] |= 1
      data[entry + 8] |= 1
    case 'strongly encrypted':
      data[head + 6] |= 0x40
      data[entry + 8] |= 0x40
    case 'patched':
      data[head + 6] |= 0x20
      data[entry + 8] |= 0x20
    case 'local name':
      data[head + 30] = ord('X')
    case 'local name not UTF-8':
      data[head + 6 : head + 8] = b'\0\x08'
      data[head + 30] = 0xFF
    case 'local head':
      data[head] = 0
    case 'offset':
      struct.pack_into('<I', data, entry + 42, 2**31)
    case 'checksum':
      data[entry + 16] ^= 1
    case 'says longer':
      struct.pack_into('<I', data, entry + 24, 100_000)
    case 'says shorter':
      struct.pack_into('<I', data, entry + 24, 5)
    case 'says far longer':
      struct.pack_into('<I', data, entry + 24, 2**32 - 2)
    case 'packed longer':
      struct.pack_into('<I', data, entry + 20, len(data))
    case 'packed shorter':
      struct.pack_into('<I', data, entry + 20, 7)
    case 'packed nothing':
      struct.pack_into('<I', data, entry + 20, 0)
  path.write_bytes(data)


HOWS = """
bytes;zeros;method;unknown method;encrypted;strongly encrypted;patched;
local name;local name not UTF-8;local head;offset;checksum;says longer;
says shorter;says far longer;packed longer;packed shorter;packed nothing"""


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('how', [h.strip() for h in HOWS.split(';')])
def test_a_damaged_member_is_skipped_by_name(
  how, method, tmp_path, open_source, encode, photo
):
  path = tmp_path / 'a.zip'
  members = [(f'{i:02d}.png', encode(photo)) for i in range(3)]
  pack(path, members, METHODS[method])
  damage(path, how)
  source = open_source(f'folder:{path}', resolution=8, max_bad=0.5)
  if how == 'packed longer' and method != 'stored':
    # What is packed says itself where it ends, and its checksum is right.
    assert len(source) == 3
    return
  assert source.names == ['01.png', '02.png']
  (line,) = source.report.split('skipped    ')[1].split('\n')
  name, reason = line.split(': ', 1)
  assert name == '00.png' and reason


@settings(deadline=None, max_examples=300)
@given(data=st.data(), method=st.sampled_from(sorted(METHODS)))
def test_any_damage_gives_members_or_a_reason(data, method, tmp_path_factory):
  path = tmp_path_factory.getbasetemp() / 'damaged.zip'
  pack(path, [('a/1.png', bytes(300)), ('b.png', b'12')], METHODS[method])
  whole = bytearray(path.read_bytes())
  for _ in range(data.draw(st.integers(1, 6))):
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(
      st.integers(0, 255)
    )
  path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))] or whole)
  start = time.monotonic()
  try:
    archive = files.Zip(path)
    for name in archive.names():
      try:
        with archive.reading(name) as got:
          assert isinstance(got, bytes)
      except BadPictureError as e:
        assert str(e)
  except UserError as e:
    assert 'cannot be read as a zip archive' in str(e)
  assert time.monotonic() - start < 5


@pytest.mark.parametrize('at', range(0, 46, 2))
def test_a_damaged_directory_is_one_sentence(at, tmp_path, open_source):
  path = pack(tmp_path / 'a.zip', [('é.png', b'1'), ('b.png', b'2')])
  data = bytearray(path.read_bytes())
  entry = data.index(b'PK\1\2')
  data[entry + at : entry + at + 2] = b'\xff\xff'
  path.write_bytes(data)
  with pytest.raises(UserError, match='zip archive|none of the') as e:
    open_source(f'folder:{path}')
  assert 'Traceback' not in str(e.value)


def test_an_archive_behind_something_else(tmp_path):
  path = pack(tmp_path / 'a.zip', [('1.png', b'one')])
  path.write_bytes(b'#!/bin/sh\n' * 99 + path.read_bytes())
  assert read(path, '1.png') == b'one'


# Bombs.


@pytest.mark.parametrize('method', METHODS)
def test_a_member_that_is_too_large_is_not_unpacked(method, tmp_path):
  path = pack(tmp_path / 'a.zip', [('a', bytes(50_000))], METHODS[method])
  with pytest.raises(BadPictureError, match='that one file may have'):
    read(path, 'a', most=49_999)
  assert len(read(path, 'a', most=50_000)) == 50_000


class Spy:
  """Takes the place of a packer's module and notes what it gave."""

  def __init__(self, made):
    self.made, self.given = made, []

  def __call__(self, *args, **options):
    self.tool = self.made(*args, **options)
    return self

  def decompress(self, *args):
    out = self.tool.decompress(*args)
    self.given.append(len(out))
    return out


@pytest.mark.parametrize('method', ['deflate', 'bzip2', 'lzma'])
def test_a_header_that_lies_is_not_believed(method, tmp_path, monkeypatch):
  """40 MB of zeros that say they are 100 bytes."""
  path = pack(tmp_path / 'a.zip', [('a', bytes(40 * 10**6))], METHODS[method])
  data = bytearray(path.read_bytes())
  struct.pack_into('<I', data, data.index(b'PK\1\2') + 24, 100)
  path.write_bytes(data)
  where, tool = {
    'deflate': (files.zlib, 'decompressobj'),
    'bzip2': (files.bz2, 'BZ2Decompressor'),
    'lzma': (files.lzma, 'LZMADecompressor'),
  }[method]
  spy = Spy(getattr(where, tool))
  monkeypatch.setattr(where, tool, spy)
  with pytest.raises(BadPictureError, match='length'):
    read(path, 'a')
  assert spy.given == [101]
