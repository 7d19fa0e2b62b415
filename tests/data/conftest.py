"""What the tests of the data folder share."""

import io

import numpy as np
import pytest
from PIL import Image

from gan_jax import data
from gan_jax.config import defaults


def open_with(source, **changes):
  """Opens a source with the default config but for some keys."""
  config = defaults().data
  config.update(source=str(source), **changes)
  return data.open_source(config)


@pytest.fixture(name='open_source', scope='session')
def _open_source():
  return open_with


def encode_picture(image, kind='PNG', **options):
  """A picture, or an array of one, as the bytes of a file."""
  if isinstance(image, np.ndarray):
    image = Image.fromarray(image)
  file = io.BytesIO()
  image.save(file, kind, **options)
  return file.getvalue()


@pytest.fixture(name='encode', scope='session')
def _encode():
  return encode_picture


@pytest.fixture(name='photo', scope='session')
def _photo():
  """uint8 [48, 64, 3]: smooth, with an edge, no two corners alike."""
  y, x = np.mgrid[0:48, 0:64]
  image = np.stack([4 * x, 5 * y, 255 - 2 * (x + y)], -1).clip(0, 255)
  image[10:20, 8:30] = [200, 30, 40]
  return image.astype(np.uint8)
