"""Pictures, archives and arrays, damaged or strange, opened as data."""

import functools
import gzip
import io
import json
import random
import shutil
import zipfile

import numpy as np
from PIL import Image, PngImagePlugin

from gan_jax import config as config_lib
from gan_jax.data import open_source
from tests.campaign import mutate
from tests.campaign.pool import WrongError


def _saved(array, format, **options) -> bytes:
  out = io.BytesIO()
  image = array if isinstance(array, Image.Image) else Image.fromarray(array)
  image.save(out, format=format, **options)
  return out.getvalue()


@functools.cache
def _good() -> list[tuple[str, bytes]]:
  """Good picture files of every kind: suffix and content."""
  rng = np.random.default_rng(0)
  rgb = rng.integers(0, 256, (18, 24, 3), np.uint8)
  grey, alpha = rgb[..., 0], np.dstack([rgb, rgb[..., :1]])
  frames = [Image.fromarray(np.roll(rgb, k, 0)) for k in range(3)]
  more = dict(save_all=True, append_images=frames[1:])
  text = PngImagePlugin.PngInfo()
  text.add_text('parameters', 'x' * 5000, zip=True)
  palette = Image.fromarray(rgb).quantize(16)
  exif = Image.Exif()
  exif[0x0112] = 6
  return [
    ('.png', _saved(rgb, 'PNG')),
    ('.png', _saved(alpha, 'PNG')),
    ('.png', _saved(rgb, 'PNG', pnginfo=text, icc_profile=b'x' * 500)),
    ('.png', _saved(palette, 'PNG', transparency=3)),
    ('.png', _saved(grey, 'PNG', transparency=7)),
    ('.png', _saved(grey > 99, 'PNG')),
    ('.png', _saved(grey.astype(np.uint16) * 257, 'PNG')),
    ('.jpg', _saved(rgb, 'JPEG', exif=exif)),
    ('.jpeg', _saved(grey, 'JPEG', progressive=True)),
    ('.jpg', _saved(Image.fromarray(rgb).convert('CMYK'), 'JPEG')),
    ('.gif', _saved(palette, 'GIF')),
    ('.gif', _saved(frames[0], 'GIF', **more)),
    ('.tif', _saved(rgb, 'TIFF', compression='tiff_lzw')),
    ('.tiff', _saved(grey.astype(np.int32), 'TIFF')),
    ('.tiff', _saved(grey.astype(np.float32), 'TIFF')),
    ('.tif', _saved(frames[0], 'TIFF', compression='jpeg', **more)),
    ('.webp', _saved(alpha, 'WEBP')),
    ('.webp', _saved(frames[0], 'WEBP', **more)),
    ('.bmp', _saved(rgb, 'BMP')),
  ]


_NAMES = (
  'a{}',
  'cat/a{}',
  'dog/ä ö{}',
  'train/cat/b{}',
  'val/cat/b{}',
  '.hidden{}',
  '@eaDir/a{}',
  '00000/img1{}',
  'x' * 200 + '{}',
  'cat\\a{}',
  '../up{}',
  '/abs{}',
  '名/前{}',
  'a\nb{}',
)


def _files(draw, damage=0.5) -> dict[str, bytes]:
  """Names and contents of one to five files, half of them damaged."""
  found = {}
  for _ in range(draw.randint(1, 5)):
    suffix, content = draw.choice(_good())
    if draw.random() < damage:
      content = mutate.damaged(draw, content, draw.choice(_good())[1])
    if draw.random() < 0.1:
      suffix = draw.choice(('.png', '.JPG', '.txt', '', '.tiff'))
    found[draw.choice(_NAMES).format(suffix)] = content
  if draw.random() < 0.15:
    labels = {'labels': [[name, draw.randrange(4)] for name in found]}
    found['dataset.json'] = mutate.damaged_json(draw, json.dumps(labels))
  return found


def _folder(draw, folder):
  for name, content in _files(draw).items():
    name = name.replace('..', '__').lstrip('/')
    try:
      (folder / name).parent.mkdir(parents=True, exist_ok=True)
      (folder / name).write_bytes(content)
    except OSError:  # a file and a folder of one name, a name too long
      continue
  return f'folder:{folder}'


def _zip(draw, folder):
  out = io.BytesIO()
  kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)
  with zipfile.ZipFile(out, 'w', draw.choice(kinds)) as archive:
    for name, content in _files(draw, 0.2).items():
      archive.writestr(name, content)
  content = out.getvalue()
  if draw.random() < 0.8:
    content = mutate.damaged(draw, content, draw.choice(_good())[1])
  (folder / 'x.zip').write_bytes(content)
  return f'folder:{folder / "x.zip"}'


_ARRAYS = (
  lambda rng: rng.integers(0, 256, (4, 9, 9, 3), np.uint8),
  lambda rng: rng.integers(0, 256, (3, 9, 9), np.uint8),
  lambda rng: rng.random((4, 9, 9, 1), np.float32),
  lambda rng: rng.random((4, 9, 9, 3)) * 2 - 1,
  lambda rng: rng.random((4, 9, 9, 3)) * np.nan,
  lambda rng: rng.integers(0, 2, (4, 9, 9)) > 0,
  lambda rng: rng.integers(0, 9, (4, 9, 9, 7)),
  lambda rng: np.zeros((0, 9, 9, 3), np.uint8),
  lambda rng: np.array([None, 'x'], object),
  lambda rng: np.zeros((4, 9, 9, 3), 'M8[s]'),
  lambda rng: np.asfortranarray(rng.integers(0, 256, (4, 9, 9, 3), np.uint8)),
  lambda rng: rng.random((4, 9, 9, 3)).astype('>f8'),
)
_LABELS = (
  lambda rng: rng.integers(0, 3, 4),
  lambda rng: rng.integers(1, 4, (4, 1)),
  lambda rng: np.array([5, 5, 9, 9]),
  lambda rng: rng.random(4),
  lambda rng: np.array([-1, 0, 1, 2]),
  lambda rng: np.eye(4)[:, :3],
  lambda rng: np.array(['a', 'b', 'a', 'b']),
)


def _npz(draw, folder):
  rng = np.random.default_rng(draw.randrange(2**32))
  arrays = {draw.choice(('image', 'x_train', 'x')): draw.choice(_ARRAYS)(rng)}
  if draw.random() < 0.6:
    arrays[draw.choice(('label', 'y', 'y_train'))] = draw.choice(_LABELS)(rng)
  out = io.BytesIO()
  draw.choice((np.savez, np.savez_compressed))(out, **arrays)
  content = out.getvalue()
  if draw.random() < 0.7:
    content = mutate.damaged(draw, content)
  (folder / 'x.npz').write_bytes(content)
  return f'npz:{folder / "x.npz"}'


def _idx(draw, folder):
  rng = np.random.default_rng(draw.randrange(2**32))
  images, labels = rng.integers(0, 256, (5, 7, 7), np.uint8), np.arange(5) % 3
  head = lambda *dims: (
    b'\0\0\x08'
    + bytes([len(dims)])
    + b''.join(d.to_bytes(4, 'big') for d in dims)
  )
  parts = {
    'train-images-idx3-ubyte': head(5, 7, 7) + images.tobytes(),
    'train-labels-idx1-ubyte': head(5) + labels.astype(np.uint8).tobytes(),
  }
  zipped = draw.random() < 0.5
  for name, content in parts.items():
    if draw.random() < 0.4:
      content = mutate.damaged(draw, content)
    if zipped:
      content, name = gzip.compress(content), f'{name}.gz'
      if draw.random() < 0.3:
        content = mutate.damaged(draw, content)
    (folder / name).write_bytes(content)
  return f'idx:{folder}'


def _text(draw, folder):
  text = ''.join(draw.choice('abc äöü\n\t\0名') for _ in range(300)).encode()
  (folder / 'x.txt').write_bytes(mutate.damaged(draw, text))
  return f'text:{folder / draw.choice(("x.txt", ""))}'


_SPLITS = (
  *('train',) * 20,
  'train[:50%]',
  'train[-1:]',
  'val',
  'test',
  'train[',
  'train[9:]',
)


def prepare(folder) -> None:
  """Nothing: the first case makes the pictures."""


def case(draw: random.Random, folder) -> str:
  """Opens a set and reads all of it."""
  place = folder / 'case'
  shutil.rmtree(place, ignore_errors=True)
  place.mkdir()
  makers = (_folder, _folder, _zip, _zip, _npz, _idx, _text)
  data = config_lib.defaults().data.unlock()
  data.source = draw.choice(makers)(draw, place)
  data.resolution = draw.choice((8, 8, 16, 16, 0))
  data.channels = draw.choice((1, 3))
  data.filter = draw.choice(('lanczos', 'bilinear'))
  data.conditional = draw.random() < 0.15
  data.max_bad = draw.choice((0.05, 1.0, 1.0))
  data.split = draw.choice(_SPLITS)
  source = open_source(data)
  _check(source)
  return source.report.splitlines()[0]


def _check(source) -> None:
  """What a source promises, of all of its samples."""
  samples, labels = source.arrays()
  right = {
    'length': len(samples) == len(labels) == len(source) > 0,
    'shape': samples.shape[1:] == tuple(source.stored_shape),
    'type': samples.dtype == source.dtype,
    'labels': labels.min() >= 0 and labels.max() < max(1, len(source.classes)),
    'classes': len(set(source.classes)) == len(source.classes),
    'one by one': all(
      np.array_equal(source[i][0], samples[i]) for i in range(len(source))
    ),
  }
  wrong = [name for name, good in right.items() if not good]
  if wrong:
    raise WrongError(f'{source.name}: {", ".join(wrong)}')
