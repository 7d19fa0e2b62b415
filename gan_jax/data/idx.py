"""idx:PATH: the file format of MNIST, gzipped or not."""

import gzip
import math
import re
import struct
import zlib

import numpy as np

from gan_jax import limits, paths
from gan_jax.data import part, picture
from gan_jax.data.arrays import ArraySource
from gan_jax.data.source import Source, integer_labels
from gan_jax.errors import UserError

_SPLITS = {'train': 'train', 'test': 't10k', 't10k': 't10k'}


def open_idx(name: str, where: str, config, form: picture.Form) -> Source:
  """The source 'idx:PATH'.

  PATH is a folder with MNIST's official file names (train-images-idx3-ubyte,
  train-labels-idx1-ubyte, t10k-..., each with or without .gz), of which
  config.data.split picks one pair, or one file of pictures. The labels lie
  beside the pictures, or there are none.

  Raises:
    UserError: no such files, or not of this format.
  """
  where = paths.local(where, 'config.data.source')
  images_path = _images_path(name, where, config.split)
  images = _read(images_path, name)
  if images.ndim not in (3, 4):
    raise UserError(
      f'{name}: {images_path.name} holds {list(images.shape)} numbers, not'
      ' pictures [N, H, W]; give the file of the pictures.'
    )
  if images.ndim == 4 and images.shape[-1] not in (1, 2, 3, 4):
    raise UserError(
      f'{name}: {images_path.name} has shape {list(images.shape)}; the last'
      ' axis must be 1 to 4 channels.'
    )
  labels_path = _labels_path(images_path)
  note = images_path.name
  if labels_path is None:
    labels, classes = np.zeros(len(images), np.int32), ()
  else:
    others = [
      _read(path, name) for path in _other_labels(images_path, labels_path)
    ]
    labels, classes = integer_labels(
      _read(labels_path, name), len(images), name, others
    )
    note += f', {labels_path.name}'
  return ArraySource(name, images, labels, classes, form, note)


def _images_path(name, path, split):
  """The file of a split's pictures."""
  if not path.is_dir():
    paths.regular(
      path,
      f"config.data.source is '{name}'",
      'give idx:PATH with the folder of train-images-idx3-ubyte.gz and its'
      ' like',
    )
    own = [k for k, v in _SPLITS.items() if path.name.startswith(f'{v}-')]
    # A file on its own is all there is.
    part.check_name(name, split, [*dict.fromkeys(['train', *own])])
    return path
  part.check_name(f'{name}, a folder of idx files,', split, _SPLITS)
  pattern = re.compile(_SPLITS[split] + r'-images[-.]idx[34]-ubyte')
  here = sorted(p.name for p in path.iterdir())
  found = [f for f in here if pattern.fullmatch(f.removesuffix('.gz'))]
  if not found:
    raise UserError(
      f'{name}: {path} has no {_SPLITS[split]}-images-idx3-ubyte or'
      f' .gz; it holds {", ".join(here[:10]) or "nothing"}.'
    )
  return path / found[0]


def _labels_path(images_path):
  name = images_path.name.removesuffix('.gz').replace('images', 'labels')
  name = re.sub('idx[34]', 'idx1', name)
  for candidate in (name, name + '.gz'):
    path = images_path.with_name(candidate)
    if path.is_file() and path != images_path:
      return path
  return None


def _other_labels(images_path, labels_path):
  """The label files of MNIST's other split beside one: none or one."""
  prefixes = set(_SPLITS.values())
  for own in prefixes:
    if images_path.name.startswith(f'{own}-'):
      for other in prefixes - {own}:
        name = images_path.name.replace(f'{own}-', f'{other}-', 1)
        found = _labels_path(images_path.with_name(name))
        return [found] if found and found != labels_path else []
  return []


def _read(path, name):
  """An array of bytes: magic 0 0 8 ndim, big-endian sizes, then the data."""
  paths.regular(path, name, 'fetch it again')
  try:
    with open(path, 'rb') as file:
      packed = file.read(2) == b'\x1f\x8b'
      size = file.seek(0, 2)
    with (gzip.open if packed else open)(path, 'rb') as file:
      zeros, kind, ndim = struct.unpack('>HBB', file.read(4))
      if zeros != 0 or kind != 8:
        raise ValueError('it does not begin with the magic number of bytes')
      shape = struct.unpack(f'>{ndim}I', file.read(4 * ndim))
      promised = math.prod(shape)
      if promised > (limits.unpacked(size) if packed else size):
        raise ValueError(
          f'its header promises {promised:,} bytes, it has {size:,}'
          f'{" packed ones" if packed else ""}'
        )
      data = file.read(promised + 1)
      if len(data) != promised:
        more = 'more' if len(data) > promised else f'{len(data):,}'
        raise ValueError(
          f'its header promises {promised:,} bytes, it has {more}'
        )
      array = np.frombuffer(data, np.uint8).reshape(shape)
  except MemoryError:
    raise UserError(
      f'{name}: {path} does not fit into the memory of this machine.'
    ) from None
  except (OSError, EOFError, ValueError, zlib.error, struct.error) as e:
    raise UserError(
      f'{name}: {path} is not a whole file of the idx format ({e}); fetch it'
      ' again.'
    ) from e
  return array
