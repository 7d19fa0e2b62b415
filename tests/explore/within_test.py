"""GradCAM and the smoothing of curves, against their formulas."""

import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan_jax.explore import gradcam
from gan_jax.explore.realness import smoothed
from gan_jax.explore.within import pulled_back
from gan_jax.networks import Judgement
from gan_jax.nn import stddev

SHAPE = (8, 8, 3)


class Linear(nn.Module):
  """A map of 4 px, in any precision, and scores that are linear in it."""

  dtype: object = None
  compares: bool = False

  @nn.compact
  def __call__(self, x, labels=None, *, train):
    x = nn.Conv(5, (2, 2), 2, dtype=self.dtype, name='map')(x)
    features = {'4': x.astype(jnp.float32), 'vector': x[:, 0, 0]}
    if self.compares:
      x = stddev.spread(x, 4, 'contiguous', train=train)
    x = x.reshape(len(x), -1).astype(jnp.float32)
    return Judgement(nn.Dense(1, name='score')(x)[:, 0], features)


def seen_by(network, of='real', loss='non_saturating', count=4):
  """What `Sight` gives of random pictures, these and D's variables."""
  x = np.random.default_rng(0).normal(size=(count, *SHAPE)).astype('f')
  variables = network.init(jax.random.key(1), x, train=False)
  at_resolution = lambda side: types.SimpleNamespace(discriminator=network)
  game = types.SimpleNamespace(at_resolution=at_resolution)
  player = types.SimpleNamespace(variables=variables)
  restored = types.SimpleNamespace(
    config=types.SimpleNamespace(loss=types.SimpleNamespace(name=loss)),
    experiment=types.SimpleNamespace(objective=game),
    run=types.SimpleNamespace(load_data=lambda: {'shape': list(SHAPE)}),
    state=types.SimpleNamespace(pair=types.SimpleNamespace(d=player)),
  )
  both = types.SimpleNamespace(side=0, alpha=1.0)
  sight = gradcam.Sight(restored, both, '', of)
  assert sight.name == '4'
  found = sight(x, np.zeros(count, np.int32))
  return *map(np.asarray, found), x, variables


def by_hand(x, variables, sign=1.0):
  """GradCAM where the gradient is the score's kernel."""
  layer = variables['params']['map']
  kernel, bias = (np.float64(layer[name]) for name in ('kernel', 'bias'))
  parts = x.reshape(len(x), 4, 2, 4, 2, 3).astype(np.float64)
  maps = np.einsum('nhawbc,abcd->nhwd', parts, kernel) + bias
  slopes = np.float64(variables['params']['score']['kernel'])
  alpha = sign * slopes.reshape(4, 4, 5).mean((0, 1))
  heat = np.maximum(maps @ alpha, 0)
  return heat / heat.max((1, 2), keepdims=True)


@pytest.mark.parametrize(
  'of, loss, sign',
  [
    ('real', 'non_saturating', 1),
    ('fake', 'non_saturating', -1),
    ('real', 'inverted_least_squares', -1),
  ],
)
def test_gradcam_of_a_linear_d(of, loss, sign):
  heat, scores, x, variables = seen_by(Linear(), of, loss)
  np.testing.assert_allclose(heat, by_hand(x, variables, sign), atol=1e-5)
  wanted = Linear().apply(variables, x, train=False).logits
  np.testing.assert_allclose(scores, wanted, rtol=1e-5)


def test_a_map_in_bfloat16_is_on_the_way():
  """What D shows of it is a copy in float32, behind which nothing follows."""
  heat, _, x, variables = seen_by(Linear(jnp.bfloat16))
  np.testing.assert_allclose(heat, by_hand(x, variables), atol=0.03)


def test_a_heat_is_its_own_pictures():
  """Where D compares the pictures of a batch, too."""
  heat, _, x, variables = seen_by(Linear(compares=True))
  layer, dense = (variables['params'][name] for name in ('map', 'score'))
  maps = nn.Conv(5, (2, 2), 2).apply({'params': layer}, x)

  def score(own, k):
    y = stddev.spread(maps.at[k].set(own), 4, 'contiguous', train=False)
    return (y[k].reshape(-1) @ dense['kernel'])[0]

  slope = jax.jit(jax.grad(score))
  for k in range(4):
    alpha = np.asarray(slope(maps[k], k)).mean((0, 1))
    wanted = np.maximum(np.asarray(maps[k]) @ alpha, 0)
    np.testing.assert_allclose(heat[k], wanted / wanted.max(), atol=1e-4)


def test_nothing_speaks_for_the_score():
  maps, slopes = np.ones((2, 3, 3, 4), 'f'), -np.ones((2, 3, 3, 4), 'f')
  assert (gradcam.heat_of(maps, slopes) == 0).all()


def test_a_value_that_the_result_does_not_hang_on():
  found, there, pull = pulled_back(lambda x: (x.sum(), 2 * x), jnp.ones(3))
  assert found == 3 and (there == 2).all() and (pull(1.0) == 0).all()


@given(
  st.lists(st.tuples(st.integers(0, 50), st.floats(-9, 9)), min_size=1),
  st.floats(0.5, 100),
)
def test_curves_are_smoothed_by_time(points, half_life):
  """Whatever the distance of two log points; the first is as it is."""
  steps, values = map(np.float64, zip(*points, strict=True))
  images = np.cumsum(steps)
  found = smoothed(images, values, half_life)
  for k in range(len(values)):
    weights = 0.5 ** ((images[k] - images[: k + 1]) / half_life)
    wanted = np.sum(weights * values[: k + 1]) / np.sum(weights)
    assert abs(found[k] - wanted) < 1e-9 * (1 + np.abs(values).max())
