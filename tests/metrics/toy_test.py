"""Toy metrics against formulas written out, and against what must hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan_jax.data import toy as data
from gan_jax.errors import UserError
from gan_jax.metrics import toy


def ring(n=2000, seed=0):
  return data.points('ring8', seed, n)[0]


def test_the_data_themselves_cover_every_mode():
  for name, count in (('ring8', 8), ('ring10', 10), ('grid25', 25)):
    points, _ = data.points(name, 1, 5000)
    where = data.modes(name), data.deviation(name)
    assert toy.modes_covered(points, *where) == count
    # 1 - exp(-9 / 2) of a round Gaussian lies within 3 standard deviations.
    assert toy.high_quality(points, *where) == pytest.approx(0.98889, abs=5e-3)


@given(st.sets(st.integers(0, 7), min_size=1), st.integers(1, 40))
def test_modes_covered_counts_the_modes_that_were_kept(kept, least):
  points, label = data.points('ring8', 0, 400)  # 50 a mode
  points = points[np.isin(label, list(kept))]
  found = toy.modes_covered(points, data.modes('ring8'), 0.009, least)
  assert found == len(kept)


def test_few_samples_or_far_ones_cover_nothing():
  centres = np.array([[0.0, 0.0], [1.0, 0.0]])
  points = np.array([[0.05, 0.0], [0.0, 0.31], [0.9, 0.0], [1.0, 0.1]])
  assert toy.modes_covered(points, centres, 0.1) == 2
  assert toy.modes_covered(points, centres, 0.1, least=2) == 1
  assert toy.modes_covered(points, centres, 0.1, least=3) == 0
  assert toy.high_quality(points, centres, 0.1) == 0.75


def log_density(x, kernels, width):
  """log of the mean of Gaussians around the kernels, [len(x)]."""
  squared = ((x[:, None] - kernels[None]) ** 2).sum(-1)
  exponent = -0.5 * squared / width**2 - np.log(2 * np.pi * width**2)
  top = exponent.max(1, keepdims=True)
  return top[:, 0] + np.log(np.exp(exponent - top).mean(1))


def best_width(samples, widths, folds):
  """Cross-validation written out: total score of each part, averaged."""
  parts = np.array_split(np.arange(len(samples)), folds)
  scores = []
  for width in widths:
    held = []
    for part in parts:
      rest = np.delete(samples, part, axis=0)
      held.append(log_density(samples[part], rest, width).sum())
    scores.append(np.mean(held))
  return widths[int(np.argmax(scores))]


@pytest.mark.parametrize('seed', range(3))
def test_log_likelihood_is_the_formula(seed):
  rng = np.random.default_rng(seed)
  fake = rng.normal(size=(60, 2)).astype(np.float32)
  real = rng.normal(size=(40, 2)).astype(np.float32)
  widths = np.geomspace(0.05, 2.0, 8)
  width = best_width(np.float64(fake[:50]), widths, 5)
  expected = log_density(np.float64(real), np.float64(fake[:50]), width).mean()
  got = toy.log_likelihood(fake, real, 50, bandwidths=widths)
  assert got == pytest.approx(expected, abs=1e-9)
  density = toy.kernel_density(fake[:50], widths)
  assert density.bandwidth == pytest.approx(width)


def test_a_missed_mode_costs_likelihood():
  points, label = data.points('ring8', 0, 1000)
  real = ring(seed=1)
  whole = toy.log_likelihood(points, real)
  missed = toy.log_likelihood(points[label != 3], real)
  # Analytic entropy of eight far round Gaussians: log 8 + log(2 pi e s^2).
  entropy = np.log(8) + np.log(2 * np.pi * np.e * 0.009**2)
  assert -entropy - 0.3 < whole < -entropy + 0.1
  assert missed < whole - 1.0


def test_coverage_is_the_formula():
  rng = np.random.default_rng(0)
  fake, real = rng.normal(size=(300, 2)), rng.normal(size=(200, 2))
  got = toy.coverage(fake, real, 0.9, 100, bandwidths=[0.3])
  score = lambda x: log_density(x, fake[:100], 0.3)
  threshold = np.sort(score(fake[100:]))[int(0.1 * 200)]
  assert got == pytest.approx(np.mean(score(real) > threshold), abs=0.011)


def test_coverage_of_the_data_and_of_half_of_them():
  points, label = data.points('ring8', 0, 2500)
  real = ring(seed=1)
  assert toy.coverage(points, real) == pytest.approx(0.95, abs=0.04)
  half = toy.coverage(points[label < 4], real)
  assert half == pytest.approx(0.5 * 0.95, abs=0.04)
  with pytest.raises(UserError, match='more than 500 samples'):
    toy.coverage(points[:500], real)  # none left for the threshold
