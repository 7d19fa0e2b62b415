"""ProGAN's D with the noise of appendix B: who moves it, whom it meets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import experiment
from gan_jax.data.pipeline import Batch
from gan_jax.errors import UserError
from gan_jax.networks import progan
from gan_jax.nn import noise
from gan_jax.state import Span
from gan_jax.validate import validate
from tests import small
from tests.networks.progan_run_test import config
from tests.networks.progan_test import TINY

SHAPE = (8, 8, 1)
FACTOR = 0.2
KEY = jax.random.key(4)
D = progan.Discriminator(SHAPE, **TINY, group_size=1, adaptive_noise=FACTOR)
# It does not matter how fast the programs run.
QUICK = {'xla_backend_optimization_level': 0}


@functools.cache
def inputs():
  x = jax.random.normal(KEY, (4, *SHAPE))
  return x, small.init(D, x)


def judge(average, seed=0, train=True):
  x, variables = inputs()
  stats = {progan.NOISE: {'average': jnp.float32(average)}}
  return D.apply(
    {'params': variables['params'], **stats},
    x,
    train=train,
    rngs={'noise': jax.random.key(seed)},
    mutable=[progan.NOISE],
  )


def test_at_the_start_there_is_none():
  x, variables = inputs()
  assert variables[progan.NOISE] == {'average': 0.0}
  plain = D.clone(adaptive_noise=0.0)
  without = plain.apply({'params': variables['params']}, x, train=True).logits
  for average in (0.0, 0.5):
    found, _ = judge(average)
    np.testing.assert_allclose(found.logits, without, rtol=1e-6)
  assert D.per_sample


def test_it_grows_with_the_average_and_no_pass_moves_that():
  spread = []
  for average in (0.5, 0.7, 1.0):
    logits = [judge(average, seed) for seed in range(8)]
    assert all(new[progan.NOISE]['average'] == average for _, new in logits)
    spread.append(np.ptp([on.logits for on, _ in logits], axis=0).mean())
  assert spread[0] == 0 < spread[1] < spread[2]
  # In use there is none, whatever the average.
  used, start = judge(1.0, train=False)[0], judge(0.0)[0]
  np.testing.assert_allclose(used.logits, start.logits, rtol=1e-5)


def test_before_each_3x3_and_4x4_layer():
  """And before no 1x1 layer: the maps from pictures are as they were."""
  x, variables = inputs()
  drawn = []
  real = noise.multiplied

  def seen(x, strength, key):
    drawn.append((x.shape[1:], np.asarray(jax.random.key_data(key)).tobytes()))
    return real(x, strength, key)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(noise, 'multiplied', seen)
    judge(1.0)
  width = {side: D.width(side) for side in (8, 4)}
  assert [shape for shape, _ in drawn] == [
    (8, 8, width[8]),
    (8, 8, width[8]),
    (4, 4, width[4]),
    (4, 4, width[4]),
  ]
  assert len({key for _, key in drawn}) == 4  # each its own draw


def noisy(scheme='two_stage'):
  c = config(scheme=dict(name=scheme)).unlock()
  c.data.resolution = 8
  c.loss.name = 'inverted_least_squares'
  c.penalties.wgan_gp.weight = c.penalties.drift.weight = 0.0
  c.discriminator.update(adaptive_noise=FACTOR, group_size=1)
  return c.lock()


@pytest.mark.parametrize('scheme', ['two_stage', 'one_stage'])
def test_a_step_moves_the_average_once_by_its_own_fakes(scheme):
  """D's update does, G's does not."""
  c = noisy(scheme)
  validate(c)
  shape = (4, 4, 1)  # two levels less to compile
  made = experiment.build(c, shape, 0)
  state = jax.jit(made.init, compiler_options=QUICK)(KEY)
  step = jax.jit(made.make_step(made.growth.stages[0]), compiler_options=QUICK)
  image = np.random.default_rng(0).normal(size=(1, 8, *shape))
  batch = Batch(jnp.float32(image), jnp.zeros((1, 8), jnp.int32))
  average = 0.9
  stats = state.pair.d.stats | {progan.NOISE: {'average': jnp.float32(average)}}
  pair = state.pair.replace(d=state.pair.d.replace(stats=stats))
  state = state.replace(pair=pair)
  for _ in range(3):
    state, metrics = step(state, {}, batch, Span())
    average = 0.9 * average + 0.1 * np.clip(metrics['d_fake'], 0, 1)
    found = state.pair.d.stats[progan.NOISE]['average']
    np.testing.assert_allclose(found, average, rtol=1e-5)
    assert all(np.isfinite(v) for v in metrics.values())
  assert progan.NOISE not in state.pair.g.stats


def test_with_another_loss_it_is_refused():
  c = noisy().unlock()
  c.loss.name = 'least_squares'
  with pytest.raises(UserError, match="'inverted_least_squares'"):
    validate(c)
  c.discriminator.adaptive_noise = 0.0
  validate(c)
