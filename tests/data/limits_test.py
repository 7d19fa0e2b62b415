"""What a picture may cost: bombs are refused, large good ones are not."""

import io
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from gan_jax import limits
from gan_jax.data import picture
from gan_jax.data.picture import BadPictureError
from gan_jax.data.room import Room
from gan_jax.errors import UserError

FORM = picture.Form(16, 3, 'lanczos', 'white')
KINDS = ['PNG', 'JPEG', 'WEBP', 'BMP', 'GIF', 'TIFF']


# Good pictures that Pillow's own limits refuse.


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'GIF', 'BMP'])
def test_pictures_larger_than_pillow_likes(kind, encode, monkeypatch):
  data = encode(Image.new('1', (300, 200), 1), kind)
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
  assert (FORM.decode(data).pixels == 255).all()


def test_pillows_own_limits_stay_as_they_are():
  code = (
    'from PIL import Image, ImageFile, PngImagePlugin as P\n'
    'read = lambda: (Image.MAX_IMAGE_PIXELS, P.MAX_TEXT_CHUNK,'
    ' P.MAX_TEXT_MEMORY, ImageFile.LOAD_TRUNCATED_IMAGES)\n'
    'before = read()\n'
    'import gan_jax.data\n'
    'assert read() == before'
  )
  subprocess.run([sys.executable, '-c', code], check=True)


def noise(size):
  return random.Random(0).randbytes(size // 2).hex()


TEXTS = {
  'short': lambda info: info.add_text('a', 'b'),
  'long': lambda info: info.add_text('a', noise(3_000_000)),
  'packed': lambda info: info.add_text('workflow', 'n ' * 10**6, zip=True),
  'international': lambda info: info.add_itxt('a', 'ü' * 10**6),
  'international, packed': lambda info: info.add_itxt(
    'a', 'ü' * 2 * 10**6, zip=True
  ),
  'xmp': lambda info: info.add_itxt('XML:com.adobe.xmp', noise(3_000_000)),
  'xmp, packed': lambda info: info.add_itxt(
    'XML:com.adobe.xmp', 'x' * 3_000_000, zip=True
  ),
  'many': lambda info: [
    info.add_itxt('a', 'x' * 500_000, zip=True) for _ in range(200)
  ],
  'that hide the pixels': lambda info: (
    info.add_text('transparency', '0'),
    info.add_text('white', '9'),
  ),
}


@pytest.mark.parametrize('which', TEXTS)
def test_pngs_with_long_texts(which, photo, encode):
  info = PngImagePlugin.PngInfo()
  TEXTS[which](info)
  got = picture.Form(0, 3, 'box', 'white').decode(encode(photo, pnginfo=info))
  assert (got.pixels == photo).all() and got.stored == 'RGB'


@pytest.mark.parametrize('profile', [b'', bytes(3_000_000), b'junk'])
def test_pngs_with_any_profile(profile, photo, encode):
  data = encode(photo, icc_profile=profile or os.urandom(2**21))
  got = picture.Form(0, 3, 'box', 'white').decode(data)
  assert (got.pixels == photo).all()


@pytest.mark.parametrize('packed', [False, True])
def test_texts_that_say_which_way_is_up_are_heard(packed, photo, encode):
  info = PngImagePlugin.PngInfo()
  info.add_text('Comment', noise(2_000_000))
  info.add_itxt('XML:com.adobe.xmp', '<x tiff:Orientation="6"/>', zip=packed)
  got = picture.Form(0, 3, 'box', 'white').decode(encode(photo, pnginfo=info))
  assert got.turned and (got.pixels == photo.swapaxes(0, 1)[:, ::-1]).all()


def test_a_png_that_ends_early_is_still_found(photo, encode):
  info = PngImagePlugin.PngInfo()
  info.add_text('a', noise(3000))
  data = encode(photo, pnginfo=info)
  for end in (30, 60, 500, 3100, len(data) - 60):
    with pytest.raises(BadPictureError):
      picture.read(data[:end])


# Pictures that would take too much.


def header(kind, width, height):
  """A small file that says it is a picture of so many pixels."""
  if kind == 'PNG':
    body = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 6, 0, 0, 0)
    crc = struct.pack('>I', zlib.crc32(body))
    return b'\x89PNG\r\n\x1a\n\0\0\0\r' + body + crc + b'\0\0\0\0IDAT'
  if kind == 'BMP':
    return b'BM' + struct.pack(
      '<IIIIiiHHIIiiII', 99, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0
    )
  if kind == 'GIF':
    size = struct.pack('<HH', width, height)
    return b'GIF89a' + size + b'\0\0\0,\0\0\0\0' + size + b'\0\2\2L\1\0;'
  file = io.BytesIO()
  Image.new('RGB', (8, 8)).save(file, kind)
  data = file.getvalue()
  if kind == 'JPEG':
    at = data.index(b'\xff\xc0') + 5
    return data[:at] + struct.pack('>HH', height, width) + data[at + 4 :]
  for tag, value in ((256, width), (257, height)):
    at = data.index(struct.pack('<HHII', tag, 4, 1, 8))
    entry = struct.pack('<HHII', tag, 4, 1, value)
    data = data[:at] + entry + data[at + 12 :]
  return data


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'BMP', 'GIF', 'TIFF'])
def test_a_header_that_announces_the_moon(kind):
  data = header(kind, 65_000, 60_000)
  start = time.monotonic()
  with pytest.raises(BadPictureError, match='65000x60000 pixels are more than'):
    FORM.decode(data)
  assert time.monotonic() - start < 1


def slow(which):
  """A file of little use that a reader would spend minutes on."""
  file = io.BytesIO()
  Image.new('L', (3000, 3000)).save(file, 'JPEG', progressive=True)
  jpeg = file.getvalue()
  last = jpeg.rindex(b'\xff\xda')
  head = header('PNG', 8, 8)[:-8]
  file = io.BytesIO()
  Image.new('P', (8, 8)).save(file, 'GIF')
  gif = file.getvalue()
  frame = gif[gif.index(b',\0\0\0\0') : -1]
  return {
    'erased': jpeg[:2] + b'\xff' * 50_000_000 + jpeg[2:],
    'all erased': b'\xff\xd8' + b'\xff' * 50_000_000,
    'scans': jpeg[:-2] + jpeg[last:-2] * 2000 + jpeg[-2:],
    'chunks': head + chunk(b'abCd') * 1_100_000,
    'texts': head + chunk(b'tEXt') * 1_100_000,
    'frames': gif[:-1] + frame * 1_000_000 + b';',
  }[which]


def chunk(kind):
  return b'\0\0\0\0' + kind + struct.pack('>I', zlib.crc32(kind))


@pytest.mark.parametrize(
  'which', ['erased', 'all erased', 'scans', 'chunks', 'texts', 'frames']
)
def test_files_that_would_take_for_ever(which):
  data = slow(which)
  start = time.thread_time()  # whatever else the machine does
  if which == 'frames':
    FORM.decode(data)  # the first is enough
  else:
    with pytest.raises(BadPictureError, match='erased|scans|chunks'):
      FORM.decode(data)
  assert time.thread_time() - start < 3


def test_what_follows_a_jpeg_may_be_erased(photo, encode):
  data = encode(photo, 'JPEG', progressive=True) + b'\xff' * 10**6
  assert FORM.decode(data).size == (64, 48)


def test_as_many_pixels_as_are_allowed(encode, monkeypatch):
  data = encode(np.zeros((10, 12), np.uint8))
  monkeypatch.setattr(limits, 'PICTURE_PIXELS', 120)
  FORM.decode(data)
  monkeypatch.setattr(limits, 'PICTURE_PIXELS', 119)
  with pytest.raises(BadPictureError, match='12x10 pixels'):
    FORM.decode(data)


@pytest.mark.parametrize(
  'mode, size, resolution, most',
  [
    ('RGB', (1, 8000), 256, 60),
    ('RGBA', (2_000_000, 1), 256, 80),
    ('RGB', (3, 100_000), 1024, 120),
    # 20 megapixels: 80 MB as they are decoded, and little more.
    ('RGBA', (5000, 4000), 64, 110),
  ],
)
def test_memory_of_one_picture(mode, size, resolution, most, tmp_path):
  image = Image.new(mode, size, 9 if len(mode) == 1 else (9,) * len(mode))
  image.save(tmp_path / 'a.png', compress_level=1)
  # In a process of its own: what this one has used before would hide it.
  code = (
    'import resource, sys, pathlib\n'
    'from gan_jax.data import picture\n'
    'form = picture.Form(int(sys.argv[2]), 3, "lanczos", "white")\n'
    'peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n'
    'data = pathlib.Path(sys.argv[1]).read_bytes()\n'
    'before = peak()\n'
    'form.decode(data)\n'
    'print((peak() - before) / 1024)\n'
  )
  used = subprocess.run(
    [sys.executable, '-c', code, tmp_path / 'a.png', str(resolution)],
    check=True,
    capture_output=True,
    text=True,
  ).stdout
  assert float(used) < most


def test_threads_share_room():
  room, held, most = Room(100), [0], [0]
  lock = threading.Lock()

  def work(seed):
    draw = random.Random(seed)
    for _ in range(50):
      size = draw.choice([1, 10, 40, 99, 100, 5000])
      with room.of(size):
        with lock:
          held[0] += min(size, 100)
          most[0] = max(most[0], held[0])
        time.sleep(draw.random() / 5000)
        with lock:
          held[0] -= min(size, 100)

  threads = [threading.Thread(target=work, args=[k]) for k in range(12)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(20)
    assert not thread.is_alive()
  assert held == [0] and 50 < most[0] <= 100


def test_room_is_given_back_after_an_error(monkeypatch, photo, encode):
  data = encode(photo)
  room = Room(2 * 12 * 48 * 64)
  monkeypatch.setattr(picture, '_ROOM', room)
  for _ in range(5):
    with pytest.raises(BadPictureError):
      FORM.decode(data[: len(data) // 2])
  FORM.decode(data)
  assert room._free == room._total


# What is no file of bytes.


def test_pipes_sockets_and_devices_are_not_waited_for(
  tmp_path, open_source, encode, monkeypatch
):
  (tmp_path / 'a.png').write_bytes(encode(np.zeros((8, 8), np.uint8)))
  os.mkfifo(tmp_path / 'pipe.png')
  (tmp_path / 'zero.png').symlink_to('/dev/zero')
  (tmp_path / 'random.jpg').symlink_to('/dev/urandom')
  monkeypatch.chdir(tmp_path)  # the name of a socket has to be short
  with socket.socket(socket.AF_UNIX) as one:
    one.bind('socket.png')
    source = open_source(f'folder:{tmp_path}', resolution=8, max_bad=0.9)
  assert source.names == ['a.png']
  for name in ('pipe.png', 'socket.png', 'zero.png', 'random.jpg'):
    assert f'{name}: no regular file' in source.report


def test_a_pipe_that_comes_later(tmp_path, open_source, encode, caplog):
  for k in range(3):
    (tmp_path / f'{k}.png').write_bytes(encode(np.full((8, 8), k, np.uint8)))
  source = open_source(f'folder:{tmp_path}', resolution=8, device_budget_mb=0)
  (tmp_path / '1.png').unlink()
  os.mkfifo(tmp_path / '1.png')
  assert source[1][0].max() == 2
  assert 'no regular file' in caplog.text


def test_a_file_without_end_is_not_read(tmp_path, open_source, encode):
  (tmp_path / 'a.png').write_bytes(encode(np.zeros((8, 8), np.uint8)))
  with open(tmp_path / 'b.png', 'wb') as file:
    file.truncate(2**40)  # a hole
  source = open_source(f'folder:{tmp_path}', resolution=8, max_bad=0.5)
  assert 'b.png: 1,048,576 MiB are more than the 1,024' in source.report


def test_links_in_circles(tmp_path, open_source, encode):
  (tmp_path / 'cat').mkdir()
  (tmp_path / 'dog').mkdir()
  for name in ('cat/1.png', 'dog/2.png'):
    (tmp_path / name).write_bytes(encode(np.zeros((8, 8), np.uint8)))
  (tmp_path / 'cat' / 'up').symlink_to('..')
  (tmp_path / 'dog' / 'cats').symlink_to('../cat')
  (tmp_path / 'self.png').symlink_to('self.png')
  (tmp_path / 'ping').symlink_to('pong')
  (tmp_path / 'pong').symlink_to('ping')
  deep = tmp_path / 'dog'
  for _ in range(40):
    deep = deep / 'deep'
    deep.mkdir()
    (deep / 'top').symlink_to(tmp_path)
  start = time.monotonic()
  source = open_source(f'folder:{tmp_path}', resolution=8, max_bad=0.5)
  assert source.names == ['cat/1.png', 'dog/2.png']
  assert 'self.png: Too many levels of symbolic links' in source.report
  assert time.monotonic() - start < 5


@pytest.mark.parametrize(
  'where, message',
  [
    ('s3://bucket/set', 's3:// is not read'),
    ('~nosuchuser/set', 'no home folder of that name'),
    ('x' * 300, 'is no path here'),
    ('a\0b', 'is no path'),
    ('/dev/null', 'no folder or zip archive'),
  ],
)
def test_sources_that_are_no_paths(where, message, open_source):
  with pytest.raises(UserError, match=message):
    open_source(f'folder:{where}')


# Damage at random, of each kind of file.


def seeds(photo, encode):
  """Small files of many kinds, modes and ways to pack."""
  small = Image.fromarray(photo).resize((16, 12))
  exif = Image.Exif()
  exif[0x112] = 6
  modes = [small.convert(m) for m in ('RGB', 'L', 'P', 'RGBA', '1', 'LA')]
  grey = np.asarray(small)[..., 0]
  modes.append(small.convert('CMYK'))
  modes += [Image.fromarray(grey.astype(t)) for t in (np.int32, np.float32)]
  modes.append(Image.fromarray(grey.astype(np.uint16) * 256))
  found = []
  for image in modes:
    for kind, options in [
      ('PNG', dict(transparency=3)),
      ('PNG', dict(exif=exif, icc_profile=b'profile')),
      ('JPEG', dict(exif=exif)),
      ('JPEG', dict(progressive=True)),
      ('WEBP', dict(lossless=True, exif=exif)),
      ('WEBP', dict(save_all=True, append_images=[image])),
      ('BMP', {}),
      ('GIF', dict(save_all=True, append_images=[image], comment=b'c' * 300)),
      ('TIFF', dict(exif=exif)),
      ('TIFF', dict(compression='tiff_lzw', save_all=True)),
      ('TIFF', dict(compression='tiff_deflate')),
      ('TIFF', dict(compression='jpeg')),
    ]:
      try:
        found.append((kind, encode(image, kind, **options)))
      except (OSError, ValueError, RuntimeError):  # no such mode in the format
        continue
  assert {kind for kind, _ in found} == set(KINDS)
  return found


def mend_crc(data):
  """A PNG whose checksums are right again, so that damage gets further."""
  out, at = bytearray(data[:8]), 8
  while at + 12 <= len(data):
    (n,) = struct.unpack_from('>I', data, at)
    if at + 12 + n > len(data):
      break
    body = data[at + 4 : at + 8 + n]
    out += data[at : at + 4] + body + struct.pack('>I', zlib.crc32(body))
    at += 12 + n
  return bytes(out) + data[at:]


def damaged(draw, kind, data):
  data = bytearray(data)
  for _ in range(draw.randint(1, 3)):
    # As likely in the head as in all the rest.
    at = draw.randrange(len(data) if draw.random() < 0.5 else 64)
    at %= len(data)
    match draw.randrange(8):
      case 0:
        data[at : at + 4] = draw.choice([bytes(4), b'\x7f\xff\xff\xff'])
      case 1:
        del data[at : at + draw.randint(1, 9)]
      case 2:
        data[at:at] = draw.randbytes(draw.randint(1, 9))
      case _:
        data[at] = draw.choice([0, 1, 127, 128, 255, draw.randrange(256)])
    data = data or bytearray(1)
  data = bytes(data)
  return mend_crc(data) if kind == 'PNG' and draw.random() < 0.7 else data


@pytest.mark.filterwarnings('ignore')
def test_damage_gives_a_picture_or_a_reason_soon(photo, encode, capfd):
  files = seeds(photo, encode)
  draw, good = random.Random(0), 0
  forms = [FORM, picture.Form(16, 1, 'box', 'black')]
  for k in range(3000):
    data = damaged(draw, *draw.choice(files))
    start = time.monotonic()
    try:
      got = forms[k % 2].decode(data).pixels
      assert got.shape == (16, 16, 3 - 2 * (k % 2)) and got.dtype == np.uint8
      good += 1
    except BadPictureError as e:
      assert str(e)
    assert time.monotonic() - start < 10
  assert 300 < good < 2700
  capfd.readouterr()  # what libtiff and libjpeg say on stderr
