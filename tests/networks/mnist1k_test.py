"""MNIST-1K's networks: sizes by hand, levels, fades, the table's layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gan_jax.networks import mnist1k
from gan_jax.nn.conv import conv_transpose
from gan_jax.nn.levels import double, reduce_to
from tests import small

SHAPE, Z, N = (32, 32, 3), 6, 4
KEY = jax.random.key(1)
OURS = dict(norm='none', equalised=True)


def count(tree, *others):
  """Numbers in a network, but for layers whose names begin so."""
  return sum(
    x.size
    for name, layer in tree.items()
    if not name.startswith(others)
    for x in jax.tree.leaves(layer)
  )


def shapes(net, sample):
  make = lambda: net.init(KEY, sample, train=True)
  return jax.eval_shape(make)['params']


# By hand, with w = 8 X: 27 w + w, 18 w^2, 72 w^2, 64 w + 1; batch norm has two
# numbers for each of 2 w + 4 w channels, a bias one; the stddev's map is 4 x 4.
@pytest.mark.parametrize('width, paper', [(4, 2000), (2, 500)])
def test_parameters_of_the_discriminators(width, paper):
  kernels = 28 * width + 90 * width**2 + 64 * width + 1
  found = [
    count(
      shapes(
        mnist1k.Discriminator(SHAPE, width=width, **more),
        jnp.zeros((N, *SHAPE)),
      ),
      'from_rgb',
    )
    for more in (dict(norm='batch'), OURS, dict(OURS, group_size=0))
  ]
  assert found == [kernels + k * width for k in (12, 6)] + [
    kernels + 6 * width + 16
  ]
  # Appendix E: about so many; our norm has slightly fewer, the stddev brings it
  # within 0.5 % of the first. Here it is 0.4 % (K/2) and 0.7 % (K/4).
  assert abs(found[0] / paper - 1) < 0.15
  assert found[1] < found[0] and abs(found[2] / found[0] - 1) < 0.0075


def test_parameters_of_the_generator():
  g = shapes(mnist1k.Generator(SHAPE, norm='batch'), jnp.zeros((N, 256)))
  kernels = 256 * 16 * 64 + 9 * (64 * 32 + 32 * 16 + 16 * 8 + 8 * 3)
  norms = 2 * (64 + 32 + 16 + 8)
  below = ('to_rgb_4', 'to_rgb_8', 'to_rgb_16')
  assert count(g, *below) == kernels + norms + 3


def test_the_transposed_convolution_is_laxs():
  """Of SAME: XLA's own, whose kernel is turned."""
  x = jax.random.normal(KEY, (2, 4, 5, 3))
  kernel = jax.random.normal(KEY, (3, 3, 3, 2))
  ours = conv_transpose(x, kernel, 2, ((0, 1), (0, 1)))
  adjoint = lax.conv_transpose(x, kernel[::-1, ::-1], (2, 2), [(2, 1), (2, 1)])
  assert ours.shape == (2, 8, 10, 2)
  np.testing.assert_allclose(ours, adjoint, atol=1e-5)


@pytest.fixture(name='pair', scope='module')
def _pair():
  """G and D of ProGAN's rows, and their variables."""
  g = mnist1k.Generator(SHAPE, norm='pixel', equalised=True)
  d = mnist1k.Discriminator(SHAPE, **OURS, group_size=0)
  z = jax.random.normal(KEY, (N, Z))
  x = jnp.zeros((N, 4, 4, 3))  # as a run that begins at 4 px gives it
  return g, small.init(g, z), d, small.init(d, x), z


@pytest.mark.parametrize('side', [8, 16, 32])
def test_fades_begin_at_the_level_below(pair, side):
  g, in_g, d, in_d, z = pair

  @jax.jit
  def run(alpha):
    here, below = (
      g.clone(resolution=s).apply(in_g, z, train=True, alpha=a)
      for s, a in ((side, alpha), (side // 2, 1.0))
    )
    x = jax.random.normal(KEY, here.shape)
    judged = [
      d.apply(in_d, x, train=True, alpha=a).logits
      for x, a in ((x, alpha), (reduce_to(x, side // 2), 1.0))
    ]
    return here, below, judged

  here, below, (above, beneath) = run(0.0)
  assert here.shape == (N, side, side, 3) and np.abs(here).max() <= 1
  # tanh of one number has other last bits in another place of a vector.
  np.testing.assert_allclose(here, double(below), atol=1e-6)
  np.testing.assert_allclose(above, beneath, rtol=1e-6)
  whole, _, (judged, _) = run(1.0)
  assert np.abs(whole - here).max() > 1e-3
  assert not np.allclose(judged, above)


def test_at_full_size_no_layer_of_growing_counts(pair):
  g, in_g, d, in_d, z = pair

  def loss(in_g, in_d):
    x = g.apply(in_g, z, train=True)
    return jnp.sum(d.apply(in_d, x, train=True).logits ** 2)

  grads = jax.jit(jax.grad(loss, (0, 1)))(in_g, in_d)
  used = {
    name
    for tree in grads
    for name, layer in tree['params'].items()
    if np.any(small.flat(layer))
  }
  unused = {f'to_rgb_{s}' for s in (4, 8, 16)} | {
    f'from_rgb_{s}' for s in (4, 8, 16)
  }
  assert used == {*in_g['params'], *in_d['params']} - unused


def test_the_stddev_makes_logits_depend_on_the_batch(pair):
  _, _, d, in_d, _ = pair
  x = jax.random.normal(KEY, (N, *SHAPE))
  logits = d.apply(in_d, x, train=True).logits
  alike = d.apply(in_d, x[:1].repeat(N, 0), train=True).logits
  assert not d.per_sample and abs(alike[0] - logits[0]) > 1e-4
