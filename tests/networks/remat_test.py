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
  return {k: make(**settings, remat=k) for k in ('none', 'blocks')}, x


def scalar_of(net, variables, x, seen=lambda y: y):
  """(parameters, x) -> a scalar of a pass and its statistics; what it takes."""
  stats = {k: v for k, v in variables.items() if k != 'params'}

  def loss(params, x):
    keys = {n: stream(jax.random.key(2), n) for n in ('noise', 'dropout')}
    y, new = net.apply(
      {'params': params, **stats}, x, train=True, mutable=list(stats), rngs=keys
    )
    total = sum(jnp.mean(leaf**2) for leaf in jax.tree.leaves(seen(y)))
    return total, new

  return loss, variables['params'], x


FAST = ('discriminator', 'charcnn')


EACH = [
  pytest.param(*case, marks=[] if case == FAST else pytest.mark.release)
  for case in ROLES
]


@pytest.mark.parametrize('role, name', EACH)
def test_parameters_draws_and_gradients_are_the_same(role, name):
  nets, x = networks(role, name, CASES[name][0])
  found = {}
  for how, net in nets.items():
    variables = small.init(net, x)
    loss, *inputs = scalar_of(net, variables, x)
    slope = jax.value_and_grad(loss, (0, 1), has_aux=True)
    found[how] = variables, jax.jit(slope, compiler_options=QUICK)(*inputs)
  names = lambda tree: jax.tree.map(jnp.shape, tree)
  assert names(found['blocks']) == names(found['none'])
  assert small.identical(found['blocks'][0], found['none'][0])
  a, b = (small.flat(found[k][1]) for k in ('blocks', 'none'))
  size = np.abs(b).max()
  np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * size)


def without_maps(y):
  """What a game looks at: with terms that do at maps these are kept, too."""
  return getattr(y, 'logits', y)


@pytest.mark.parametrize('role, name', EACH)
def test_a_pass_leaves_less_for_the_way_back(role, name):
  """Bytes of what the pull-back of a pass holds, but for the parameters.

  Of the program as JAX gives it to the compiler: that of a CPU makes one pass
  of the two again, so that what it counts stays the same.
  """
  nets, x = networks(role, name, CASES[name][1])
  x = jnp.tile(x, (4,) + (1,) * (x.ndim - 1))
  left = {}
  for how, net in nets.items():
    init = lambda key, net=net: net.init(
      {'params': key, 'noise': key}, x, train=True
    )
    shapes = jax.eval_shape(init, jax.random.key(0))

    def pull_back(variables, net=net):
      loss, params, _ = scalar_of(net, variables, x, without_maps)
      return jax.vjp(loss, params, x, has_aux=True)[1]

    kept = jax.tree.leaves(jax.eval_shape(pull_back, shapes))
    own = jax.tree.leaves(shapes['params'])
    left[how] = sum(v.size * v.dtype.itemsize for v in kept)
    left[how] -= sum(v.size * v.dtype.itemsize for v in own)
  assert left['blocks'] < 0.75 * left['none'], left
