"""Nearest-neighbour measures against other code and plain NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
  def radius(x):
    return np.sort(cdist(x, x), 1)[:, k]

  d = cdist(real, fake)
  inside = d <= radius(real)[:, None]
  return {
    'precision': inside.any(0).mean(),
    'recall': (d <= radius(fake)).any(1).mean(),
    'density': inside.sum(0).mean() / k,
    'coverage': inside.any(1).mean(),
  }


@settings(max_examples=15, deadline=None)
@given(
  n=st.integers(6, 80), m=st.integers(6, 80), k=st.integers(1, 5),
  offset=st.sampled_from([0, 1000]),
)  # fmt: skip
def test_integer_points_with_ties_and_duplicates(n, m, k, offset):
  """Whole numbers, so that equal distances are equal in float32 too."""
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
