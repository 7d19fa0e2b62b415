"""A sample's label and the bytes it is told by, without decoding it."""

import numpy as np
import pytest
from PIL import Image

from gan_jax.config import defaults
from gan_jax.data import open_source
from gan_jax.data.part import Part


def opened(source, **section):
  config = defaults()
  config.data.update(source=source, resolution=8, **section)
  return open_source(config.data)


@pytest.fixture(name='folder')
def _folder(tmp_path):
  rng = np.random.default_rng(0)
  for i in range(6):
    (tmp_path / 'ab'[i % 2]).mkdir(exist_ok=True)
    array = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / 'ab'[i % 2] / f'{i}.png')
  return tmp_path


BUDGETS = (0, 1024)  # decoded when they are read; kept by the scan


@pytest.mark.parametrize('budget', BUDGETS)
def test_of_a_folder(folder, budget):
  make = lambda **more: opened(
    f'folder:{folder}', device_budget_mb=budget, **more
  )
  source = make()
  count = len(source)
  assert [source.label(i) for i in range(count)] == [
    source[i][1] for i in range(count)
  ]
  before = [source.content(i) for i in range(count)]
  assert before == [make().content(i) for i in range(count)]
  assert len(set(before)) == count
  # One picture is edited in place; its neighbours are what they were.
  file = folder / 'a' / '2.png'
  array = np.array(Image.open(file))
  array[3, 3] ^= 1
  Image.fromarray(array).save(file)
  after = [make().content(i) for i in range(count)]
  assert [a != b for a, b in zip(before, after, strict=True)] == [
    name == 'a/2.png' for name in source.names
  ]
  # The same files in another form are other samples.
  grey = make(channels=1)
  assert all(grey.content(i) != after[i] for i in range(count))


@pytest.mark.parametrize('name', ['digits', 'toy:ring8'])
def test_of_other_sources_and_parts(name):
  source = opened(name)
  part = Part(source, np.array([3, 1]), 'train[:2]')
  for k, i in enumerate((3, 1)):
    assert part.label(k) == source.label(i) == source[i][1]
    assert part.content(k) == source.content(i)
  assert source.content(1) != source.content(3)
