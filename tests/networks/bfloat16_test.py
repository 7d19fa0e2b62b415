"""Every network in bfloat16: near float32, which its parameters stay in."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax.mesh import one_device
from gan_jax.networks import CLASSIFIERS, DISCRIMINATORS, GENERATORS, ROLES
from gan_jax.networks import settings as settings_of
from gan_jax.nn import precision
from gan_jax.restore import restore
from gan_jax.run.folder import RunDir
from gan_jax.state import stream
from gan_jax.train import train
from tests import small

QUICK = {'xla_backend_optimization_level': 0}
N, Z = 8, 6
CASES = {
  'dcgan': dict(shape=(32, 32, 3), width=4, norm='group'),
  'progan': dict(shape=(16, 16, 3), fmap_base=32, fmap_max=8),
  'stylegan2': dict(shape=(32, 32, 3), fmap_base=128, fmap_max=8, depth=2),
  'fastgan': dict(shape=(64, 64, 3), width=2, norm='group'),
  'mnist1k': dict(shape=(32, 32, 3), norm='layer'),
  'mlp': dict(shape=(8, 8, 1), width=16),
  'charcnn': dict(shape=(12, 7), width=8, depth=2),
  'upsample': dict(shape=(32, 32, 3), width=4, norm='group'),
  'resnet': dict(shape=(16, 16, 3), classes=3, width=4, depth=10, norm='group'),
}
NETWORKS = {
  f'{role} {name}': (kind, name)
  for role, registry in (
    ('generator', GENERATORS),
    ('discriminator', DISCRIMINATORS | CLASSIFIERS),
  )
  for name, kind in registry.items()
}
# A layer rounds input, kernel and product, each by up to 2^-9 of itself; errors
# of a dozen layers add up by squares, and norms take means away.
NEAR = np.sqrt(4 * 12) * 2**-9 * 4


def both(title):
  """(network, the same in bfloat16, variables, an input)."""
  kind, name = NETWORKS[title]
  net = kind(**CASES[name])
  shape = (Z,) if title.startswith('generator') else CASES[name]['shape']
  x = jax.random.normal(jax.random.key(1), (N, *shape))
  return net, net.clone(bfloat16_from=1), small.init(net, x), x


def slopes(net, variables, x):
  """What a training pass gives, and the gradient of a sum of it."""
  stats = {k: v for k, v in variables.items() if k != 'params'}
  keys = {n: stream(jax.random.key(2), n) for n in ('noise', 'dropout')}

  def loss(params):
    y, new = net.apply(
      {'params': params, **stats}, x, train=True, mutable=list(stats), rngs=keys
    )
    leaves = jax.tree.leaves(y)
    return sum(jnp.mean(jnp.sin(leaf)) for leaf in leaves), (y, new)

  return jax.grad(loss, has_aux=True)(variables['params'])


def test_every_network_has_the_setting_and_it_means_the_same():
  for role, registry in ROLES.items():
    for name in registry:
      table = settings_of(role, name)
      assert table['bfloat16_from'] is precision.SETTING, (role, name)


FAST = 'generator mlp'


@pytest.mark.parametrize(
  'title',
  [
    pytest.param(title, marks=[] if title == FAST else pytest.mark.release)
    for title in NETWORKS
  ],
)
def test_a_network_is_near_itself_in_float32(title):
  net, low, variables, x = both(title)
  forms = lambda net: jax.eval_shape(
    lambda: net.init(
      {'params': jax.random.key(0), 'noise': jax.random.key(0)}, x, train=True
    )
  )
  assert forms(net) == forms(low)
  run = lambda net: jax.jit(
    lambda variables, x: slopes(net, variables, x), compiler_options=QUICK
  )(variables, x)
  (slope, (wanted, _)), (gradient, (found, new)) = run(net), run(low)
  for leaf in jax.tree.leaves((gradient, found, new)):
    assert leaf.dtype == jnp.float32
    assert np.isfinite(leaf).all()
  first = lambda y: jax.tree.leaves(y)[0]
  off = lambda a, b: np.linalg.norm(a - b) / np.linalg.norm(b)
  assert 0 < off(first(found), first(wanted)) < NEAR
  # A gradient passes as many layers again, and kinks of activations.
  assert off(small.flat(gradient), small.flat(slope)) < 4 * NEAR
  # Its layers do compute in it, as a GPU is told: a CPU's own forms do not.
  text = (
    jax.jit(lambda v: slopes(low, v, x)[0])
    .trace(variables)
    .lower(lowering_platforms=('cuda',))
  )
  products = re.findall(
    r'stablehlo\.(?:convolution|dot_general).*-> tensor<[\dx]*x(\w+)>',
    text.as_text(),
  )
  assert products.count('bf16') > 2


@pytest.mark.release
@pytest.mark.parametrize(
  'spec', ['dcgan_cifar.py', 'fastgan_folder.py', 'mlp_toy.py', 'sgan_text.py']
)
def test_a_few_steps_train(spec, tmp_path):
  """Whole runs: finite losses, and a state of float32 as without."""
  config = config_lib.load(f'configs/{spec}:test')
  with config.unlocked():
    config.generator.bfloat16_from = config.discriminator.bfloat16_from = 1
  train(config, tmp_path)
  state = restore(tmp_path, one_device()).state
  for leaf in jax.tree.leaves((state.pair, state.ema)):
    assert leaf.dtype in (jnp.float32, jnp.int32)
    assert np.isfinite(leaf).all()
  lines = [line for line in RunDir(tmp_path).lines() if 'd_loss' in line]
  first, *_, last = lines
  assert last['step'] > first['step']
  assert np.isfinite([last['d_loss'], last['g_loss']]).all()
