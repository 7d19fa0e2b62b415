"""Spectral norm, against the singular values that NumPy finds."""

import flax.linen as nn
import jax
import numpy as np

from gan_jax.nn.conv import Conv
from gan_jax.nn.spectral import spectral_norm


class Net(nn.Module):
  wanted: bool

  @nn.compact
  def __call__(self, x, train):
    return spectral_norm(Conv(6, 3), self.wanted, train=train)(x)


def test_a_kernel_has_norm_one_after_some_passes():
  x = np.zeros((1, 5, 5, 4), np.float32)
  x[0, 2, 2] = np.random.default_rng(0).normal(size=4)
  variables = jax.jit(Net(True).init, static_argnums=2)(
    jax.random.key(0), x, False
  )
  plain = {'params': variables['params']}
  run = jax.jit(lambda v: Net(True).apply(v, x, True, mutable=['spectral']))
  for _ in range(300):
    y, new = run(variables)
    variables = {**plain, **new}
  kernel = variables['params']['Conv_0']['kernel']
  norm = np.linalg.svd(np.reshape(kernel, (-1, 6)), compute_uv=False)[0]
  expected = Net(False).apply(plain, x, True) / norm
  np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-6)
  # In use the vectors stay, and so does the answer.
  used, kept = Net(True).apply(variables, x, False, mutable=['spectral'])
  np.testing.assert_allclose(used, y, rtol=1e-4, atol=1e-6)
  assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), kept, new))
