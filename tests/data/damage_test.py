"""Damaged and strange files of arrays and text: a set, or one sentence."""

import bz2
import gzip
import io
import lzma
import os
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 4)).astype(np.uint8)
LABELS = np.arange(6) % 3


def archive(method=zipfile.ZIP_DEFLATED, **members) -> bytes:
  """A zip of .npy files, of arrays, or of members as they are, bytes."""
  stream = io.BytesIO()
  with zipfile.ZipFile(stream, 'w', method) as made:
    for name, content in members.items():
      if isinstance(content, np.ndarray):
        part = io.BytesIO()
        np.save(part, content)
        name, content = f'{name}.npy', part.getvalue()
      made.writestr(name, content)
  return stream.getvalue()


def idx() -> bytes:
  return struct.pack('>HBBIII', 0, 8, 3, *IMAGES.shape) + IMAGES.tobytes()


LINES = 'one line\nanother line\nund noch eine: äöü\n'.encode() * 3
WHOLE = {
  'stored.npz': archive(zipfile.ZIP_STORED, image=IMAGES, label=LABELS),
  'deflated.npz': archive(image=IMAGES, label=LABELS),
  'bz2.npz': archive(zipfile.ZIP_BZIP2, image=IMAGES, label=LABELS),
  'lzma.npz': archive(zipfile.ZIP_LZMA, image=IMAGES, label=LABELS),
  'plain.idx': idx(),
  'packed.idx': gzip.compress(idx(), mtime=0),
  'plain.text': LINES,
  'a.text.gz': gzip.compress(LINES, mtime=0),
  'a.text.bz2': bz2.compress(LINES),
  'a.text.xz': lzma.compress(LINES),
}


def opened(open_source, path):
  kind = path.name.split('.')[1]
  return open_source(f'{kind}:{path}', resolution=4, max_bad=0.0)


@pytest.mark.parametrize('name', WHOLE)
def test_whole_files_are_read(name, tmp_path, open_source):
  (tmp_path / name).write_bytes(WHOLE[name])
  source = opened(open_source, tmp_path / name)
  if '.text' not in name:
    assert (source.arrays()[0][..., 0] == IMAGES).all()
  else:
    assert len(source) == 9


@settings(max_examples=600)
@given(
  st.sampled_from(sorted(WHOLE)),
  st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4
  ),
  st.integers(0, 5000) | st.none(),
  st.binary(max_size=4),
)
def test_damage_ends_in_a_set_or_in_a_sentence(
  tmp_path_factory, open_source, name, changes, cut, more
):
  content = bytearray(WHOLE[name])
  for place, value in changes:
    content[place % len(content)] = value
  if cut is not None:
    del content[cut % len(content) :]
  path = tmp_path_factory.mktemp('d') / name
  path.write_bytes(bytes(content) + more)
  try:
    source = opened(open_source, path)
    assert len(source) and source[0][0].dtype == np.uint8
  except UserError as error:
    assert '\n' not in str(error) and str(path) in str(error)


def patched(content: bytes, at: int, value: bytes) -> bytes:
  """A zip with a changed field in the entry of its first member."""
  content = bytearray(content)
  local, central = content.index(b'PK\x03\x04'), content.index(b'PK\x01\x02')
  content[local + at : local + at + len(value)] = value
  content[central + at + 2 : central + at + 2 + len(value)] = value
  return bytes(content)


IMAGE = WHOLE['deflated.npz']
STRANGE = {
  'encrypted': (patched(IMAGE, 6, b'\1\0'), "'image': .*encrypted"),
  'a method nobody knows': (patched(IMAGE, 8, b'\x63\0'), "'image': "),
  'deflated as lzma': (patched(IMAGE, 8, b'\x0e\0'), "'image': "),
  'deflated as bzip2': (patched(IMAGE, 8, b'\x0c\0'), "'image': "),
  'another name within': (
    IMAGE.replace(b'image.npy', b'imege.npy', 1),
    "'image': File name",
  ),
  'a name that is no text': (
    patched(IMAGE, 6, b'\0\x08').replace(b'image.npy', b'imag\xff.npy'),
    'no whole zip archive',
  ),
  'no suffix': (archive(image=b'abc' * 9), "'image': "),
  'no magic': (archive(**{'image.npy': b'abc' * 9}), "'image': .*magic"),
  'empty member': (archive(**{'image.npy': b''}), "'image': "),
  'version 9': (
    archive(**{'image.npy': b'\x93NUMPY\x09\x00' + bytes(99)}),
    'version',
  ),
  'only the label': (
    archive(image=IMAGES, **{'label.npy': b'\x93NUMPY\x01\x00\x10'}),
    "'label': ",
  ),
  'junk': (b'junk', 'no whole zip archive'),
  'a pickle': (b'\x80\x04N.', 'no whole zip archive'),
  'a zip of nothing': (archive(), 'holds nothing'),
}


@pytest.mark.parametrize('what', STRANGE)
def test_strange_members_are_refused_by_name(what, tmp_path, open_source):
  content, words = STRANGE[what]
  (tmp_path / 'a.npz').write_bytes(content)
  with pytest.raises(UserError, match=words) as error:
    open_source(f'npz:{tmp_path}/a.npz')
  assert '\n' not in str(error.value) and 'pickle' not in str(error.value)


def test_two_members_of_one_name_are_refused(tmp_path, open_source):
  content = archive(image=IMAGES, **{'image.np_': b'x'})
  content = content.replace(b'image.np_', b'image.npy')
  (tmp_path / 'a.npz').write_bytes(content)
  with pytest.raises(UserError, match='the same name'):
    open_source(f'npz:{tmp_path}/a.npz')


@pytest.mark.parametrize(
  'array',
  [
    np.asfortranarray(IMAGES),
    IMAGES[::2],
    IMAGES[:, ::-1],
    IMAGES[..., None],
    (IMAGES / 255).astype('>f8'),
    (IMAGES / 255).astype('>f4'),
    np.asfortranarray((IMAGES / 255).astype('<f4')),
  ],
)
@pytest.mark.parametrize('label', ['>i8', '<u2', 'i1', '>u4'])
def test_arrays_in_any_order_of_bytes_and_axes(
  array, label, tmp_path, open_source
):
  labels = (np.arange(len(array)) % 3).astype(label)
  np.savez(tmp_path / 'a.npz', image=array, label=labels)
  images, found = open_source(
    f'npz:{tmp_path}/a.npz', resolution=0, channels=1
  ).arrays()
  plain = array.reshape(len(array), 4, 4)
  want = plain if array.dtype == np.uint8 else np.rint(plain * 255)
  assert (images[..., 0] == want).all() and (found == labels).all()


@pytest.mark.parametrize('kind', ['npz', 'idx', 'text'])
def test_only_files_are_read(kind, tmp_path, open_source, monkeypatch):
  """A pipe would be waited for without end, and so would a device."""
  monkeypatch.setenv('HOME', str(tmp_path))
  os.mkfifo(tmp_path / 'pipe')
  folder = tmp_path / 'folder'
  folder.mkdir()
  for where, words in (
    (tmp_path / 'pipe', 'pipe or a device'),
    ('/dev/zero', 'pipe or a device'),
    ('~/pipe', 'pipe or a device'),
    ('~nosuchuser/x', 'no home folder'),
    ('s3://bucket/x', 'is an address'),
    (tmp_path / 'none', 'there is no'),
    ('a\0b', 'is no path'),
    ('x' * 300, 'is no path here'),
    (folder, 'is a folder' if kind == 'npz' else 'has no|no files'),
  ):
    with pytest.raises(UserError, match=words) as error:
      open_source(f'{kind}:{where}')
    assert '\n' not in str(error.value)


def test_pipes_among_other_files_are_not_waited_for(tmp_path, open_source):
  (tmp_path / 'a.txt').write_text('some text\n' * 9)
  os.mkfifo(tmp_path / 'b.txt')
  source = open_source(f'text:{tmp_path}', max_bad=0.5)
  assert len(source) == 9 and 'b.txt: it is a pipe' in source.report
  os.mkfifo(tmp_path / 'train-images-idx3-ubyte')
  with pytest.raises(UserError, match='pipe or a device'):
    open_source(f'idx:{tmp_path}')


def test_a_link_that_leads_in_a_circle(tmp_path, open_source):
  (tmp_path / 'a').symlink_to(tmp_path / 'b')
  (tmp_path / 'b').symlink_to(tmp_path / 'a')
  for kind in ('npz', 'idx', 'text'):
    with pytest.raises(UserError):
      open_source(f'{kind}:{tmp_path}/a')
