"""ResNet for CIFAR: the paper's sizes, and the forward pass in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.networks import resnet, upsample
from tests import small

EPSILON = 1e-5


def conv(x, kernel, stride):
  """A convolution as a sum over taps; padding of half the window."""
  window = len(kernel)
  pad = window // 2
  x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
  size = (x.shape[1] - window) // stride + 1
  out = 0.0
  for i in range(window):
    for j in range(window):
      rows = slice(i, i + stride * (size - 1) + 1, stride)
      columns = slice(j, j + stride * (size - 1) + 1, stride)
      out = out + x[:, rows, columns] @ kernel[i, j]
  return out


def expected(params, stats, x):
  """Logits by He et al. 2016: y = relu(x + f(x)), stage after stage."""

  def layer(name, params, stats, x, stride):
    x = conv(x, params[f'Conv_{name}']['kernel'], stride)
    own, running = (tree[f'BatchNorm_{name}'] for tree in (params, stats))
    x = (x - running['mean']) / np.sqrt(running['var'] + EPSILON)
    return x * own['scale'] + own['bias']

  x = np.maximum(layer(0, params, stats, x, 1), 0)
  blocks = [k for k in params if k.startswith('Block')]
  for i in range(len(blocks)):
    p, s = (tree[f'Block_{i}'] for tree in (params, stats))
    wider = 'Conv_2' in p
    stride = 2 if wider else 1
    y = np.maximum(layer(0, p, s, x, stride), 0)
    y = layer(1, p, s, y, 1)
    x = np.maximum(y + (layer(2, p, s, x, stride) if wider else x), 0)
  head = params['Dense_0']
  return x.mean((1, 2)) @ head['kernel'] + head['bias']


def test_forward_pass_in_use():
  net = resnet.Classifier((12, 12, 3), classes=5, width=4, depth=18)
  rng = np.random.default_rng(0)
  x = rng.normal(size=(3, 12, 12, 3)).astype(np.float32)
  shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), x, train=True))

  def draw(v):
    # Every number drawn: fresh statistics and biases would hide mistakes.
    signs = rng.choice([-1, 1], v.shape) if v.ndim > 1 else 1
    return (signs * rng.uniform(0.2, 0.8, v.shape)).astype(np.float32)

  variables = jax.tree.map(draw, shapes)
  quick = {'xla_backend_optimization_level': 0}
  judge = lambda v: net.apply(v, x, train=False)
  logits, features, _ = jax.jit(judge, compiler_options=quick)(variables)
  want = expected(variables['params'], variables['batch_stats'], x)
  np.testing.assert_allclose(logits, want, rtol=1e-4, atol=1e-4)
  assert {k: v.shape for k, v in features.items()} == {
    '12': (3, 12, 12, 4),
    '6': (3, 6, 6, 8),
    '3': (3, 3, 3, 16),
    '2': (3, 2, 2, 32),
  }


# The counts of OSGAN Table 2, 11.2M and 21.3M, to the parameter: stem, blocks
# of 2 * 9 * c^2 weights, 1x1 shortcuts, two numbers a channel in each norm,
# and a dense layer on 512 channels.
def counted(blocks, classes):
  total, before = 3 * 9 * 64 + 2 * 64, 64
  for stage, count in enumerate(blocks):
    c = 64 * 2**stage
    total += 9 * before * c + (2 * count - 1) * 9 * c * c + 2 * count * 2 * c
    if stage:
      total += before * c + 2 * c
    before = c
  return total + 512 * classes + classes


@pytest.mark.parametrize(
  'depth, blocks, classes, published',
  [
    (18, (2, 2, 2, 2), 10, 11_173_962),
    (34, (3, 4, 6, 3), 10, 21_282_122),
    (34, (3, 4, 6, 3), 100, 21_328_292),
  ],
)
def test_parameter_counts(depth, blocks, classes, published):
  net = resnet.Classifier((32, 32, 3), classes, depth=depth)
  x = jnp.zeros((1, 32, 32, 3))
  variables = jax.eval_shape(lambda: net.init(jax.random.key(0), x, train=True))
  got = sum(v.size for v in jax.tree.leaves(variables['params']))
  assert got == counted(blocks, classes) == published


def test_the_generators_pictures_are_whitened_before_the_tanh():
  """Each channel has mean 0 and deviation 1 over a batch: none saturates."""
  net = upsample.Generator((28, 28, 3), width=4)
  z = 5.0 * jax.random.normal(jax.random.key(1), (8, 6)) + 3.0
  variables = small.init(net, z)
  make = lambda z: net.apply(variables, z, train=True, mutable=['batch_stats'])
  pictures, stats = jax.jit(make)(z)
  before = np.arctanh(np.float64(pictures))
  np.testing.assert_allclose(before.mean((0, 1, 2)), 0.0, atol=1e-2)
  np.testing.assert_allclose(before.std((0, 1, 2)), 1.0, atol=1e-2)
