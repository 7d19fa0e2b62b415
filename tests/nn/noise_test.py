"""Adaptive multiplicative noise against its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax.nn import noise

KEY = jax.random.key(0)


@settings(max_examples=50, deadline=None)
@given(scores=st.lists(st.floats(-3, 4, width=32), max_size=20))
def test_the_average_is_its_formula(scores):
  average = wanted = 0.0
  for score in scores:
    average = noise.advance(average, jnp.float32(score))
    wanted = 0.9 * wanted + 0.1 * min(max(score, 0.0), 1.0)
  np.testing.assert_allclose(average, wanted, rtol=1e-5, atol=1e-7)
  assert 0 <= average < 1


@pytest.mark.parametrize(
  'average, wanted',
  [(0.0, 0.0), (0.5, 0.0), (0.6, 0.002), (1.0, 0.05)],
)
def test_strength(average, wanted):
  assert noise.strength(jnp.float32(average), 0.2) == pytest.approx(wanted)


def test_one_draw_a_sample_and_channel():
  x = jnp.ones((200, 3, 2, 16))
  y = np.asarray(noise.multiplied(x, jnp.float32(0.05), KEY))
  np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
  draws = y[:, 0, 0] - 1
  assert len(np.unique(draws)) == draws.size
  # 3200 draws: the deviation's own is 1.3 %.
  assert np.std(draws) == pytest.approx(0.05 * 4, rel=0.05)
  assert abs(np.mean(draws)) < 0.02
  # It multiplies: signs and zeros stay, twice the map has twice the noise.
  z = jax.random.normal(KEY, x.shape).at[0].set(0.0)
  np.testing.assert_allclose(
    noise.multiplied(z, jnp.float32(0.05), KEY), z * y, rtol=1e-6
  )


def test_without_strength_a_map_stays_to_the_bit():
  x = jax.random.normal(KEY, (4, 5, 5, 7))
  y = noise.multiplied(x, jnp.float32(0.0), KEY)
  np.testing.assert_array_equal(y, x)
