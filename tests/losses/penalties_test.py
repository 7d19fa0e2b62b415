"""Penalties on discriminators whose gradients are known in closed form."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax.losses import PENALTIES, penalties
from gan_jax.networks import Made
from gan_jax.state import stream

OWN = {'wgan_gp': dict(target=1.0), 'dragan': dict(noise=0.5)}
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
REAL = np.float32(RNG.normal(size=(5, 4, 4, 2)))
FAKE = np.float32(RNG.normal(size=(5, 4, 4, 2)))
W = np.float32(RNG.normal(size=(4, 4, 2)))


class View:
  """As much of a `view.View` as penalties look at."""

  def __init__(self, judge, real, fake=None, scores=None, key=KEY):
    self.score, self.real, self.key = judge, real, key
    self.made, self.scores_real = Made(fake, {}), scores


def linear(x):
  """Scores w . x: the gradient is w everywhere."""
  return jnp.sum(x * W, (1, 2, 3))


def quadratic(x):
  """Scores |x|^2 / 2: the gradient at x is x."""
  return 0.5 * jnp.sum(x**2, (1, 2, 3))


@settings(max_examples=20, deadline=None)
@given(target=st.floats(0.25, 800))
def test_wgan_gp_on_a_linear_score(target):
  got = penalties.wgan_gp(View(linear, REAL, FAKE), target=target)
  expected = (np.linalg.norm(W) - target) ** 2 / target**2
  np.testing.assert_allclose(got, expected, rtol=2e-4)


def test_wgan_gp_looks_between_real_and_fake():
  """The norm of the gradient of a quadratic is that of the point itself."""
  ones, threes = np.ones((4000, 1, 1, 1)), 3 * np.ones((4000, 1, 1, 1))
  got = penalties.wgan_gp(View(quadratic, ones, threes), target=1.0)
  # E (x - 1)^2 for x uniform on [1, 3] is 4 / 3.
  np.testing.assert_allclose(got, 4 / 3, rtol=0.05)


def test_wgan_gp_draws_one_position_a_sample():
  """From (0, 0) to (1, 1) both coordinates stay equal, so this D is flat."""

  def judge(x):
    return 0.5 * (x[:, 0, 0, 0] - x[:, 0, 1, 0]) ** 2

  zeros, ones = np.zeros((3, 1, 2, 1)), np.ones((3, 1, 2, 1))
  assert penalties.wgan_gp(View(judge, zeros, ones), target=1.0) == 1.0
  # The draws differ from sample to sample: a quadratic D sees it.
  norms = [
    penalties.wgan_gp(
      View(quadratic, zeros, ones, key=jax.random.key(k)), target=1.0
    )
    for k in range(3)
  ]
  assert len(set(map(float, norms))) == 3


def test_dragan_looks_around_the_real_samples_only():
  flat = np.full((6, 2, 2, 1), 2.0, np.float32)  # no spread: no noise
  got = penalties.dragan(View(quadratic, flat, FAKE), noise=0.5)
  np.testing.assert_allclose(got, (4.0 - 1.0) ** 2, rtol=1e-6)
  np.testing.assert_allclose(
    penalties.dragan(View(linear, REAL, FAKE), noise=0.5),
    (np.linalg.norm(W) - 1) ** 2,
    rtol=1e-4,
  )


def test_r1_is_half_the_mean_squared_norm_at_real():
  expected = 0.5 * np.mean(np.sum(REAL**2, (1, 2, 3)))
  got = penalties.r1(View(quadratic, REAL))
  np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_drift_is_the_mean_squared_score():
  scores = np.float32([1, -2, 3])
  got = penalties.drift(View(linear, REAL, scores=scores))
  np.testing.assert_allclose(got, 14 / 3, rtol=1e-6)


@pytest.mark.parametrize('name', ['wgan_gp', 'dragan', 'r1'])
def test_a_flat_score_gives_finite_gradients(name):
  """sqrt has no derivative at zero: a dead D must not turn into NaN."""

  def loss(w):
    judge = lambda x: w * jnp.sum(x, (1, 2, 3))
    view = View(judge, REAL, FAKE, judge(REAL))
    view.carried = {}
    return PENALTIES[name].make(**OWN.get(name, {})).value({}, view)[0]

  assert np.isfinite(jax.grad(loss)(0.0))


@pytest.mark.parametrize('layers', [(), (3,)], ids=['one w', 'a w a layer'])
def test_path_length_of_pictures_that_are_linear_in_w(layers):
  """J is then a matrix: lengths, their running mean, the penalty in NumPy."""
  size, count = (*layers, 5), 4
  matrix = np.float32(RNG.normal(size=(*size, 4, 2, 3)))
  drawn = []

  def synthesise(w):
    flat = w.reshape(len(w), -1) @ matrix.reshape(np.prod(size), -1)
    return Made(flat.reshape(len(w), 4, 2, 3), {})

  def latents(n):
    drawn.append(n)
    return jnp.zeros((n, *size))

  view = types.SimpleNamespace(
    play=types.SimpleNamespace(styles=lambda z: z, synthesise=synthesise),
    labels=np.zeros(2 * count),
    latents=latents,
    key=KEY,
    carried={'mean': 0.5},
  )
  value, new, logged = penalties.path_length(view, decay=0.25, shrink=2)
  assert drawn == [count]
  noise = jax.random.normal(stream(KEY, 'picture'), (count, 4, 2, 3))
  noise = np.asarray(noise, np.float64) / np.sqrt(4 * 2)
  slopes = np.einsum('...hwc,nhwc->n...', np.float64(matrix), noise)
  squares = np.sum(slopes**2, -1)
  lengths = np.sqrt(squares.mean(-1) if layers else squares)
  mean = 0.75 * 0.5 + 0.25 * lengths.mean()
  np.testing.assert_allclose(new['mean'], mean, rtol=1e-5)
  np.testing.assert_allclose(logged['pl_length'], lengths.mean(), rtol=1e-5)
  np.testing.assert_allclose(value, np.mean((lengths - mean) ** 2), rtol=1e-4)


def test_path_length_is_finite_where_w_does_nothing():
  def loss(scale):
    made = lambda w: Made(scale * jnp.tile(w[:, None, None], (1, 4, 4, 1)), {})
    view = types.SimpleNamespace(
      play=types.SimpleNamespace(styles=lambda z: z, synthesise=made),
      labels=np.zeros(4),
      latents=lambda n: jnp.ones((n, 3)),
      key=KEY,
      carried={'mean': 0.5},
    )
    return penalties.path_length(view, decay=0.01, shrink=2)[0]

  assert np.isfinite(jax.grad(loss)(0.0))
