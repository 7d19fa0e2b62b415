"""MS-SSIM against ProGAN's released code and the definition of SSIM."""

import numpy as np
import pytest
import scipy.ndimage

from gan_jax.errors import UserError
from gan_jax.metrics import ms_ssim
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('metrics')


@pytest.mark.parametrize('size', ['p128', 'p64'])
def test_golden(size):
  a, b = (inputs.value(ABOUT, ARRAYS, f'ms_{k}_{size}') for k in 'ab')
  case = f'msssim_{size}'

  def error(ours, name):
    return rule.relative_error(ours, *rule.stored(ABOUT, ARRAYS, case, name))

  assert error(ms_ssim.ms_ssim(a, b), 'per_pair') < 1e-5
  similarity, structure = ms_ssim.ssim(a, b)
  assert error(similarity, 'ssim_scale0') < 1e-5
  assert error(structure, 'cs_scale0') < 1e-5
  pairs = np.stack([a, b], 1).reshape(-1, *a.shape[1:])
  among = ms_ssim.ms_ssim_among(pairs, batch=4)
  assert error(among, 'metric_interleaved') < 1e-5
  odd = np.concatenate([pairs, a[:1]])
  assert ms_ssim.ms_ssim_among(odd, batch=4) == pytest.approx(among)


def test_one_scale_against_scipys_filter():
  rng = np.random.default_rng(0)
  a, b = rng.integers(0, 256, (2, 1, 20, 24, 1)).astype(np.float64)

  def blur(x):
    kept = (slice(None), slice(5, -5), slice(5, -5))
    sigma = (0, 1.5, 1.5, 0)
    return scipy.ndimage.gaussian_filter(x, sigma, truncate=5 / 1.5)[kept]

  c1, c2 = 2.55**2, 7.65**2
  ma, mb = blur(a), blur(b)
  va, vb, cov = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
  cs = (2 * cov + c2) / (va + vb + c2)
  expected = ((2 * ma * mb + c1) / (ma**2 + mb**2 + c1) * cs).mean()
  got = ms_ssim.ssim(a, b)
  np.testing.assert_allclose(got[0], expected, rtol=1e-5)
  np.testing.assert_allclose(got[1], cs.mean(), rtol=1e-5)


@pytest.mark.parametrize('height, width', [(3, 16), (17, 33)])
def test_equal_images_score_one_and_opposite_ones_zero(height, width):
  x = np.random.default_rng(height).integers(0, 2, (2, height, width, 1)) * 255
  np.testing.assert_allclose(ms_ssim.ms_ssim(x, x), 1, atol=1e-5)
  np.testing.assert_allclose(ms_ssim.ms_ssim(x, 255 - x), 0, atol=1e-5)


def test_a_single_image_is_refused():
  with pytest.raises(UserError, match='pairs'):
    ms_ssim.ms_ssim_among(np.zeros((1, 16, 16, 3)))
