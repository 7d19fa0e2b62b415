"""Laplacian pyramids and sliced Wasserstein distances."""

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

from gan_jax.errors import UserError
from gan_jax.metrics import pyramid, swd
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('metrics')


def golden(key):
  return inputs.value(ABOUT, ARRAYS, key)


def error(ours, case, name):
  return rule.relative_error(ours, *rule.stored(ABOUT, ARRAYS, case, name))


def test_pyramid():
  x = golden('pyr_x')
  for i, level in enumerate(pyramid.laplacian_pyramid(x, 3)):
    assert error(inputs.nchw(level), 'laplacian', f'level{i}') < 1e-6
  x = x.astype(np.float32)
  assert error(inputs.nchw(pyramid.down(x)), 'laplacian', 'pyr_down') < 1e-6
  assert error(inputs.nchw(pyramid.up(x[:1])), 'laplacian', 'pyr_up') < 1e-6


def test_pyramid_of_other_sizes_against_scipy():
  x = np.random.default_rng(0).normal(size=(2, 6, 10, 1)).astype(np.float32)
  taps = np.array([1, 4, 6, 4, 1]) / 16
  kernel = np.outer(taps, taps)[None, :, :, None]
  low = scipy.ndimage.convolve(x, kernel, mode='mirror')[:, ::2, ::2]
  np.testing.assert_allclose(pyramid.down(x), low, atol=1e-6)
  wide = np.zeros((2, 12, 20, 1), np.float32)
  wide[:, ::2, ::2] = x
  high = scipy.ndimage.convolve(wide, 4 * kernel, mode='mirror')
  np.testing.assert_allclose(pyramid.up(x), high, atol=1e-6)


def test_fixed_patches():
  """The stated draws: columns, then rows; a, then b; then directions."""
  args = ABOUT['cases']['swd_fixed']['args']
  rng = np.random.RandomState(args['np_seed'])
  found = []
  for key in ('a', 'b'):
    images = golden(f'swd_{key}').astype(np.float32)
    shape = (len(images), args['nhoods'])
    x, y = (rng.randint(3, 29, np.prod(shape)).reshape(shape) for _ in 'xy')
    found.append(swd.standardise(swd.patches(images, x, y)))
    assert error(found[-1], 'swd_fixed', f'descriptors_{key}') < 1e-6
  along = swd.directions(rng, 147, args['repeats'], args['dirs'])
  got = swd.sliced_wasserstein(*found, along)
  assert error(got, 'swd_fixed', 'swd') < 1e-6


def test_projections():
  args = ABOUT['cases']['swd_projection']['args']
  rng = np.random.RandomState(args['np_seed'])
  along = swd.directions(rng, 147, args['repeats'], args['dirs'])
  got = swd.sliced_wasserstein(golden('desc_a'), golden('desc_b'), along)
  assert error(got, 'swd_projection', 'swd') < 1e-6


def test_whole_metric_of_a_seed_and_within_the_spread_of_seeds():
  real, fake = golden('swdf_a'), golden('swdf_b')
  out = ABOUT['cases']['swd_full']['out']
  seed = ABOUT['cases']['swd_full']['args']['np_seed']
  exact, other = swd.swd(real, fake, seed, 32), swd.swd(real, fake, 1, 8)
  for level in ('64', '32', '16', 'avg'):
    ours = 'swd' if level == 'avg' else f'swd_{level}'
    first, mean, std = (
      out[f'swd_x1e3_{level}_{name}']['value']
      for name in ('first_seed', 'mean', 'std')
    )
    assert exact[ours] == pytest.approx(first, rel=1e-5)
    assert abs(other[ours] - mean) < 3 * std


def test_one_dimension_against_scipy():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(500, 1)), 3 + 2 * rng.normal(size=(500, 1))
  expected = scipy.stats.wasserstein_distance(a[:, 0], b[:, 0])
  got = swd.sliced_wasserstein(a, b, np.ones((1, 1), np.float32))
  assert got == pytest.approx(expected, rel=1e-5)


def test_host_and_device_agree():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(2, 300, 5)).astype(np.float32)
  along = swd.directions(np.random.RandomState(0), 5, 1, 70)  # two groups
  on_host, on_device = swd._on_host(a, b, along), swd._on_device(a, b, along)
  assert len(on_host) == 70
  np.testing.assert_allclose(on_host, on_device, rtol=1e-5)


def test_grey_images_and_equal_sets():
  x = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 1), np.uint8)
  rng = np.random.RandomState(0)
  one, other = (
    swd.Patches(16, np.random.RandomState(3), 4, 8) for _ in range(2)
  )
  one.add(x)
  other.add(x)
  assert swd.compare(one, other, rng) == {'swd_16': 0.0, 'swd': 0.0}


def test_wrong_sizes():
  x = np.zeros((2, 28, 28, 3), np.uint8)
  with pytest.raises(UserError, match='got 28'):
    swd.swd(x, x)
  x = np.zeros((2, 32, 32, 3), np.uint8)
  with pytest.raises(UserError, match='as many fakes'):
    swd.swd(x, x[:1])
