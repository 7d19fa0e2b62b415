"""The running average against its recurrence in NumPy."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax import ema
from gan_jax.nn.norm import normalise
from gan_jax.nn.spectral import spectral_norm
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


class _Deep(nn.Module):
  """Five layers with spectral norm, batch norm and a kink."""

  @nn.compact
  def __call__(self, x, *, train):
    for _ in range(5):
      x = spectral_norm(_Layer(), True, train=train)(x)
      x = nn.relu(normalise(x, 'batch', train=train))
    return x


class _Layer(nn.Module):
  """A dense layer of 32 whose kernel can be changed."""

  @nn.compact
  def __call__(self, x, change):
    shape = (x.shape[-1], 32)
    kernel = self.param('kernel', nn.initializers.normal(0.1), shape)
    return x @ change(self, kernel)


@jax.jit
def _train(variables, x):
  moving = [name for name in variables if name != 'params']
  return variables | _Deep().apply(variables, x, train=True, mutable=moving)[1]


@pytest.fixture(name='averaged', scope='module')
def _averaged():
  """The average of four networks that have little in common, and inputs."""
  x = jax.random.normal(jax.random.key(9), (40, 256, 32))
  networks = []
  for seed in range(4):
    one = _Deep().init(jax.random.key(seed), x[0], train=True)
    for batch in x:
      one = _train(one, batch)
    networks.append(one)
  mean = jax.tree.map(lambda *leaves: sum(leaves) / 4, *networks)
  return mean | {'spectral': networks[-1]['spectral']}, x


def test_an_average_does_not_fit_its_networks_statistics(averaged):
  """What the next test is about: FastGAN's grids were grey for 1,000 steps."""
  average, x = averaged
  made = _Deep().apply(average, x[0], train=False)
  wanted = _Deep().apply(average, x[0], train=True, mutable=list(average))[0]
  ratio = made.std(0).mean() / wanted.std(0).mean()
  assert abs(np.log(ratio)) > np.log(5)


def test_a_settled_average_is_as_varied_as_in_training(averaged):
  average, x = averaged
  settled = ema.settled(average, _train, ((batch,) for batch in x))
  assert settled['params'] is average['params']
  for batch in (x[0], jax.random.normal(jax.random.key(10), (256, 32))):
    made = _Deep().apply(settled, batch, train=False)
    wanted = _Deep().apply(settled, batch, train=True, mutable=list(average))[0]
    off = jnp.square(made - wanted).mean() / wanted.var()
    assert off < 0.1
    spread = float(made.std(0).mean())
    assert spread == pytest.approx(float(wanted.std(0).mean()), rel=0.1)


def test_settled_statistics_are_the_batchs_moments(averaged):
  """Of the first layer, whose input is known: NumPy's mean and variance."""
  average, x = averaged
  settled = ema.settled(average, _train, [(x[0],)])
  kernel = np.asarray(average['params']['_Layer_0']['kernel'], np.float64)
  u, v = (
    np.asarray(settled['spectral']['_Layer_0'][name], np.float64)
    for name in 'uv'
  )
  made = np.asarray(x[0], np.float64) @ kernel / (v @ kernel @ u)
  found = settled['batch_stats']['BatchNorm_0']
  np.testing.assert_allclose(found['mean'], made.mean(0), atol=1e-5)
  np.testing.assert_allclose(found['var'], made.var(0, ddof=1), rtol=1e-4)


def test_what_an_average_had_before_does_not_count(averaged):
  average, x = averaged
  other = average | {
    'batch_stats': jax.tree.map(lambda x: x + 3.0, average['batch_stats'])
  }
  one, two = (ema.settled(a, _train, [(x[0],)]) for a in (average, other))
  jax.tree.map(np.testing.assert_array_equal, one, two)
