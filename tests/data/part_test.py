"""Parts of a split, and random crops."""

import pickle

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax.data import part
from gan_jax.data.augment import random_crop
from gan_jax.errors import UserError


@pytest.fixture(name='place')
def _place(tmp_path):
  """An archive of 40 pictures, the k-th all of grey k, classes in a row."""
  image = np.arange(40, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
  np.savez(tmp_path / 'a.npz', image=image, label=np.arange(40) // 10)
  return f'npz:{tmp_path}/a.npz'


def greys(source):
  images, labels = source.arrays()
  grey = images[:, 0, 0, 0]
  assert (labels == grey // 10).all()
  return grey.tolist()


def test_parts_are_disjoint_mixed_and_complete(place, open_source):
  form = dict(resolution=4, channels=1)
  train = open_source(place, split='train[:90%]', **form)
  test = open_source(place, split='train[90%:]', **form)
  assert (len(train), len(test)) == (36, 4)
  assert sorted(greys(train) + greys(test)) == list(range(40))
  assert greys(train) != sorted(greys(train))
  assert greys(open_source(place, split='train[36:]', **form)) == greys(test)
  assert train.classes == test.classes == ('0', '1', '2', '3')
  assert 'of these   train[90%:]: 4' in test.report
  again = pickle.loads(pickle.dumps(test))
  assert (again[2][0] == test[2][0]).all()


def test_an_empty_part_is_refused(place, open_source):
  with pytest.raises(UserError, match='is empty: it has 40'):
    open_source(place, split='train[5:5]')


@given(st.integers(0, 99), st.integers(0, 99), st.sampled_from(['', '%']))
def test_parse_takes_what_tfds_does(a, b, unit):
  inside = f'{a}{unit}:{b}{unit}'
  assert part.parse(f'val[{inside}]') == ('val', inside)
  assert part.parse('val') == ('val', '')
  # Not a part: the source itself says what its splits are.
  assert part.parse(f'val[{a}]') == (f'val[{a}]', '')


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31))
def test_random_crop_moves_pictures_over_black(seed):
  pad, side = 2, 5
  rng = np.random.default_rng(seed)
  images = rng.uniform(0.1, 1.0, (2, 30, side, side, 1)).astype(np.float32)
  got = random_crop(images, jax.random.key(seed), pad)
  assert got.shape == images.shape
  padded = np.pad(
    images, ((0, 0),) * 2 + ((pad, pad),) * 2 + ((0, 0),), constant_values=-1
  )
  corners = set()
  for k in np.ndindex(2, 30):
    found = [
      (i, j)
      for i in range(2 * pad + 1)
      for j in range(2 * pad + 1)
      if (padded[k][i : i + side, j : j + side] == got[k]).all()
    ]
    assert len(found) == 1
    corners |= set(found)
  assert len(corners) > 12  # of 25, after 60 draws
