"""Parts of a split, and random crops."""

import pickle
import struct
import types

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
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


PLACES = st.one_of(
  st.just(''),
  st.integers(-130, 130).map(str),
  st.integers(0, 30).map('1_{}'.format),
)
PERCENT = st.one_of(
  st.just(''),
  st.integers(-101, 101).map('{}%'.format),
  st.floats(-100, 100).map('{:.2f}%'.format),
)


@settings(max_examples=400)
@given(
  st.one_of(st.tuples(PLACES, PLACES), st.tuples(PERCENT, PERCENT)),
  st.integers(1, 120),
)
def test_a_part_is_what_tfds_makes_of_it(ends, n):
  split = f'val[{ends[0]}:{ends[1]}]'
  infos = {'val': types.SimpleNamespace(num_examples=n)}
  try:
    spec = tfds.core.ReadInstruction.from_spec(split)
    (want,) = spec.to_absolute(infos)
    want = range(n)[want.from_ : want.to]
  except ValueError:
    want = range(0)
  try:
    name, found = part.parse(split)
    found = range(*found.bounds(n)) if found else range(0)
  except UserError:
    found = range(0)
  # The one exception: a share below 0 that is less than half a sample.
  tiny = [e for e in ends if e.startswith('-') and '%' in e]
  if not any(round(float(e[:-1]) * n / 100) == 0 for e in tiny):
    assert found == want


@given(
  st.one_of(st.integers(-99, 99).map('{}'.format), PERCENT.filter(bool)),
  st.integers(1, 120),
)
def test_two_sides_of_a_place_are_disjoint_and_complete(place, n):
  def rows(split):
    try:
      return list(range(*part.parse(split)[1].bounds(n)))
    except UserError as error:
      assert '\n' not in str(error)
      return None

  sides = [rows(f'a[:{place}]'), rows(f'a[{place}:]')]
  there = [side for side in sides if side is not None]
  if there:  # where one is empty the other is the whole
    assert sum(there, []) == list(range(n))
  else:
    assert abs(int(place.strip('%').partition('.')[0])) >= min(n, 100)


SOURCES = [
  'digits',
  'toy:ring8',
  'text:builtin',
  'npz:{}/a.npz',
  'idx:{}/x-idx3-ubyte',
]
NOT_UNDERSTOOD = [
  '', 'val', 'Train', 'train ', 'train+train', 'train[:5]+train[7:]',
  'train[:3shard]', 'train[3]', 'train[a:b]', 'train[', 'train[]', 'train[:]',
  'train[:2:3]', 'train[:5', 'train:5]', 'train[[:5]]', 'train[:²]',
  'train[:１２]', 'train[:٣]', 'train[:1e1]', 'train[:0x5]', 'train[:+5]',
  'train[:--5]', 'train[:-]', 'train[:5_]', 'train[:1.5]', 'train[:1.2.3%]',
  'train[:101%]', 'train[-101%:]', 'train[:nan%]', 'train[:inf%]',
  'train[1:50%]', 'train[:5 %]', 'train[: 5]', 'train\n[:5]', 'train[:5]\n',
  'train[:%]', 'train[99999999:]', f'train[:{"9" * 5000}]',
  f'train[:{"9" * 5000}%]', f'train[-{"9" * 5000}:]', 'train[:.]', 'train[:_]',
]  # fmt: skip


@pytest.mark.parametrize('name', SOURCES)
def test_a_split_that_is_not_understood_is_refused(
  name, place, tmp_path, open_source
):
  head = struct.pack('>HBBIII', 0, 8, 3, 9, 4, 4)
  (tmp_path / 'x-idx3-ubyte').write_bytes(head + bytes(9 * 16))
  name = name.format(tmp_path)
  small = dict(resolution=4) if name[0] != 't' else {}
  whole = len(open_source(name, **small))
  assert len(open_source(name, split='train[-3:]', **small)) == 3
  assert len(open_source(name, split='train[:-3]', **small)) == whole - 3
  for split in NOT_UNDERSTOOD:
    with pytest.raises(UserError) as error:
      open_source(name, split=split, **small)
    said = str(error.value)
    assert 'config.data' in said and len(said) < 500, split


def test_parts_know_whether_they_share_a_sample(place, open_source):
  parts = {
    split: open_source(place, split=split, resolution=4)
    for split in ('train[:90%]', 'train[-10%:]', 'train[80%:]')
  }
  first, last, wide = parts.values()
  assert not first.shares_with(last) and not last.shares_with(first)
  assert first.shares_with(wide) and wide.shares_with(last)
  assert not first.shares_with(open_source('digits', split='train[:9]'))


def test_a_class_that_a_part_lacks_is_named(place, open_source):
  source = open_source(place, split='train[:2]', resolution=4)
  lacking = set('0123') - {str(k) for k in source.arrays()[1]}
  assert lacking and source.classes == ('0', '1', '2', '3')
  assert f'no picture of {", ".join(sorted(lacking))}' in source.report


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
