"""Histograms of classes."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax.errors import UserError
from gan_jax.metrics import modes


@settings(max_examples=40, deadline=None)
@given(
  counts=st.lists(st.integers(0, 9), min_size=2, max_size=8).filter(any),
  seed=st.integers(0, 99),
)
def test_against_scipy(counts, seed):
  labels = np.repeat(np.arange(len(counts)), counts)
  labels = np.random.default_rng(seed).permutation(labels)
  ours = modes.class_histogram(labels, len(counts))
  np.testing.assert_array_equal(ours, counts)
  reference = 1 + np.arange(len(counts))
  got = modes.histogram_scores(ours, reference)
  p, q = np.array(counts) / sum(counts), reference / reference.sum()
  assert got['modes'] == sum(c > 0 for c in counts)
  assert got['kl'] == pytest.approx(scipy.stats.entropy(p, q))
  assert got['entropy'] == pytest.approx(scipy.stats.entropy(p))
  assert got['total_variation'] == pytest.approx(np.abs(p - q).sum() / 2)


def test_known_histograms():
  """All 1,000 modes evenly; and one alone."""
  even = modes.histogram_scores(np.full(1000, 25))
  assert even == pytest.approx(
    {'modes': 1000, 'kl': 0, 'entropy': np.log(1000), 'total_variation': 0},
    abs=1e-9,
  )
  one = modes.histogram_scores(np.eye(10)[3])
  assert one == pytest.approx(
    {'modes': 1, 'kl': np.log(10), 'entropy': 0, 'total_variation': 0.9}
  )


def test_stacked_digits():
  digits = [[0, 0, 7], [9, 9, 9], [1, 2, 3]]
  assert modes.stacked_labels(digits).tolist() == [7, 999, 123]


def test_mistakes():
  with pytest.raises(UserError, match='below 10'):
    modes.class_histogram([3, 10], 10)
  with pytest.raises(UserError, match='without samples'):
    modes.histogram_scores(np.zeros(10))
