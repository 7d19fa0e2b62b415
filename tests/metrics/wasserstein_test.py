"""Wasserstein-1 distances on a line, against the sorted numbers' own."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from gan_jax.metrics import wasserstein

DRAWS = {
  'normal': lambda rng, n: rng.standard_normal(n),
  'shifted': lambda rng, n: rng.standard_normal(n) * 0.9 + 5,
  'uniform': lambda rng, n: rng.uniform(-2, 2, n),
  'two far apart': lambda rng, n: (
    rng.choice([-50, 50], n) + rng.uniform(0, 1, n)
  ),
  'integers': lambda rng, n: rng.integers(-3, 4, n),
  'constant': lambda rng, n: np.full(n, 0.25),
  'heavy tails': lambda rng, n: rng.standard_cauchy(n),
  'one far out': lambda rng, n: np.append(rng.standard_normal(n - 1), 1e6),
}


def expected(a, b):
  a, b = (np.sort(x.astype(np.float64)) for x in (a, b))
  return np.abs(a - b).mean()


@hypothesis.given(
  one=st.sampled_from(sorted(DRAWS)),
  other=st.sampled_from(sorted(DRAWS)),
  count=st.integers(1, 5_000),
  seed=st.integers(0, 2**32 - 1),
)
def test_any_two_sets_against_sorting(one, other, count, seed):
  """However few, by intervals: what is chosen by size has no say here."""
  rng = np.random.default_rng(seed)
  a, b = (DRAWS[x](rng, count).astype(np.float32) for x in (one, other))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(wasserstein, '_SORTED', 32)
    got = wasserstein.distance(a.copy(), b.copy())
  # A number is kept to 2^-24 of the span.
  span = float(max(a.max(), b.max()) - min(a.min(), b.min()))
  assert got == pytest.approx(expected(a, b), rel=1e-6, abs=1e-7 * span)


@pytest.mark.parametrize('gap', [0.0, 0.02])
def test_as_many_as_a_metric_has(gap):
  rng = np.random.default_rng(1)
  a = rng.standard_normal(1 << 19).astype(np.float32)
  b = (rng.standard_normal(1 << 19) * (1 - gap) + gap).astype(np.float32)
  got = wasserstein.distance(a.copy(), b.copy())
  assert got == pytest.approx(expected(a, b), rel=5e-7)


def test_most_of_many_numbers_are_not_sorted(monkeypatch):
  """Or there is no point in it."""
  sizes = []
  argsort = np.argsort
  monkeypatch.setattr(
    np, 'argsort', lambda x: sizes.append(len(x)) or argsort(x)
  )
  rng = np.random.default_rng(2)
  a, b = (rng.standard_normal(1 << 18).astype(np.float32) for _ in 'ab')
  wasserstein.distance(a, b)
  assert len(sizes) == 1 and 0 < sizes[0] < 1 << 16


def test_equal_sets_and_odd_numbers():
  x = np.random.default_rng(3).standard_normal(1 << 16).astype(np.float32)
  assert wasserstein.distance(x.copy(), x[::-1].copy()) == 0
  x[5] = np.nan
  assert np.isnan(wasserstein.distance(x.copy(), x.copy()))
  with pytest.raises(TypeError, match='one size'):
    wasserstein.distance(x, x[:-1])
