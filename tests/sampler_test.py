"""Seeds to samples: the same numbers as the generator's own pass."""

import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import defaults
from gan_jax.mesh import one_device, replicated
from gan_jax.nn import latent
from gan_jax.nn.norm import normalise
from gan_jax.sampler import Chunks, Sampler, at_once

SEEDS = [5, 0, 13]


class Noisy(nn.Module):
  """A layer of the latent vector, plus the label, plus noise of its own."""

  classes: int = 4

  @nn.compact
  def __call__(self, z, labels, *, train):
    noise = jax.random.normal(self.make_rng('noise'), (2,))
    return nn.Dense(2)(z) + labels[:, None] + noise + 100 * train


@pytest.fixture(name='noisy', scope='module')
def _noisy():
  """A sampler of that network, and the network's variables."""
  game = types.SimpleNamespace(generator=Noisy())
  config = defaults()
  config.latent.update(size=3, distribution='uniform')
  sampler = Sampler(config, types.SimpleNamespace(objective=game, growth=None))
  rngs = {'params': jax.random.key(1), 'noise': jax.random.key(2)}
  z = jnp.zeros((1, 3))
  return sampler, Noisy().init(rngs, z, jnp.zeros(1), train=False)


@pytest.mark.parametrize('label', [None, 2])
def test_samples_are_the_generators_own(noisy, label):
  sampler, variables = noisy
  samples = sampler(variables, SEEDS, label)
  z = latent.by_seed(SEEDS, 3, 'uniform')
  labels = [1, 0, 1] if label is None else [label] * 3  # 4 classes in turn
  kernel, bias = (variables['params']['Dense_0'][k] for k in ('kernel', 'bias'))
  noise = sampler(variables, [0]) - (z[1] @ kernel + bias)
  expected = z @ kernel + bias + np.array(labels)[:, None] + noise
  np.testing.assert_allclose(samples, expected, rtol=1e-6, atol=1e-6)
  assert np.abs(noise).max() > 0.01
  # The noise is the same again: a seed is one sample.
  assert (sampler(variables, SEEDS, label) == samples).all()


def test_large_pictures_are_made_few_at_a_time(noisy, monkeypatch):
  """64 of 1024 px at once took 38 GB, and a run's grid ended it."""
  sampler, variables = noisy
  together, sizes, apply = sampler(variables, range(10)), [], Sampler.apply

  def spy(self, variables, z, labels):
    sizes.append(len(z))
    return apply(self, variables, z, labels)

  monkeypatch.setattr(Sampler, 'apply', spy)
  monkeypatch.setattr(Noisy, 'shape', (1024, 1024, 1), raising=False)
  apart = sampler(variables, range(10))
  assert sizes == [4, 4, 2]
  np.testing.assert_allclose(apart, together, rtol=1e-6)


@pytest.mark.parametrize('side', [4, 32, 256, 512, 1024, 4096])
@pytest.mark.parametrize('most', [1, 8, 64])
def test_how_many_are_made_at_a_time(side, most):
  size = at_once((side, side, 3), most)
  assert 1 <= size <= most
  assert size == 1 or size * side**2 <= 2**22
  assert size == most or (size + 1) * side**2 > 2**22
  assert at_once((2,), most) == at_once((12, 30), most) == most


def _state(live, average):
  """A state with these variables of G, and of its average."""
  average = average and types.SimpleNamespace(variables=average)
  pair = types.SimpleNamespace(g=types.SimpleNamespace(variables=live))
  return types.SimpleNamespace(ema=average, pair=pair)


def test_the_average_is_asked_where_there_is_one(noisy):
  sampler, variables = noisy
  assert sampler.variables(_state(variables, None)) is variables
  assert sampler.variables(_state(None, variables)) is variables


class Normed(nn.Module):
  """Batch norm alone: what is known of it."""

  classes: int = 0

  @nn.compact
  def __call__(self, z, labels, *, train):
    del labels
    return normalise(z, 'batch', train=train)


def test_the_average_has_the_batch_statistics_of_its_own_samples():
  """Latent vectors of N(0, 1): mean 0, variance 1, whatever it had."""
  game = types.SimpleNamespace(generator=Normed())
  config = defaults()
  config.latent.update(size=3, distribution='normal')
  sampler = Sampler(config, types.SimpleNamespace(objective=game, growth=None))
  z = jnp.zeros((1, 3))
  has = Normed().init(jax.random.key(1), z, None, train=False)
  has['batch_stats'] = jax.tree.map(lambda x: x + 7.0, has['batch_stats'])
  live = has | {'params': jax.tree.map(lambda x: x + 1.0, has['params'])}
  own = sampler.variables(_state(live, has))['batch_stats']['BatchNorm_0']
  np.testing.assert_allclose(own['mean'], 0.0, atol=0.3)
  np.testing.assert_allclose(own['var'], 1.0, atol=0.5)
  assert sampler.variables(_state(has, None)) is has
  # A copy, as of converted weights, has the statistics that came with them.
  assert sampler.variables(_state(has, has)) is has


def test_local_generators_are_asked_one_by_one(noisy):
  sampler, variables = noisy
  pairs = [variables, jax.tree.map(lambda x: -2 * x, variables)]
  stacked = jax.device_put(
    jax.tree.map(lambda *x: jnp.stack(x), *pairs), replicated(one_device())
  )
  g = types.SimpleNamespace(variables=stacked)
  state = types.SimpleNamespace(local_pairs=types.SimpleNamespace(g=g))
  rows = sampler.local(state, SEEDS)
  assert rows.shape == (2, 3, 2)
  for own, row in zip(pairs, rows, strict=True):
    np.testing.assert_allclose(row, sampler(own, SEEDS), rtol=1e-5, atol=1e-6)
  assert np.abs(rows[0] - rows[1]).max() > 0.01


@pytest.mark.parametrize('devices', [1, 8])
def test_chunks_have_one_shape_and_lose_no_row(devices):
  chunks = Chunks(9, jax.local_devices()[:devices])
  assert chunks.size == {1: 10, 8: 16}[devices]
  shapes = []

  @jax.jit
  def scale(variables, rows, labels):
    shapes.append(rows.shape)
    return variables * rows + labels[:, None]

  rows = np.arange(70, dtype=np.float32).reshape(35, 2)
  factor = chunks.place(jnp.float32(3))
  found = [
    chunks(scale, factor, rows[part], part) for part in chunks.of(np.arange(35))
  ]
  expected = 3 * rows + np.arange(35)[:, None]
  np.testing.assert_array_equal(np.concatenate(found), expected)
  assert shapes == [(chunks.size, 2)]  # traced, so compiled, once
