"""Nearest-neighbour measures against other code and plain NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from gan_jax.errors import UserError
from gan_jax.metrics import neighbours
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('metrics')
REAL, FAKE = (inputs.value(ABOUT, ARRAYS, k) for k in ('pr_real', 'pr_fake'))


@pytest.mark.parametrize('k', [3, 5])
@pytest.mark.parametrize('block', [128, 2048])
def test_golden(k, block):
  out = ABOUT['cases'][f'prdc_k{k}']['out']
  got = neighbours.prdc(REAL, FAKE, k, block)
  for name in ('precision', 'recall', 'density', 'coverage'):
    expected = out[f'prdc_package/{name}']['value']
    assert got[name] == pytest.approx(expected, abs=1e-8), name
  for name in ('precision', 'recall'):
    for source in ('torch_fidelity', 'stylegan2_ada_fp32'):
      expected = out[f'{name}_{source}']['value']
      assert got[name] == pytest.approx(expected, abs=1e-6)


def plain(real, fake, k):
  """By all distances, in float64."""
  real, fake = np.float64(real), np.float64(fake)
  squared = lambda a, b: cdist(a, b, 'sqeuclidean')

  def radius(x):
    return np.sort(squared(x, x), 1)[:, k]

  d = squared(real, fake)
  inside = d <= radius(real)[:, None]
  return {
    'precision': inside.any(0).mean(),
    'recall': (d <= radius(fake)).any(1).mean(),
    'density': inside.sum(0).mean() / k,
    'coverage': inside.any(1).mean(),
  }


def clusters(width, dim, offset=0.0, scale=1.0, seed=0, count=400):
  """Two sets of eight clusters of a width, a unit apart."""
  rng = np.random.default_rng(seed)
  centres = rng.normal(size=(8, dim)) / np.sqrt(dim)
  sets = []
  for _ in range(2):
    x = centres[rng.integers(8, size=count)]
    x = x + width * rng.normal(size=(count, dim)) / np.sqrt(dim)
    sets.append(np.float32(scale * (x + offset)))
  return sets


def twice(x):
  return np.concatenate([x, x[: len(x) // 2], x[:1].repeat(20, 0)])


HARD = {
  'clusters': clusters(0.02, 2),
  'narrow clusters': clusters(1e-4, 2),
  'clusters as narrow as float32 has them': clusters(1e-6, 2),
  'far from 0': clusters(0.02, 2, offset=1000),
  'far from 0, many features': clusters(0.5, 64, offset=300),
  'narrow clusters of many features': clusters(1e-5, 300),
  'features of thousands': clusters(0.3, 2000, scale=1e3, count=200),
  'tiny': clusters(0.02, 3, scale=1e-30),
  'huge': clusters(0.02, 3, scale=1e30),
  'one feature': clusters(0.1, 1),
  'samples twice': [twice(x) for x in clusters(0.02, 2)],
  'the set itself': [clusters(1e-3, 5)[0]] * 2,
  'a part of the set': [clusters(1e-3, 5)[0], clusters(1e-3, 5)[0][::2]],
  'one fake': [clusters(1, 4)[0], clusters(1, 4)[1][:1].repeat(50, 0)],
  'collapsed but for the last bits': [
    clusters(1, 4)[0], np.float32(1) + clusters(1e-6, 4)[1],
  ],
  'all one': [np.ones((300, 3), np.float32)] * 2,
}  # fmt: skip


@pytest.mark.parametrize('block', [64, 2048])
@pytest.mark.parametrize('k', [1, 5])
@pytest.mark.parametrize('name', HARD)
def test_it_is_what_all_distances_in_float64_give(name, k, block):
  real, fake = HARD[name]
  got, expected = neighbours.prdc(real, fake, k, block), plain(real, fake, k)
  assert got == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('name', HARD)
def test_nearest_are_those_of_float64(name):
  real, fake = HARD[name]
  index, distance = neighbours.nearest(fake, real, 4, block=64)
  d = cdist(np.float64(fake), np.float64(real), 'sqeuclidean')
  np.testing.assert_array_equal(index, np.argsort(d, 1, kind='stable')[:, :4])
  expected = np.sqrt(np.sort(d, 1)[:, :4])
  np.testing.assert_allclose(distance, expected, rtol=1e-12)


def test_float32_alone_is_not_enough():
  """What the tests above would not find if they were easy."""
  real, fake = HARD['narrow clusters']
  a, b = (np.float32(x) for x in (real, fake))
  d = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
  index, _ = neighbours.nearest(real, fake)
  assert (np.argmin(d, 1) != index[:, 0]).sum() > 3


def test_the_points_of_ring8_have_their_own_neighbours():
  """5,000 of each: products in float32 find 7 % others, and 12 % at 0."""
  rng = np.random.default_rng(0)
  angles = rng.integers(0, 8, (2, 5000)) * np.pi / 4
  centres = 2 * np.stack([np.cos(angles), np.sin(angles)], -1)
  queries, points = np.float32(centres + rng.normal(0, 0.02, centres.shape))
  index, distance = neighbours.nearest(queries, points)
  tree = KDTree(np.float64(points))
  wanted, nearest = tree.query(np.float64(queries))
  np.testing.assert_array_equal(index[:, 0], nearest)
  np.testing.assert_allclose(distance[:, 0], wanted, rtol=1e-12)


def test_what_is_not_finite_is_refused():
  bad = FAKE.copy()
  bad[3, 1] = np.nan
  with pytest.raises(UserError, match='has diverged'):
    neighbours.prdc(REAL, bad)
  with pytest.raises(UserError, match='has diverged'):
    neighbours.nearest(bad, REAL)


@settings(max_examples=15, deadline=None)
@given(
  n=st.integers(6, 80), m=st.integers(6, 80), k=st.integers(1, 5),
  offset=st.sampled_from([0, 1000]),
)  # fmt: skip
def test_integer_points_with_ties_and_duplicates(n, m, k, offset):
  """Whole numbers, so that equal distances are equal in any order of sums."""
  rng = np.random.default_rng(n * m)
  real = 1.0 * rng.integers(0, 4, (n, 3))
  real[0] += -real.sum(0) % n  # their mean is a whole number
  fake = 1.0 * rng.integers(0, 5, (m, 3))
  got = neighbours.prdc(real + offset, fake + offset, k, block=32)
  assert got == pytest.approx(plain(real, fake, k))


@pytest.mark.parametrize('shape', [(5, 700), (3, 128), (2, 1500)])
@pytest.mark.parametrize('k', [1, 4])
def test_smallest(shape, k):
  d = np.random.default_rng(k).integers(0, 50, shape).astype(np.float32)
  got = neighbours._smallest(d, k)
  np.testing.assert_array_equal(got, np.sort(d, 1)[:, :k])


def test_nearest_training_samples():
  rng = np.random.default_rng(0)
  train = rng.normal(size=(150, 4, 4, 1)) + 5
  fakes = np.concatenate(
    [train[[7, 149]] + 1e-3, rng.normal(size=(40, 4, 4, 1))]
  )
  index, distance = neighbours.nearest(fakes, train, 3, block=64)
  expected = cdist(fakes.reshape(42, -1), train.reshape(150, -1))
  np.testing.assert_array_equal(index, np.argsort(expected, 1)[:, :3])
  np.testing.assert_allclose(
    distance, np.sort(expected, 1)[:, :3], rtol=1e-4, atol=1e-3
  )
  assert index[:2, 0].tolist() == [7, 149]


def test_too_few_samples():
  with pytest.raises(UserError, match='more than 3 samples'):
    neighbours.prdc(REAL[:3], FAKE)
  with pytest.raises(UserError, match='at least 5 training samples'):
    neighbours.nearest(FAKE, REAL[:4], 5)
