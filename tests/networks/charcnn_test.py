"""The networks of text, against loops over NumPy arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax import config as config_lib
from gan_jax.errors import UserError
from gan_jax.networks import charcnn
from gan_jax.validate import validate_shape
from tests import small

L, V, Z, WIDTH = 7, 5, 6, 4


def random_variables(net, sample):
  """Variables with biases that are not zero."""
  variables = small.init(net, sample)
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: jnp.float32(rng.normal(size=x.shape) / np.sqrt(x.size)), variables
  )


def convolve(x, layer):
  """[L, C] -> [L, features]: every character from its neighbours."""
  kernel, bias = np.asarray(layer['kernel'])[0], np.asarray(layer['bias'])
  reach = len(kernel) // 2
  y = np.tile(bias, (len(x), 1)).astype(np.float64)
  for i in range(len(x)):
    for j in range(len(kernel)):
      if 0 <= i + j - reach < len(x):
        y[i] += x[i + j - reach] @ kernel[j]
  return y


def blocks(x, params, depth):
  for i in range(depth):
    y = x
    for j in range(2):
      y = convolve(np.maximum(y, 0), params[f'Block_{i}'][f'Conv_{j}'])
    x = x + 0.3 * y
  return x


@pytest.mark.parametrize('depth, window', [(1, 3), (2, 5)])
def test_generator(depth, window):
  net = charcnn.Generator((L, V), width=WIDTH, depth=depth, window=window)
  z = jax.random.normal(jax.random.key(1), (3, Z))
  variables = random_variables(net, z)
  got = jax.jit(lambda z: net.apply(variables, z, train=False))(z)
  p = variables['params']
  for row, sample in zip(np.asarray(z), got, strict=True):
    dense = row @ p['Dense_0']['kernel'] + p['Dense_0']['bias']
    x = blocks(np.asarray(dense).reshape(L, WIDTH), p, depth)
    logits = convolve(x, p['Conv_0'])
    want = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(sample, want, rtol=1e-4)


@pytest.mark.parametrize('depth, window', [(1, 3), (2, 5)])
def test_discriminator(depth, window):
  net = charcnn.Discriminator((L, V), width=WIDTH, depth=depth, window=window)
  x = jax.random.uniform(jax.random.key(1), (3, L, V))
  variables = random_variables(net, x)
  judge = jax.jit(lambda x: net.apply(variables, x, train=False))
  logits, features, _ = judge(x)
  p = variables['params']
  for row, logit in zip(np.asarray(x), logits, strict=True):
    y = blocks(convolve(row, p['Conv_0']), p, depth)
    dense = y.ravel() @ p['Dense_0']['kernel'] + p['Dense_0']['bias']
    np.testing.assert_allclose(logit, dense[0], rtol=1e-4, atol=1e-5)
  assert {k: f.shape for k, f in features.items()} == {
    str(i): (3, L, WIDTH) for i in range(depth)
  }
  assert net.per_sample
  beside_another = judge(x.at[0].add(1.0)).logits
  np.testing.assert_allclose(beside_another[1:], logits[1:], rtol=1e-5)


def make_rows():
  net = charcnn.Generator((L, V), width=WIDTH, depth=1)
  variables = small.init(net, jnp.zeros((2, Z)))
  return jax.jit(lambda z: net.apply(variables, z, train=True))


ROWS = make_rows()


@given(st.floats(-1e3, 1e3), st.integers(0, 2**31))
@settings(deadline=None)
def test_rows_are_probabilities(scale, seed):
  z = scale * np.random.default_rng(seed).normal(size=(2, Z))
  rows = np.asarray(ROWS(jnp.float32(z)))
  assert rows.shape == (2, L, V) and (rows >= 0).all()
  np.testing.assert_allclose(rows.sum(-1), 1, atol=1e-5)


def test_pairs_side_by_side_are_pairs_one_by_one():
  net = charcnn.Discriminator((L, V), width=WIDTH, depth=1)
  x = jax.random.uniform(jax.random.key(1), (2, 3, L, V))
  variables = [random_variables(net, x[0]), small.init(net, x[0])]

  def gradient(variables, x):
    score = lambda x: net.apply(variables, x, train=True).logits.sum()
    return jax.grad(lambda x: (jax.grad(score)(x) ** 2).sum())(x)

  stacked = jax.tree.map(lambda *v: jnp.stack(v), *variables)
  together = jax.jit(jax.vmap(gradient))(stacked, x)
  assert together.shape == x.shape
  alone = jax.jit(gradient)
  for k in range(2):
    np.testing.assert_allclose(together[k], alone(variables[k], x[k]), 1e-4)


def test_parameters_of_the_default_networks():
  """4 blocks of 2 convolutions of 5 x 512 x 512, dense and outer layers."""
  blocks = 8 * (5 * 512 * 512 + 512)
  for net, sample, others in (
    (
      charcnn.Generator((32, 99)),
      jnp.zeros((1, 128)),
      (128 + 1) * 32 * 512 + (512 + 1) * 99,
    ),
    (
      charcnn.Discriminator((32, 99)),
      jnp.zeros((1, 32, 99)),
      (99 + 1) * 512 + 32 * 512 + 1,
    ),
  ):
    variables = jax.eval_shape(
      lambda net=net, sample=sample: net.init(
        jax.random.key(0), sample, train=True
      )
    )
    count = sum(x.size for x in jax.tree.leaves(variables))
    assert count == blocks + others


@pytest.mark.parametrize(
  'generator, discriminator, shape, says',
  [
    ('charcnn', 'charcnn', (28, 28, 1), 'works on text, not on pictures'),
    ('mlp', 'charcnn', (2,), "'charcnn' works on text, not on points"),
    ('dcgan', 'dcgan', (32, 99), 'works on pictures, not on text .*32x99'),
    ('mlp', 'mlp', (32, 99), 'or the network charcnn'),
  ],
)
def test_networks_and_data_must_fit(generator, discriminator, shape, says):
  config = config_lib.defaults()
  config.generator.name = generator
  config.discriminator.name = discriminator
  with pytest.raises(UserError, match=says) as error:
    validate_shape(config, shape)
  assert 'config.data.source' in str(error.value)
