"""Folders and archives of pictures as users have them."""

import concurrent.futures
import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from gan_jax.data import picture
from gan_jax.errors import UserError

BROKEN = {
  'broken-empty.png': b'',
  'broken-garbage.png': b'\x89PNG\r\n\x1a\n' + bytes(range(200)),
  'broken-header.webp': b'RIFF\0\0\0\0WEBPVP8 ',
  'broken-text.jpg': b'not a picture\n',
  'broken-truncated.jpg': None,  # a third of a good file
}


def write_mixed(root, photo, encode, good=100):
  """Pictures of many modes, sizes and formats, and the BROKEN ones."""
  root.mkdir(parents=True, exist_ok=True)
  forms = [
    ('RGB', 'JPEG', 'jpg'),
    ('L', 'PNG', 'png'),
    ('P', 'PNG', 'png'),
    ('RGBA', 'WEBP', 'webp'),
    ('CMYK', 'JPEG', 'JPG'),
    ('1', 'BMP', 'bmp'),
    ('LA', 'PNG', 'png'),
  ]
  rng = np.random.default_rng(0)
  for i in range(good - 1):
    mode, kind, suffix = forms[i % len(forms)]
    size = tuple(int(v) for v in rng.integers(20, 90, 2))
    image = Image.fromarray(photo).resize(size).convert(mode)
    if mode == 'RGBA':
      image.putalpha(Image.linear_gradient('L').resize(size))
    (root / f'{i:03d}.{suffix}').write_bytes(encode(image, kind))
  (root / 'sixteen.png').write_bytes(encode(photo[..., 0].astype('u2') << 8))
  for name, data in BROKEN.items():
    whole = (root / '000.jpg').read_bytes()
    (root / name).write_bytes(
      whole[: len(whole) // 3] if data is None else data
    )


def write_zip(path, root, prefix=''):
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    for file in sorted(root.rglob('*'), reverse=True):  # order must not matter
      archive.write(file, prefix + file.relative_to(root).as_posix())


def write(path, data):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(data)


def plain(value):
  return np.full((8, 8), value, np.uint8)


@pytest.fixture(name='mixed', scope='module')
def _mixed(tmp_path_factory, photo, encode):
  root = tmp_path_factory.mktemp('data') / 'mixed'
  write_mixed(root, photo, encode)
  return root


def test_mixed_folder_names_what_it_skips(mixed, open_source):
  source = open_source(f'folder:{mixed}', resolution=24)
  assert len(source) == 100 and source.shape == (24, 24, 3)
  skipped = source.report.split('skipped    ')[1].split('\n')
  assert len(skipped) == len(BROKEN)
  for line, name in zip(skipped, sorted(BROKEN), strict=True):
    shown, reason = line.strip().split(': ', 1)
    assert shown == name and reason
  assert 'empty file' in skipped[0]
  for text in (
    '105 picture files: 100 used, 5 skipped (4.8%',
    'CMYK 14: to RGB',
    '1-bit 14: to RGB',
    'palette 14',
    'RGBA 14: composed onto white',
    '16-bit grey 1: scaled',
    'grey with transparency 14: composed onto white, to RGB',
    'short side resized to 24 (lanczos)',
    'are enlarged',
  ):
    assert text in source.report, text


@pytest.mark.parametrize(
  'width, height, text',
  [
    (16, 16, 'all 16x16\n'),
    (32, 32, 'resized to 16 (lanczos)\n'),
    (20, 30, 'the middle is kept, and 33% cut off'),
    (30, 20, 'of 2 that are not square the middle is kept, and 33% cut off'),
    (8, 8, '2 are smaller than 16 and are enlarged, which blurs them'),
  ],
)
def test_what_is_cut_off_is_said(
  width, height, text, tmp_path, open_source, encode
):
  for i in range(2):
    write(tmp_path / f'{i}.png', encode(np.full((height, width), i, np.uint8)))
  report = open_source(f'folder:{tmp_path}', resolution=16).report
  assert text in report
  assert ('cut off' in report) == (width != height)
  assert 'all used' in report and 'skipped' not in report


@pytest.mark.parametrize('kind', ['GIF', 'WEBP', 'PNG', 'TIFF'])
def test_frames_that_are_left_out_are_counted(kind, tmp_path, open_source):
  first, second = (Image.new('RGB', (8, 8), c) for c in ('red', 'lime'))
  more = dict(save_all=True, append_images=[second])
  first.save(tmp_path / f'one.{kind.lower()}', kind)
  source = open_source(f'folder:{tmp_path}', resolution=8)
  assert 'several frames' not in source.report
  first.save(tmp_path / f'two.{kind.lower()}', kind, **more)
  source = open_source(f'folder:{tmp_path}', resolution=8)
  assert 'of 1 with several frames the first is used' in source.report
  np.testing.assert_allclose(
    source.arrays()[0][:, 0, 0, :2], [[255, 0]] * 2, atol=9
  )


def test_pictures_in_formats_that_are_not_read_are_said(
  tmp_path, open_source, encode
):
  write(tmp_path / 'a.png', encode(plain(1)))
  write(tmp_path / 'a.txt', b'x')
  report = open_source(f'folder:{tmp_path}', resolution=8).report
  assert '.txt 1' in report and 'not read' not in report
  write(tmp_path / 'IMG_1.HEIC', b'x')
  report = open_source(f'folder:{tmp_path}', resolution=8).report
  assert '.heic are not read: save what pictures' in report


def test_pictures_are_in_the_order_of_their_names(mixed, open_source, encode):
  source = open_source(f'folder:{mixed}', resolution=24)
  names = sorted(p.name for p in mixed.iterdir() if p.name not in BROKEN)
  form = picture.Form(24, 3, 'lanczos', 'white')
  for i in (0, 1, 37, 99):
    image, label = source[i]
    want = form(picture.read((mixed / names[i]).read_bytes()).image)
    assert (image == want).all() and label == 0
    assert image.dtype == np.uint8 and image.shape == source.shape


def test_order_is_by_code_point(tmp_path, open_source, encode):
  names = ['10.png', '9.png', 'B.png', 'Z/a.png', 'a.png', 'é.png', '日.png']
  for i, name in enumerate(names):
    write(tmp_path / name, encode(plain(i)))
  source = open_source(f'folder:{tmp_path}', resolution=8)
  assert [int(source[i][0][0, 0, 0]) for i in range(7)] == list(range(7))


def test_kept_pixels_equal_streamed_ones(mixed, open_source, monkeypatch):
  kept = open_source(f'folder:{mixed}', resolution=24)
  streamed = open_source(f'folder:{mixed}', resolution=24, device_budget_mb=0)
  assert kept.in_memory and not streamed.in_memory
  assert (kept.arrays()[0] == streamed.arrays()[0]).all()
  assert (kept[57][0] == streamed[57][0]).all()


def test_each_file_is_decoded_once(mixed, open_source, monkeypatch):
  calls = []
  decode = picture.Form.decode
  monkeypatch.setattr(
    picture.Form, 'decode', lambda *args: calls.append(1) or decode(*args)
  )
  source = open_source(f'folder:{mixed}', resolution=24)
  source.arrays()
  assert len(calls) == 105


# Classes.


def test_folders_are_classes(tmp_path, open_source, encode):
  for i, name in enumerate(['cat/1.png', 'cat/deep/er/2.png', 'dog/3.png']):
    write(tmp_path / name, encode(plain(i)))
  for name in [
    '.hidden/4.png',
    'dog/.5.png',
    '__MACOSX/cat/6.png',
    'empty/notes.txt',
    'dog/about.json',
    'dog/README',
  ]:
    write(tmp_path / name, b'no picture')
  source = open_source(f'folder:{tmp_path}', resolution=8, conditional=True)
  assert source.classes == ('cat', 'dog')
  assert [source[i][1] for i in range(3)] == [0, 0, 1]
  assert source.arrays()[1].tolist() == [0, 0, 1]
  assert '2: cat (2), dog (1)' in source.report
  assert 'all used' in source.report
  for other in ('.txt 1', '.json 1', 'no suffix 1'):
    assert other in source.report


@pytest.mark.parametrize(
  'names, classes',
  [
    (['1.png', '2.png'], ()),
    (['all/cat/1.png', 'all/dog/2.png'], ('cat', 'dog')),  # a wrapper
    (['all/1.png', 'all/2.png'], ()),
    (['cat/1.png', '2.png'], ()),  # beside: no classes
    (['b/x/1.png', 'a/x/2.png', 'b/y/3.png'], ('a', 'b')),
  ],
)
def test_what_counts_as_a_class(names, classes, tmp_path, open_source, encode):
  for name in names:
    write(tmp_path / name, encode(plain(0)))
  source = open_source(f'folder:{tmp_path}', resolution=8)
  assert source.classes == classes and len(source) == len(names)
  if not classes:
    with pytest.raises(UserError, match='sub-folder per class'):
      open_source(f'folder:{tmp_path}', resolution=8, conditional=True)


# Archives.


@pytest.mark.parametrize('prefix', ['', 'wrapped/'])
def test_zip_equals_folder(prefix, tmp_path, open_source, encode, photo):
  root = tmp_path / 'root'
  for name in ('cat', 'dog'):
    write_mixed(root / name, photo, encode, good=50)
  write(root / '__MACOSX' / '._x.png', b'resource fork')
  path = tmp_path / 'pictures.zip'
  write_zip(path, root, prefix)
  a = open_source(f'folder:{root}', resolution=16, max_bad=0.2)
  b = open_source(
    f'folder:{path}', resolution=16, max_bad=0.2, device_budget_mb=0
  )
  assert a.classes == b.classes == ('cat', 'dog') and len(b) == 100
  for x, y in zip(a.arrays(), b.arrays(), strict=True):
    assert (x == y).all()
  same = b.report.replace(str(path), str(root)).replace(prefix, '')
  assert same == a.report


def test_zip_is_read_by_many_threads_and_after_pickling(
  mixed, tmp_path, open_source
):
  path = tmp_path / 'pictures.zip'
  write_zip(path, mixed)
  source = open_source(f'folder:{path}', resolution=16, device_budget_mb=0)
  want = source.arrays()[0]
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    got = list(pool.map(lambda i: source[i][0], list(range(100)) * 3))
  assert (np.stack(got) == np.concatenate([want] * 3)).all()
  copy = pickle.loads(pickle.dumps(source))
  assert (copy[41][0] == want[41]).all() and copy.report == source.report


def test_zip_has_no_position_that_forks_would_share(mixed, tmp_path):
  from gan_jax.data.files import Zip

  path = tmp_path / 'pictures.zip'
  write_zip(path, mixed)
  files = Zip(path)
  for name in files.names():
    with files.reading(name) as data:
      assert data == (mixed / name).read_bytes()
  assert files._file.tell() == 0


def test_damaged_member_is_named(tmp_path, open_source, encode):
  path = tmp_path / 'pictures.zip'
  with zipfile.ZipFile(path, 'w') as archive:  # stored: bytes lie as they are
    for i in range(30):
      archive.writestr(f'{i:02d}.png', encode(plain(i)))
  data = bytearray(path.read_bytes())
  data[data.index(b'IDAT') + 5] ^= 0xFF  # in 00.png
  path.write_bytes(data)
  source = open_source(f'folder:{path}', resolution=8)
  assert len(source) == 29
  assert '00.png: in the archive: Bad CRC-32' in source.report


def test_ranges_of_wide_pictures_are_one_for_a_set(
  tmp_path, open_source, encode
):
  for k in range(3):
    values = np.full((8, 8), 100 + k, np.int32)
    write(tmp_path / f'{k}.tif', encode(values, 'TIFF'))
  source = open_source(f'folder:{tmp_path}', resolution=8)
  assert [int(source[k][0].max()) for k in range(3)] == [100, 101, 102]
  assert '32-bit grey within 0..255 3: taken for 8 bits' in source.report
  # Among pictures of 16 bits it would shine 257 times too bright.
  write(tmp_path / '3.tif', encode(values * 257, 'TIFF'))
  source = open_source(f'folder:{tmp_path}', resolution=8, max_bad=0.8)
  assert source.names == ['3.tif'] and source[0][0].max() == 102
  assert '0.tif: 32-bit picture with no value above 255' in source.report


# What users get wrong.


def test_too_many_bad_files(mixed, open_source):
  with pytest.raises(UserError) as e:
    open_source(f'folder:{mixed}', max_bad=0.01)
  for text in [*BROKEN, '5 of 105', '4.8%', 'config.data.max_bad=0.01']:
    assert text in str(e.value)


def test_at_most_ten_are_named(tmp_path, open_source):
  for i in range(12):
    write(tmp_path / f'{i:02d}.png', b'junk')
  with pytest.raises(UserError, match='none of the 12') as e:
    open_source(f'folder:{tmp_path}')
  assert '09.png' in str(e.value) and '10.png' not in str(e.value)
  assert '... and 2 more' in str(e.value)


@pytest.mark.parametrize(
  'where, message',
  [
    (
      'picturse',
      r'no folder or zip archive .*picturse: .*did you mean .*'
      r'/pictures\?',
    ),
    ('empty', 'no pictures in it .it is empty'),
    ('texts', r'no pictures in it .other files: \.txt 2'),
    ('texts/a.txt', 'cannot be read as a zip archive'),
    ('cut.zip', 'cannot be read as a zip archive'),
  ],
)
def test_wrong_paths(where, message, tmp_path, open_source):
  for name in ('pictures', 'empty'):
    (tmp_path / name).mkdir()
  for name in ('a.txt', 'b.txt'):
    write(tmp_path / 'texts' / name, b'text')
  with zipfile.ZipFile(tmp_path / 'cut.zip', 'w') as archive:
    archive.writestr('a.png', bytes(1000))
  whole = (tmp_path / 'cut.zip').read_bytes()
  (tmp_path / 'cut.zip').write_bytes(whole[:600])
  with pytest.raises(UserError, match=message):
    open_source(f'folder:{tmp_path / where}')


def test_home_is_expanded(mixed, open_source, monkeypatch):
  monkeypatch.setenv('HOME', str(mixed.parent))
  assert len(open_source('folder:~/mixed', resolution=8)) == 100


def test_resolution_0(mixed, tmp_path, open_source, encode, photo):
  for i in range(3):
    write(tmp_path / f'{i}.png', encode(photo))
  source = open_source(f'folder:{tmp_path}', resolution=0)
  assert source.shape == photo.shape and (source[1][0] == photo).all()
  with pytest.raises(UserError, match='set config.data.resolution'):
    open_source(f'folder:{mixed}', resolution=0)


def test_odd_names_and_links(tmp_path, open_source, encode):
  root = tmp_path / 'root'
  write(root / 'a.png', encode(plain(1)))
  write(tmp_path / 'elsewhere' / 'b.png', encode(plain(2)))
  (root / 'link').symlink_to(tmp_path / 'elsewhere')
  (root / 'loop').symlink_to(root)
  (root / 'nowhere.png').symlink_to(tmp_path / 'gone.png')
  try:
    pathlib.Path(os.fsdecode(os.fsencode(root) + b'/\xff.png')).write_bytes(b'')
  except OSError:
    pytest.skip('this file system takes only UTF-8 names')
  source = open_source(f'folder:{root}', resolution=8, max_bad=0.5)
  assert len(source) == 2
  assert 'nowhere.png: No such file' in source.report
  assert r'\udcff.png: empty file' in source.report
  source.report.encode()  # can be printed and written


# Files that change during a run.


def test_a_file_that_breaks_later_is_passed_over(
  tmp_path, open_source, encode, caplog
):
  for i in range(5):
    write(tmp_path / f'{i}.png', encode(plain(50 * i)))
  source = open_source(f'folder:{tmp_path}', resolution=8, device_budget_mb=0)
  (tmp_path / '1.png').unlink()
  (tmp_path / '4.png').write_bytes(b'')
  for _ in range(3):
    assert source[1][0].max() == 100  # picture 2
    assert source[4][0].max() == 0  # picture 0
  warnings = [r.getMessage() for r in caplog.records]
  assert len(warnings) == 2
  assert '1.png' in warnings[0] and '4.png' in warnings[1]


def test_when_all_are_gone_the_run_says_so(tmp_path, open_source, encode):
  for i in range(3):
    write(tmp_path / f'{i}.png', encode(plain(i)))
  source = open_source(f'folder:{tmp_path}', resolution=8, device_budget_mb=0)
  for i in range(3):
    (tmp_path / f'{i}.png').unlink()
  with pytest.raises(UserError, match='3 pictures in a row cannot be read'):
    source[0]


def test_progress_of_a_long_scan(
  tmp_path, open_source, encode, monkeypatch, capfd
):
  from gan_jax.data import source as source_module

  for i in range(4):
    write(tmp_path / f'{i}.png', encode(plain(i)))
  open_source(f'folder:{tmp_path}', resolution=8)
  assert capfd.readouterr().err == ''
  monkeypatch.setattr(source_module, '_QUIET_SECONDS', -1)
  monkeypatch.setattr(source_module, '_EVERY_SECONDS_IN_A_FILE', -1)
  open_source(f'folder:{tmp_path}', resolution=8)
  err = capfd.readouterr().err
  assert f'scanning folder:{tmp_path}: 4 of 4\n' in err
