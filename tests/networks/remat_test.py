"""Rematerialisation: the same numbers, fewer maps kept for the way back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.networks import CLASSIFIERS, DISCRIMINATORS, GENERATORS
from gan_jax.state import stream
from tests import small

QUICK = {'xla_backend_optimization_level': 0}
Z = 6
# (settings, samples) for the numbers, and for the memory.
CASES = {
  'dcgan': (dict(shape=(32, 32, 3), width=4), dict(shape=(64, 64, 3), width=8)),
  'progan': (
    dict(shape=(16, 16, 3), fmap_base=32, fmap_max=8),
    dict(shape=(64, 64, 3), fmap_base=512, fmap_max=16),
  ),
  'stylegan2': (
    dict(shape=(32, 32, 3), fmap_base=128, fmap_max=8, depth=2),
    dict(shape=(64, 64, 3), fmap_base=512, fmap_max=8, depth=2),
  ),
  'fastgan': (
    dict(shape=(64, 64, 3), width=2),
    dict(shape=(128, 128, 3), width=4),
  ),
  'charcnn': (
    dict(shape=(12, 7), width=8, depth=3),
    dict(shape=(32, 32), width=32, depth=8),
  ),
  'resnet': (
    dict(shape=(16, 16, 3), classes=3, width=4, depth=10),
    dict(shape=(32, 32, 3), classes=3, width=8, depth=34),
  ),
}
ROLES = [
  (role, name)
  for name in CASES
  for role in ('generator', 'discriminator')
  if (role, name) != ('generator', 'resnet')
]
MORE = dict(discriminator=DISCRIMINATORS | CLASSIFIERS, generator=GENERATORS)


def networks(role, name, settings):
  """By the policy, and an input."""
  make = MORE[role][name]
  shape = (Z,) if role == 'generator' else settings['shape']
  x = jax.random.normal(jax.random.key(1), (4, *shape))
  return {k: make(**settings, remat=k) for k in ('none', 'convs', 'blocks')}, x


def slope_of(net, variables, x):
  """variables, x -> what a training pass leaves, and its gradients."""
  stats = {k: v for k, v in variables.items() if k != 'params'}

  def loss(params, x):
    keys = {n: stream(jax.random.key(2), n) for n in ('noise', 'dropout')}
    y, new = net.apply(
      {'params': params, **stats}, x, train=True, mutable=list(stats), rngs=keys
    )
    total = sum(jnp.mean(leaf**2) for leaf in jax.tree.leaves(y))
    return total, new

  return jax.value_and_grad(loss, (0, 1), has_aux=True), variables['params'], x


FAST = ('discriminator', 'charcnn')


@pytest.mark.parametrize(
  'role, name',
  [
    pytest.param(*case, marks=[] if case == FAST else pytest.mark.slow)
    for case in ROLES
  ],
)
def test_parameters_draws_and_gradients_are_the_same(role, name):
  nets, x = networks(role, name, CASES[name][0])
  found = {}
  for how, net in nets.items():
    variables = small.init(net, x)
    slope, *inputs = slope_of(net, variables, x)
    found[how] = variables, jax.jit(slope, compiler_options=QUICK)(*inputs)
  names = lambda tree: jax.tree.map(jnp.shape, tree)
  for how in ('convs', 'blocks'):
    assert names(found[how]) == names(found['none'])
    assert small.identical(found[how][0], found['none'][0])
    a, b = (small.flat(found[k][1]) for k in (how, 'none'))
    size = np.abs(b).max()
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * size)


@pytest.mark.slow
@pytest.mark.parametrize('role, name', ROLES)
def test_a_backward_pass_keeps_less(role, name):
  """By the compiler's count of intermediate values."""
  nets, x = networks(role, name, CASES[name][1])
  x = jnp.tile(x, (4,) + (1,) * (x.ndim - 1))
  taken = {}
  for how, net in nets.items():
    init = lambda key, net=net: net.init(
      {'params': key, 'noise': key}, x, train=True
    )
    variables = jax.eval_shape(init, jax.random.key(0))
    net_slope = slope_of(net, variables, x)[0]
    compiled = jax.jit(net_slope).lower(variables['params'], x).compile()
    taken[how] = compiled.memory_analysis().temp_size_in_bytes
  print(role, name, taken)
  assert taken['blocks'] < taken['none'] and taken['convs'] <= taken['none']
