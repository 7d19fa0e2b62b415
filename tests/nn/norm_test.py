"""Normalisation against NumPy formulas."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.nn import norm

X = np.random.default_rng(0).normal(2.0, 3.0, (4, 3, 5, 48)).astype('f')


class Layer(nn.Module):
  norm: str

  @nn.compact
  def __call__(self, x, train):
    return norm.normalise(x, self.norm, train=train)


def run(name, x, train, stats=None):
  variables = Layer(name).init(jax.random.key(0), x, True)
  if stats:
    variables |= {'batch_stats': {'BatchNorm_0': stats}}
  return Layer(name).apply(variables, x, train, mutable=['batch_stats'])


def test_batch_norm_in_training():
  y, new = run('batch', X, True)
  flat = X.reshape(-1, 48).astype('d')
  expected = (X - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
  np.testing.assert_allclose(y, expected, atol=1e-5)
  stats = new['batch_stats']['BatchNorm_0']
  np.testing.assert_allclose(stats['mean'], 0.1 * flat.mean(0), rtol=1e-5)
  unbiased = flat.var(0, ddof=1)
  np.testing.assert_allclose(stats['var'], 0.9 + 0.1 * unbiased, rtol=1e-5)


def by_batch_plainly(x, scale, bias):
  axes = tuple(range(x.ndim - 1))
  mean, var = jnp.mean(x, axes), jnp.var(x, axes)
  return (x - mean) / jnp.sqrt(var + 1e-5) * scale + bias, mean, var


def batch_norm_penalty(function):
  """Sums of what it gives, its gradient and the gradient's gradient."""

  def energy(*inputs):
    y, mean, var = function(*inputs)
    return jnp.sum(jnp.sin(y)) + jnp.sum(mean**2) + jnp.sum(var**3)

  def penalty(*inputs):
    slopes = jax.grad(energy, (0, 1, 2))(*inputs)
    return energy(*inputs) + sum(jnp.sum(s**2) for s in slopes)

  return jax.jit(jax.value_and_grad(penalty, (0, 1, 2)))


@pytest.mark.parametrize('shape', [(7, 5), (3, 4, 5), (2, 3, 4, 5)])
def test_derivatives_of_batch_norm_by_the_batch(shape):
  rng = np.random.default_rng(1)
  x = rng.normal(0.5, 1.0, shape).astype('f')
  scale, bias = rng.normal(1.0, 0.3, (2, 5)).astype('f')
  ours = lambda *inputs: norm._by_batch(*inputs, 1e-5)
  for a, b in zip(
    jax.tree.leaves(batch_norm_penalty(ours)(x, scale, bias)),
    jax.tree.leaves(batch_norm_penalty(by_batch_plainly)(x, scale, bias)),
    strict=True,
  ):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


def test_batch_norm_in_use_takes_the_running_averages():
  stats = {'mean': np.full(48, 2.0, 'f'), 'var': np.full(48, 9.0, 'f')}
  y, new = run('batch', X, False, stats)
  np.testing.assert_allclose(y, (X - 2) / np.sqrt(9 + 1e-5), atol=1e-5)
  assert np.all(new['batch_stats']['BatchNorm_0']['mean'] == 2.0)


def test_group_norm_takes_the_largest_count_that_divides():
  y, _ = run('group', X, True)  # 48 channels: 16 groups of 3
  groups = X.reshape(4, 15, 16, 3).astype('d')
  mean = groups.mean((1, 3), keepdims=True)
  var = groups.var((1, 3), keepdims=True)
  expected = ((groups - mean) / np.sqrt(var + 1e-5)).reshape(X.shape)
  np.testing.assert_allclose(y, expected, atol=1e-5)


def test_pixel_norm_is_of_each_pixel_on_its_own():
  y, variables = run('pixel', X, True)
  assert not variables.get('params') and not variables.get('batch_stats')
  wide = X.astype('d')
  expected = wide / np.sqrt(np.mean(wide**2, -1, keepdims=True) + 1e-8)
  np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-7)


def test_pixel_norm_of_bfloat16_takes_its_mean_in_float32():
  x = jnp.asarray(X, jnp.bfloat16)
  y = norm.pixel_norm(x)
  assert y.dtype == jnp.bfloat16
  wide = norm.pixel_norm(x.astype(jnp.float32))
  np.testing.assert_array_equal(y, wide.astype(jnp.bfloat16))


def test_pixel_norm_of_a_vector_of_zeros_and_its_gradient_are_finite():
  zeros = np.zeros((1, 4), 'f')
  assert not np.any(norm.pixel_norm(zeros))
  slope = jax.grad(lambda x: norm.pixel_norm(x).sum())(jnp.asarray(zeros))
  assert np.isfinite(slope).all()


@pytest.mark.parametrize('name', norm.NORMS)
def test_what_counts_as_cross_sample_is(name):
  """Changing one sample changes the others just if the norm says so."""
  other = X.copy()
  other[0] += 1.0
  a, b = run(name, X, True)[0][1:], run(name, other, True)[0][1:]
  assert np.array_equal(a, b) == (name not in norm.CROSS_SAMPLE)


@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('name', [n for n in norm.NORMS if n != 'none'])
def test_a_norm_of_bfloat16_is_computed_in_float32(name, train):
  """Far from zero, where sums of eight bits would be none."""
  x = jnp.asarray(100 + X, jnp.bfloat16)
  stats = {'mean': jnp.full(48, 102.0), 'var': jnp.full(48, 9.0)}
  own = stats if name == 'batch' else None
  y, new = run(name, x, train, own)
  wide, wanted = run(name, x.astype(jnp.float32), train, own)
  assert y.dtype == jnp.bfloat16 and wide.dtype == jnp.float32
  np.testing.assert_array_equal(y, wide.astype(jnp.bfloat16))
  for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(wanted), strict=True):
    assert a.dtype == jnp.float32
    np.testing.assert_array_equal(a, b)
