"""Streaming moments and the Frechet distance."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax.errors import UserError
from gan_jax.metrics import frechet
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('metrics')


def golden(key):
  return inputs.value(ABOUT, ARRAYS, key)


def test_the_rule_re_creates_the_stored_inputs():
  kept = np.transpose(ARRAYS['in/pyr_x'], (0, 2, 3, 1))
  np.testing.assert_array_equal(golden('pyr_x'), kept)
  np.testing.assert_array_equal(golden('pr_real'), ARRAYS['in/pr_real'])


@pytest.mark.parametrize(
  'case, fake, tolerance',
  [('fid', 'feat_fake', 1e-6), ('fid_singular', 'feat_small', 1e-6)],
)
def test_against_torch_fidelity(case, fake, tolerance):
  out = ABOUT['cases'][case]['out']
  real = golden('feat_real')
  got = frechet.frechet(real, golden(fake))
  expected = out['fid_torch_fidelity']['value']
  assert got == pytest.approx(expected, rel=tolerance)
  moments = frechet.moments(real)
  for name, ours in (('mean_real', moments.mean), ('cov_real', moments.cov)):
    kept = rule.stored(ABOUT, ARRAYS, case, name)
    assert rule.relative_error(ours, *kept) < 1e-6


def test_against_stylegan2_ada_whose_covariance_divides_by_n():
  a, b = (frechet.moments(golden(k)) for k in ('feat_real', 'feat_fake'))
  ca, cb = (m.cov * ((m.count - 1) / m.count) for m in (a, b))
  got = frechet.frechet_distance(a.mean, ca, b.mean, cb)
  expected = ABOUT['cases']['fid']['out']['fid_stylegan2_ada_biased_cov']
  assert got == pytest.approx(expected['value'], rel=1e-6)


@pytest.mark.parametrize(
  'dim, n, m', [(40, 300, 200), (40, 30, 300), (40, 30, 20), (200, 90, 110)]
)
def test_the_matrix_root_does_not_drift(dim, n, m):
  """Against singular values of the data, which no covariance has rounded."""
  rng = np.random.default_rng(dim + n)
  mix = rng.normal(size=(dim, dim)) * np.exp(-np.arange(dim) / dim * 6)
  x, y = rng.normal(size=(n, dim)) @ mix, 1.2 * rng.normal(size=(m, dim)) @ mix
  cx, cy = ((d - d.mean(0)) / np.sqrt(len(d) - 1) for d in (x, y))
  root_trace = scipy.linalg.svdvals(cx @ cy.T).sum()
  expected = (
    np.sum((x.mean(0) - y.mean(0)) ** 2)
    + np.sum(cx**2)
    + np.sum(cy**2)
    - 2 * root_trace
  )
  got = frechet.frechet_distance(
    x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False)
  )
  assert got == pytest.approx(expected, rel=1e-12)


def test_equal_sets_and_sets_without_spread():
  x = np.random.default_rng(0).normal(size=(50, 20))
  assert abs(frechet.frechet(x, x)) < 1e-12
  still = np.ones((5, 20))
  assert frechet.frechet(still, still + 2) == pytest.approx(80)


def test_features_that_are_not_finite_give_nan():
  x = np.random.default_rng(0).normal(size=(50, 3))
  assert np.isnan(frechet.frechet(x, np.where(x > 2, np.nan, x)))


@settings(max_examples=30, deadline=None)
@given(
  sizes=st.lists(st.integers(0, 40), min_size=1, max_size=8),
  split=st.integers(0, 8),
  offset=st.sampled_from([0.0, 1e4]),
)
def test_moments_do_not_depend_on_batches(sizes, split, offset):
  rng = np.random.default_rng(sum(sizes))
  batches = [rng.normal(size=(n, 3)) + offset for n in sizes]
  one, other = frechet.Moments(3), frechet.Moments(3)
  one._ROWS = 16  # several updates
  for i, batch in enumerate(batches):
    (one if i < split else other).add(batch)
  one.merge(other)
  x = np.concatenate(batches)
  assert one.count == len(x)
  if len(x) < 2:
    with pytest.raises(UserError, match='at least 2 samples'):
      _ = one.cov
    return
  np.testing.assert_allclose(one.mean, x.mean(0), rtol=1e-12, atol=1e-12)
  expected = np.cov(x, rowvar=False)
  np.testing.assert_allclose(one.cov, expected, rtol=1e-9, atol=1e-9)


def test_a_buffer_may_be_used_again():
  moments, buffer = frechet.Moments(2), np.zeros((3, 2))
  moments.add(buffer)
  buffer += 1
  moments.add(buffer)
  np.testing.assert_allclose(moments.mean, [0.5, 0.5])


def test_features_of_another_width_are_refused():
  with pytest.raises(TypeError, match=r'\[N, 3\]'):
    frechet.Moments(3).add(np.zeros((5, 4)))


@pytest.mark.parametrize('decay', [0.0, 1.0, 4.0])
@pytest.mark.parametrize('n', [20, 40, 400])
def test_the_bias_of_small_sets(decay, n):
  """Against the mean of distances between pairs of sets; D = 40 features."""
  rng, dim = np.random.default_rng(0), 40
  mix = rng.normal(size=(dim, dim)) * np.exp(-decay * np.arange(dim) / dim)
  draw = lambda: np.maximum(rng.normal(size=(n, dim)) @ mix, -1)
  cov = np.cov(np.concatenate([draw() for _ in range(20_000 // n)]).T)
  pairs = range(40 if n < 400 else 12)
  found = np.mean([frechet.frechet(draw(), draw()) for _ in pairs])
  assert frechet.expected_bias(cov, n, n) == pytest.approx(found, rel=0.12)
  # The covariance of the sample at hand is too small a one.
  own = [frechet.expected_bias(np.cov(draw().T), n, n) for _ in range(10)]
  assert 0.5 < np.mean(own) / found < 1.05
  if n == 10 * dim:
    assert np.mean(own) / found > 0.85
