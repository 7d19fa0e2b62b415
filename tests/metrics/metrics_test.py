"""Metrics against other ways of computing them."""

import numpy as np
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax import metrics
from gan_jax.metrics import frechet


def moments(rng, dim, count):
  x = rng.normal(size=(count, dim)) @ rng.normal(size=(dim, dim))
  x += rng.normal(size=dim)
  return x.mean(0), np.cov(x, rowvar=False)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), dim=st.integers(2, 12))
def test_frechet_distance_against_scipys_matrix_root(seed, dim):
  rng = np.random.default_rng(seed)
  (ma, ca), (mb, cb) = moments(rng, dim, 100), moments(rng, dim, 90)
  root = scipy.linalg.sqrtm(ca @ cb).real
  expected = np.sum((ma - mb) ** 2) + np.trace(ca + cb - 2 * root)
  got = metrics.frechet_distance(ma, ca, mb, cb)
  np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


def test_frechet_distance_of_gaussians_known_in_closed_form():
  """Same mean, C and 4 C: tr(C + 4 C - 2 x 2 C) = tr C; rank 1 of 3 too."""
  c = np.outer([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
  zero = np.zeros(3)
  got = metrics.frechet_distance(zero, c, zero, 4 * c)
  np.testing.assert_allclose(got, 14.0, rtol=1e-6)


def test_pixel_features_are_means_of_cells():
  x = np.random.default_rng(0).normal(size=(3, 32, 32, 2))
  cells = x.reshape(3, 8, 4, 8, 4, 2).mean((2, 4)).reshape(3, -1)
  np.testing.assert_allclose(frechet.pixel_features(x), cells)
  assert frechet.pixel_features(x[:, :28, :28]).shape == (3, 128)
  points = np.ones((5, 2))
  np.testing.assert_array_equal(frechet.pixel_features(points), points)


def test_frechet_pixels_grows_with_the_change():
  x = np.random.default_rng(0).normal(size=(200, 8, 8, 1))
  near, far = (metrics.frechet_pixels(x, x + s) for s in (0.1, 0.5))
  np.testing.assert_allclose([near, far], [0.01 * 64, 0.25 * 64], rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
  real=st.lists(st.integers(-3, 3), min_size=1, max_size=9),
  fake=st.lists(st.integers(-3, 3), min_size=1, max_size=9),
)
def test_ranked_counts_pairs(real, fake):
  wins = [(r > f) + 0.5 * (r == f) for r in real for f in fake]
  np.testing.assert_allclose(metrics.ranked(real, fake), np.mean(wins))
