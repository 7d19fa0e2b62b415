"""FastGAN's decoders against the released code's numbers, in training mode.

The maps that they read come from a discriminator in NumPy's and XLA's own
words, written from the reference's notes.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.networks import Judgement
from gan_jax.state import stream
from gan_jax.tasks.autoencode import Autoencode
from gan_jax.terms import View
from tests.golden import inputs, rule

ABOUT, _ = rule.load('fastgan_decoders')
CASE = ABOUT['cases']['loss_256_train']
WEIGHTS = rule.weights(ABOUT['nets']['D_256'])
REAL = inputs.value(ABOUT, {}, 'real_256')
# The released decoders by our names.
NAMES = {'whole_8': 'big', 'whole_small_8': 'small', 'part_16': 'part'}


def unit(name):
  return WEIGHTS[name] / np.linalg.norm(WEIGHTS[name])


def conv(x, name, stride=1, pad=0):
  """[N, C, H, W], the kernel divided by sigma after a power iteration."""
  w = WEIGHTS[f'{name}.weight_orig'].astype(np.float64)
  flat, u = w.reshape(len(w), -1), unit(f'{name}.weight_u')
  v = flat.T @ u
  v /= np.linalg.norm(v)
  u = flat @ v
  sigma = u @ u / np.linalg.norm(u)
  kernel = jnp.float32(w / sigma)
  return jax.lax.conv_general_dilated(
    x, kernel, (stride,) * 2, [(pad, pad)] * 2
  )


def norm(x, name):
  """Batch norm with the batch's statistics."""
  mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
  wide = lambda a: a[:, None, None]
  y = (x - wide(mean)) / jnp.sqrt(wide(var) + 1e-5)
  return y * wide(WEIGHTS[f'{name}.weight']) + wide(WEIGHTS[f'{name}.bias'])


def leaky(x):
  return jnp.where(x > 0, x, 0.2 * x)


def means(x, times):
  n, c, h, w = x.shape
  return x.reshape(n, c, h // times, times, w // times, times).mean((3, 5))


def down(x, name):
  main = leaky(norm(conv(x, f'{name}.main.0', 2, 1), f'{name}.main.1'))
  main = leaky(norm(conv(main, f'{name}.main.3', 1, 1), f'{name}.main.4'))
  direct = conv(means(x, 2), f'{name}.direct.1')
  return (main + leaky(norm(direct, f'{name}.direct.2'))) / 2


def gate(x, name):
  x = conv(means(x, x.shape[2] // 4), f'{name}.main.1')
  return jax.nn.sigmoid(conv(jax.nn.swish(x), f'{name}.main.3'))


@jax.jit
def features(real):
  """The maps at 16 and 8 px, and the second branch's at 8 px, NHWC."""
  stem = leaky(conv(real, 'down_from_big.0', 1, 1))
  at_128 = down(stem, 'down_4')
  at_64 = down(at_128, 'down_8')
  at_32 = down(at_64, 'down_16') * gate(stem, 'se_2_16')
  at_16 = down(at_32, 'down_32') * gate(at_128, 'se_4_32')
  at_8 = down(at_16, 'down_64') * gate(at_64, 'se_8_64')
  small = leaky(conv(real[:, :, ::2, ::2], 'down_from_small.0', 2, 1))
  for k in (2, 3, 4):
    name = f'down_from_small.{k}.main'
    small = leaky(norm(conv(small, f'{name}.0', 2, 1), f'{name}.1'))
  nhwc = lambda x: x.transpose(0, 2, 3, 1)
  return {'16': nhwc(at_16), '8': nhwc(at_8), 'small_8': nhwc(small)}


def released(name, suffix):
  """Names in the released decoders of our layers: 'conv0', 'norm0', 'rgb'."""
  if name == 'rgb':
    return f'main.5.{suffix}'
  block, layer = int(name[4:]) + 1, {'conv': 1, 'norm': 2}[name[:4]]
  return f'main.{block}.{layer}.{suffix}'


SUFFIX = {'kernel': 'weight_orig', 'scale': 'weight', 'bias': 'bias'}


def put(own, carried):
  """The released weights in our trees."""
  params, stats = {}, {}
  for ours, theirs in NAMES.items():
    here = lambda name, suffix, theirs=theirs: (
      f'decoder_{theirs}.{released(name, suffix)}'
    )

    def leaf(path, x, here=here):
      layer, kind = path[0].key, path[1].key
      value = WEIGHTS[here(layer, SUFFIX[kind])]
      value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
      assert value.shape == x.shape
      return jnp.asarray(value)

    def vector(path, x, here=here):
      layer, _, what = path[-1].key.split('/')
      if what != 'u':
        return jnp.ones(x.shape)
      return jnp.asarray(unit(here(layer, 'weight_u'))[None])

    params[ours] = jax.tree_util.tree_map_with_path(leaf, own[ours])
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape), carried[ours])
    spectral = carried[ours]['spectral']
    stats[ours] = zeros | {
      'spectral': jax.tree_util.tree_map_with_path(vector, spectral)
    }
  return params, stats


def key_of_quadrant(task, wanted):
  """A key with which the part decoder is given a quadrant."""
  for seed in range(64):
    key = jax.random.key(seed)
    window = task._window((16, 16), stream(key, 'part_16'))
    if tuple(map(int, window.corner)) == wanted:
      return key
  raise AssertionError


@pytest.fixture(scope='module')
def maps():
  return features(jnp.asarray(inputs.nchw(REAL)))


@pytest.fixture(scope='module')
def passed(maps):
  """Reconstructions with the released weights, and the gradient of L1's sum."""
  task = Autoencode()
  seen = jnp.asarray(REAL)
  view = View(**dict.fromkeys(View._fields))
  view = view._replace(on_real=Judgement(None, maps), seen_real=seen)
  shapes = jax.eval_shape(lambda key: task.init(view, key), jax.random.key(0))
  own, carried = put(*shapes)
  key = key_of_quadrant(task, (0, 0))

  def loss(own):
    shown, _ = task.reconstruct(own, carried, maps, seen, key, train=True)
    return sum(task.distances(x, {}).mean() for x in shown.values()), shown

  gradient, shown = jax.jit(jax.grad(loss, has_aux=True))(own)
  return shown, gradient


@pytest.mark.parametrize('loss', ['l1', 'mse'])
def test_losses_are_the_released_ones(loss, passed):
  task = Autoencode(loss=loss)
  for ours, theirs in NAMES.items():
    wanted = CASE['out'][f'{loss}_{theirs}']['value']
    found = task.distances(passed[0][ours], {}).mean()
    assert found == pytest.approx(wanted, rel=2e-5), ours


def test_gradients_are_the_released_ones(passed):
  found = {}
  for ours, theirs in NAMES.items():
    for layer, leaves in passed[1][ours].items():
      for kind, x in leaves.items():
        x = x.transpose(3, 2, 0, 1) if x.ndim == 4 else x
        found[f'decoder_{theirs}.{released(layer, SUFFIX[kind])}'] = x
  reference = {
    name: row
    for name, row in CASE['grads']['D/l1_sum'].items()
    if name.startswith('decoder')
  }
  assert set(found) == set(reference)
  for name, error in rule.gradient_errors(found, reference):
    assert error < 1e-3, name
