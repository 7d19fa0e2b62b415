"""Walks: where their vectors lie, how smooth they are, that they close."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, signal

from gan_jax.explore.walk import BY_DISTRIBUTION, PATHS, turned, walk
from gan_jax.nn.latent import DISTRIBUTIONS

T, Z, SIGMA = 240, 64, 6.0


def test_every_distribution_has_its_walk():
  assert BY_DISTRIBUTION.keys() == DISTRIBUTIONS.keys() == PATHS.keys()


@settings(max_examples=20, deadline=None)
@given(
  frames=st.integers(1, 90),
  size=st.integers(2, 40),
  sigma=st.floats(0.05, 60),
  seed=st.integers(0, 2**32 - 1),
)
def test_vectors_are_ones_that_a_generator_knows(frames, size, sigma, seed):
  z = walk([seed], frames, size, sigma, 'normal')
  assert z.shape == (frames, 1, size) and z.dtype == np.float32
  np.testing.assert_allclose(np.linalg.norm(z, axis=-1), size**0.5, rtol=1e-4)
  z = walk([seed], frames, size, sigma, 'uniform')
  assert np.isfinite(z).all() and np.abs(z).max() <= 1


def test_uniform_stays_uniform():
  """Whatever the blur, the numbers have the variance that training drew."""
  z = walk(range(12), T, Z, SIGMA, 'uniform')
  assert z.mean() == pytest.approx(0, abs=0.03)
  assert z.var() == pytest.approx(1 / 3, rel=0.05)


@pytest.mark.parametrize('distribution', DISTRIBUTIONS)
def test_after_the_last_frame_comes_the_first(distribution):
  z = walk([3, 4], T, Z, SIGMA, distribution)
  step = np.linalg.norm(np.roll(z, -1, 0) - z, axis=-1)
  # The seam is a step like all others; two frames far apart are not.
  assert step[-1].max() < 1.5 * step[:-1].max()
  assert step[-1].min() > 0
  assert step.max() < 0.4 * np.linalg.norm(z[0] - z[T // 2], axis=-1).min()


def test_the_spectrum_is_the_gaussians():
  """Power by frequency falls as that of SciPy's filter does."""
  z = walk(range(16), T, Z, SIGMA, 'normal').reshape(T, -1)
  _, power = signal.periodogram(z, axis=0, detrend=False)
  power = power.mean(1)
  kernel = ndimage.gaussian_filter1d(np.eye(1, T)[0], SIGMA, mode='wrap')
  wanted = np.abs(np.fft.rfft(kernel)) ** 2
  strong = wanted[1:] > 0.05 * wanted[0]
  ratio = power[1:][strong] / wanted[1:][strong]
  np.testing.assert_allclose(ratio / ratio.mean(), 1, atol=0.2)
  assert power[T // 4 :].max() < 1e-3 * power[1]
  # Correlation between frames d apart: exp(-d^2 / (4 sigma^2)).
  near = np.mean(z * np.roll(z, -6, 0))
  assert near == pytest.approx(np.exp(-36 / (4 * SIGMA**2)), abs=0.03)


def test_a_walk_depends_on_its_seed_alone():
  both, one = (walk(seeds, 20, 5, 2.0, 'normal') for seeds in ([7, 9], [9]))
  assert (both[:, 1] == one[:, 0]).all()
  assert np.abs(both[:, 0] - both[:, 1]).max() > 0.1


vectors = st.integers(0, 2**32 - 1).map(
  lambda seed: np.random.default_rng(seed).normal(size=(2, 9)).astype('f')
)


@pytest.mark.parametrize('distribution', PATHS)
@settings(max_examples=30, deadline=None)
@given(two=vectors, long=st.floats(0.1, 10), way=st.floats(0, 1))
def test_a_path_leads_from_one_to_the_other(distribution, two, long, way):
  a, b = two[0] * np.float32(long), two[1]
  path = PATHS[distribution]
  z = path(a, b, np.array([0, way, 1]))
  assert z.dtype == np.float32 and z.shape == (3, 9)
  np.testing.assert_allclose(z[[0, 2]], [a, b], rtol=1e-4, atol=1e-5)
  # Backwards it is the same path.
  back = path(b, a, np.array([1 - way]))
  np.testing.assert_allclose(z[1], back[0], rtol=1e-3, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(two=vectors, long=st.floats(0.1, 10), way=st.floats(0, 1))
def test_a_turn_is_even_in_angle_and_in_length(two, long, way):
  a, b = two[0] * np.float32(long), two[1]
  (z,) = turned(a, b, np.array([way]))
  lengths = [np.linalg.norm(x) for x in (a, b, z)]
  assert lengths[2] == pytest.approx(
    (1 - way) * lengths[0] + way * lengths[1], rel=1e-4
  )
  cosine = lambda x, y: x @ y / np.linalg.norm(x) / np.linalg.norm(y)
  whole = np.arccos(cosine(a, b))
  assert cosine(a, z) == pytest.approx(np.cos(way * whole), abs=1e-4)
  assert cosine(z, b) == pytest.approx(np.cos((1 - way) * whole), abs=1e-4)


def test_vectors_of_one_line_have_a_path():
  a = np.float32([1, 2, 0])
  for b in (a, 3 * a, -a, 0 * a):
    z = turned(a, b, np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(z, [a, (a + b) / 2, b], atol=1e-6)
