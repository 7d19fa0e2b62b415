"""Minibatch stddev against its formula in NumPy, sample by sample."""

import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.errors import UserError
from gan_jax.nn.stddev import LAYOUTS, group_of, minibatch_stddev

X = np.random.default_rng(0).normal(1.0, 2.0, (12, 3, 5, 7)).astype('f')


def members(n, group, layout):
  """The samples of sample n's group."""
  count = len(X) // group
  if layout == 'contiguous':
    return [k for k in range(len(X)) if k // group == n // group]
  return [k for k in range(len(X)) if k % count == n % count]


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('group', [1, 2, 3, 4, 6, 12])
def test_formula(group, layout):
  y = np.asarray(minibatch_stddev(jnp.asarray(X), group, layout))
  np.testing.assert_array_equal(y[..., :-1], X)
  for n in range(len(X)):
    mine = members(n, group, layout)
    assert len(mine) == group
    own = X[mine].astype('d')
    square = np.mean((own - own.mean(0)) ** 2, 0)
    wanted = np.mean(np.sqrt(square + 1e-8))
    np.testing.assert_allclose(y[n, ..., -1], wanted, rtol=1e-5)


def test_is_computed_in_float32():
  """Bfloat16 has 8 bits: the deviation around 256 of 0.5 would be lost."""
  x = jnp.asarray(256 + 2 * np.sign(X), jnp.bfloat16)
  y = minibatch_stddev(x, 4)
  assert y.dtype == jnp.bfloat16
  wide = minibatch_stddev(x.astype(jnp.float32), 4)
  np.testing.assert_allclose(y[..., -1].astype('f'), wide[..., -1], rtol=2**-8)


@pytest.mark.parametrize(
  'count, wanted, found',
  [(16, 4, 4), (16, 0, 16), (3, 16, 3), (1, 4, 1), (12, 5, None), (7, 2, None)],
)
def test_groups_divide_the_batch(count, wanted, found):
  if found:
    assert group_of(count, wanted, train=True) == found
    assert group_of(count, wanted, train=False) == found
    return
  with pytest.raises(UserError, match='config.discriminator.group_size'):
    group_of(count, wanted, train=True)
  largest = max(k for k in range(1, wanted + 1) if count % k == 0)
  assert group_of(count, wanted, train=False) == largest
