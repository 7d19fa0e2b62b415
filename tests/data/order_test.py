"""The i-th sample is a pure function of (seed, i)."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gan_jax.data import order

seeds = st.integers(0, 2**63 - 1)


@given(seed=seeds, epoch=st.integers(0, 10**6), n=st.integers(1, 300))
def test_an_epoch_visits_every_picture_once(seed, epoch, n):
  got = order.epoch_order(seed, epoch, n)
  assert sorted(got.tolist()) == list(range(n))


def test_streams_are_frozen():
  # A run that is resumed under another version must go on with its own data;
  # if these numbers change, no run of before can be resumed.
  assert order.epoch_order(0, 0, 10).tolist() == [6, 1, 0, 5, 3, 8, 7, 9, 2, 4]
  assert order.epoch_order(7, 3, 10).tolist() == [5, 4, 9, 2, 7, 1, 0, 8, 3, 6]
  flips = order.mirrored(7, np.arange(16)).astype(int)
  assert ''.join(map(str, flips)) == '1111001110100011'


@given(
  seed=seeds,
  n=st.integers(1, 50),
  positions=st.lists(st.integers(0, 2000), min_size=1, max_size=40),
)
def test_indices_follow_the_epochs(seed, n, positions):
  got = order.indices(seed, np.array(positions), n)
  want = [order.epoch_order(seed, p // n, n)[p % n] for p in positions]
  assert got.tolist() == want


@given(seed=seeds, rows=st.integers(1, 6), cols=st.integers(1, 6))
def test_shape_and_grouping_do_not_matter(seed, rows, cols):
  flat = np.arange(rows * cols) + 11
  grid = flat.reshape(rows, cols)
  assert (
    order.indices(seed, grid, 7).ravel() == order.indices(seed, flat, 7)
  ).all()
  assert (
    order.mirrored(seed, grid).ravel() == order.mirrored(seed, flat)
  ).all()


def test_epochs_and_seeds_differ():
  orders = [
    tuple(order.epoch_order(s, e, 50)) for s in range(4) for e in range(4)
  ]
  assert len(set(orders)) == 16


@given(seed=seeds, position=st.integers(0, 2**50))
def test_mirrored_is_splitmix64(seed, position):
  mask, golden = 2**64 - 1, 0x9E3779B97F4A7C15

  def splitmix(state):  # in Python's unbounded integers
    z = (state + golden) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)

  want = splitmix((position * golden + splitmix(seed)) & mask) >> 63
  assert order.mirrored(seed, np.array([position]))[0] == bool(want)


def test_mirrored_is_a_fair_coin():
  n = 100_000
  a, b = (order.mirrored(seed, np.arange(n)) for seed in (0, 1))
  five_sigma = 5 * 0.5 / np.sqrt(n)
  assert abs(a.mean() - 0.5) < five_sigma
  assert abs((a == b).mean() - 0.5) < five_sigma  # seeds are independent
  for lag in (1, 2, 7, 64):  # and so are neighbours
    assert abs((a[lag:] == a[:-lag]).mean() - 0.5) < five_sigma
