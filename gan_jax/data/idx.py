"""idx:PATH: the file format of MNIST, gzipped or not."""

import gzip
import math
import pathlib
import re
import struct
import zlib

import numpy as np

from gan_jax.data import picture
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
  images_path = _images_path(name, pathlib.Path(where).expanduser(), config)
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
    labels, classes = integer_labels(
      _read(labels_path, name), len(images), name
    )
    note += f', {labels_path.name}'
  return ArraySource(name, images, labels, classes, form, note)


def _images_path(name, path, config):
  if path.is_file():
    return path
  if not path.is_dir():
    raise UserError(
      f"config.data.source is '{name}', but there is no folder or file"
      f' {path}; give idx:PATH with the folder of train-images-idx3-ubyte.gz'
      ' and its like.'
    )
  if config.split not in _SPLITS:
    raise UserError(
      f"config.data.split is '{config.split}'; idx files have the splits"
      f' {", ".join(_SPLITS)}.'
    )
  pattern = re.compile(_SPLITS[config.split] + r'-images[-.]idx[34]-ubyte')
  here = sorted(p.name for p in path.iterdir())
  found = [f for f in here if pattern.fullmatch(f.removesuffix('.gz'))]
  if not found:
    raise UserError(
      f'{name}: {path} has no {_SPLITS[config.split]}-images-idx3-ubyte or'
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


def _read(path, name):
  """An array of bytes: magic 0 0 8 ndim, big-endian sizes, then the data."""
  try:
    data = path.read_bytes()
    if data[:2] == b'\x1f\x8b':
      data = gzip.decompress(data)
    zeros, kind, ndim = struct.unpack_from('>HBB', data)
    if zeros != 0 or kind != 8:
      raise ValueError('it does not begin with the magic number of bytes')
    shape = struct.unpack_from(f'>{ndim}I', data, 4)
    body = len(data) - 4 - 4 * ndim
    if body != math.prod(shape):
      raise ValueError(
        f'its header promises {math.prod(shape):,} bytes, it has {body:,}'
      )
  except (OSError, EOFError, ValueError, zlib.error, struct.error) as e:
    raise UserError(
      f'{name}: {path} is not a whole file of the idx format ({e}); fetch it'
      ' again.'
    ) from None
  return np.frombuffer(data, np.uint8, offset=4 + 4 * ndim).reshape(shape)
