"""KID against torch-fidelity, StyleGAN2-ADA and a plain formula."""

import numpy as np
import pytest

from gan_jax.errors import UserError
from gan_jax.metrics import kernel
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('metrics')
OUT = ABOUT['cases']['kid']['out']
REAL, FAKE = (
  inputs.value(ABOUT, ARRAYS, key) for key in ('feat_real', 'feat_fake')
)


@pytest.fixture(autouse=True, params=['host', 'device'])
def where(request, monkeypatch):
  """Either way to the products, whatever this machine's is."""
  monkeypatch.setattr(kernel, '_on_host', lambda: request.param == 'host')


@pytest.mark.parametrize(
  'subsets, size, seed', ABOUT['cases']['kid']['args']['settings']
)
def test_subsets_as_torch_fidelity_draws_them(subsets, size, seed):
  mean, std = kernel.kid(REAL, FAKE, subsets, size, seed)
  name = f'{subsets}_{size}_seed{seed}'
  assert mean == pytest.approx(OUT[f'kid_mean/{name}']['value'], rel=1e-5)
  assert std == pytest.approx(OUT[f'kid_std/{name}']['value'], rel=1e-5)


def test_subsets_of_stylegan2_ada():
  args = ABOUT['cases']['kid']['args']
  mean, _ = kernel.kid(REAL, FAKE, *args['sg2'], seed=args['np_seed'])
  expected = OUT['kid_stylegan2_ada_20_120']['value']
  assert mean == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('block', [64, 150, 2048])
def test_all_pairs_whatever_the_blocks(block):
  got = kernel.mmd2(REAL, FAKE, block)
  assert got == pytest.approx(OUT['mmd2_unbiased_all']['value'], rel=1e-5)


def test_sets_of_two_sizes_against_the_formula():
  real, fake = REAL[:70].astype(np.float64), FAKE[:45].astype(np.float64)

  def k(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3

  def others(x):
    return (k(x, x).sum() - np.trace(k(x, x))) / (len(x) * (len(x) - 1))

  expected = others(real) + others(fake) - 2 * k(real, fake).mean()
  assert kernel.mmd2(real, fake, 32) == pytest.approx(expected, rel=1e-5)


def test_small_differences_keep_their_digits():
  """A KID near zero is what is left of sums a thousand times as large."""
  rng = np.random.default_rng(0)
  real, fake = rng.random((2, 1500, 64)).astype(np.float32)
  x, y = real.astype(np.float64), fake.astype(np.float64)
  sums = [(a @ b.T / 64 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
  n = len(x)
  own = sum(s.sum() - np.trace(s) for s in sums[:2]) / (n * (n - 1))
  expected = own - 2 * sums[2].mean()
  assert kernel.mmd2(real, fake) == pytest.approx(expected, abs=2e-8)


def test_too_few_samples_for_a_subset():
  with pytest.raises(UserError, match='at least 500 samples'):
    kernel.kid(REAL, FAKE, size=500)
  with pytest.raises(UserError, match='at least 2 samples'):
    kernel.mmd2(REAL[:1], FAKE)
