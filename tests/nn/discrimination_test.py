"""Minibatch discrimination against its formula, pair by pair."""

import jax
import numpy as np

from gan_jax.nn.discrimination import DIMENSIONS, MinibatchDiscrimination


def test_formula():
  x = np.random.default_rng(0).normal(size=(5, 7)).astype('f')
  layer = MinibatchDiscrimination(3)
  variables = layer.init(jax.random.key(0), x)
  kernel = np.asarray(variables['params']['kernel'], 'd')
  assert kernel.shape == (7, 3, DIMENSIONS)
  y = np.asarray(layer.apply(variables, x))
  np.testing.assert_array_equal(y[:, :7], x)
  for n, own in enumerate(x):
    for b in range(3):
      m = own @ kernel[:, b]
      near = [
        np.exp(-np.abs(m - other @ kernel[:, b]).sum())
        for k, other in enumerate(x)
        if k != n
      ]
      np.testing.assert_allclose(y[n, 7 + b], sum(near), rtol=1e-5)


def test_samples_that_are_alike_have_a_finite_gradient():
  x = np.ones((4, 7), 'f')
  layer = MinibatchDiscrimination(2)
  variables = layer.init(jax.random.key(0), x)
  slope = jax.grad(lambda x: layer.apply(variables, x).sum())(x)
  assert np.isfinite(slope).all()
