"""Layers that compute in bfloat16: dtypes, and what has to stay float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.nn import conv, equalised, precision

KEY = jax.random.key(0)
LAYERS = [
  (conv.Conv(4, dtype=jnp.bfloat16), (2, 64, 64, 3)),
  (equalised.Conv(4, dtype=jnp.bfloat16), (2, 64, 64, 3)),
  (equalised.UpConv(4, dtype=jnp.bfloat16), (2, 32, 32, 3)),
  (equalised.DownConv(4, dtype=jnp.bfloat16), (2, 64, 64, 3)),
  (equalised.Opening(4, dtype=jnp.bfloat16), (2, 1, 1, 3)),
]


@pytest.mark.parametrize('side, start, low', [(8, 0, 0), (8, 16, 0), (8, 8, 1)])
def test_which_levels(side, start, low):
  wanted = jnp.bfloat16 if low else None
  assert precision.dtype_at(side, start) == wanted


@pytest.mark.parametrize('layer, shape', LAYERS)
def test_a_layer_is_that_of_float32_rounded(layer, shape):
  x = jax.random.normal(KEY, shape)
  variables = layer.init(KEY, x)
  assert {v.dtype for v in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
  y = layer.apply(variables, x)
  assert y.dtype == jnp.bfloat16
  wide = layer.clone(dtype=None).apply(variables, x)
  assert wide.dtype == jnp.float32
  # 27 products of two rounded numbers each; and the sum rounded, by up to a
  # 256th of itself.
  size = np.sqrt(np.mean(np.square(wide)))
  np.testing.assert_allclose(
    y.astype('float32'), wide, rtol=2**-8, atol=0.03 * size
  )


@pytest.mark.parametrize('layer, shape', LAYERS)
def test_the_gradient_of_a_bias_counts_every_pixel(layer, shape):
  """Added up in bfloat16 it would stop at 256."""
  x = jax.random.normal(KEY, shape)
  variables = layer.init(KEY, x)

  def total(variables):
    return jnp.sum(layer.apply(variables, x).astype(jnp.float32))

  pixels = jax.eval_shape(lambda: layer.apply(variables, x)).size / 4
  slope = jax.jit(jax.grad(total))(variables)['params']
  np.testing.assert_array_equal(slope['bias'], np.full(4, pixels))
  assert slope['kernel'].dtype == jnp.float32


def test_what_is_narrow_is_widened_and_nothing_narrowed():
  with jax.enable_x64(True):
    for kind, wanted in (
      ('bfloat16', 'float32'),
      ('float32', 'float32'),
      ('float64', 'float64'),
    ):
      assert precision.full(jnp.zeros(2, kind)).dtype == wanted
