"""The running average against its recurrence in NumPy."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax import ema
from gan_jax.state import START, Player


def section(name='half_life', half_life=100.0, ramp_up=0.0, decay=0.9):
  return ml_collections.ConfigDict(
    dict(name=name, half_life=half_life, ramp_up=ramp_up, decay=decay)
  )


@settings(max_examples=30, deadline=None)
@given(half_life=st.floats(64, 1e5), per_step=st.integers(1, 64))
def test_an_image_counts_half_after_the_half_life(half_life, per_step):
  weight = ema.decay(section(half_life=half_life), START, per_step)
  steps = half_life / per_step
  # float32 has the weight to 2^-25 near 1, which the power makes more of.
  near = pytest.approx(0.5, rel=1e-6 + 2 * steps * 2**-25)
  assert float(weight) ** steps == near


def test_ramp_up_shortens_the_half_life_early_on():
  s = section(half_life=1000.0, ramp_up=0.1)
  # After 10 steps of 32 the half-life of the next is 0.1 x 320 = 32 images.
  assert float(ema.decay(s, START.later(10 * 32), 32)) == pytest.approx(0.5)
  # Before the first there is nothing worth keeping.
  assert float(ema.decay(s, START, 32)) == 0
  late = ema.decay(s, START.later(320_000), 32)
  assert float(late) == pytest.approx(0.5 ** (32 / 1000))


@settings(max_examples=15)
@given(
  half_life=st.floats(10, 1e4),
  ramp_up=st.sampled_from([0.0, 0.05, 0.5]),
  per_step=st.integers(1, 64),
  seed=st.integers(0, 2**16),
)
def test_an_average_with_a_ramp_is_the_released_recurrence(
  half_life, ramp_up, per_step, seed
):
  """The ramp counts the images before the step; statistics that are averages
  already are taken over."""
  weights = np.random.default_rng(seed).normal(size=(12, 3))
  of = lambda x: Player(
    {'w': jnp.float32(x)},
    {name: {'x': jnp.float32(x)} for name in ('plain', 'w_average')},
    (),
  )
  average, expected = ema.start(of(weights[0])), weights[0]
  s, images = section(half_life=half_life, ramp_up=ramp_up), 0
  for new in weights[1:]:
    weight = ema.decay(s, START.later(images), per_step)
    average = ema.update(average, of(new), weight, ('w_average',))
    now = min(half_life, images * ramp_up) if ramp_up else half_life
    beta = 0.5 ** (per_step / now) if now else 0.0
    expected = new + (expected - new) * beta
    images += per_step
  near = dict(rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(average.params['w'], expected, **near)
  np.testing.assert_allclose(average.stats['plain']['x'], expected, **near)
  found = average.stats['w_average']['x']
  assert np.array_equal(found, np.float32(weights[-1]))


def test_plain_decay_is_the_number_given():
  weight = ema.decay(section('decay', decay=0.875), START, 64)
  assert float(weight) == 0.875


def test_average_follows_weights_and_statistics():
  players = [
    Player({'w': jnp.float32([k, 2 * k])}, {'s': {'m': jnp.float32(-k)}}, ())
    for k in range(4)
  ]
  average = ema.start(players[0])
  w, m = np.zeros(2), 0.0
  for k in (1, 2, 3):
    average = ema.update(average, players[k], jnp.float32(0.75))
    w = 0.75 * w + 0.25 * np.array([k, 2 * k])
    m = 0.75 * m - 0.25 * k
  np.testing.assert_allclose(average.params['w'], w, rtol=1e-6)
  np.testing.assert_allclose(average.stats['s']['m'], m, rtol=1e-6)


def test_the_first_average_shares_no_buffer_with_the_network():
  player = Player({'w': jnp.ones(3)}, {}, ())
  average = ema.start(player)
  pointer = lambda x: x.unsafe_buffer_pointer()
  assert pointer(average.params['w']) != pointer(player.params['w'])
  jax.block_until_ready(average)
