"""StyleGAN2's networks: sizes, forms, entering, noise, precision.

That they compute the released ones' functions is held by
stylegan2_golden_test.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.networks import Start, stylegan2

QUICK = {'xla_backend_optimization_level': 0}
SMALL = dict(shape=(32, 32, 3), fmap_base=128, fmap_max=8, depth=2)


def variables_of(net, inputs):
  """First variables by shape alone, drawn anew: nothing is compiled."""
  first = jax.eval_shape(
    lambda: net.init(
      {'params': jax.random.key(0), 'noise': jax.random.key(0)},
      inputs,
      train=True,
    )
  )
  draws = np.random.default_rng(0)
  return jax.tree.map(lambda x: np.float32(draws.normal(size=x.shape)), first)


def count(net, inputs):
  tree = jax.eval_shape(
    lambda: net.init(
      {'params': jax.random.key(0), 'noise': jax.random.key(0)},
      inputs,
      train=True,
    )
  )
  return sum(x.size for x in jax.tree.leaves(tree['params']))


# spec/glead.md 5.1.
@pytest.mark.parametrize(
  'side, base, g, d',
  [
    (256, stylegan2.PAPER256, 24_767_458, 24_001_089),
    (256, stylegan2.FULL, 30_034_338, 28_864_129),
    (512, stylegan2.FULL, 30_276_583, 28_982_849),
    (1024, stylegan2.FULL, 30_370_060, 29_012_513),
  ],
)
def test_parameter_counts_of_the_released_networks(side, base, g, d):
  shape = (side, side, 3)
  net = stylegan2.Generator(shape, fmap_base=base)
  assert count(net, jnp.zeros((1, 512))) == g
  net = stylegan2.Discriminator(shape, fmap_base=base)
  assert count(net, jnp.zeros((1, *shape))) == d


@pytest.mark.parametrize('form', ['skip', 'residual'])
def test_entered_at_its_own_map_it_gives_the_same_picture(form):
  net = stylegan2.Generator(**SMALL, style_size=8, form=form)
  z = jax.random.normal(jax.random.key(1), (2, 8))
  variables = variables_of(net, z)
  # With no colour below, what is added above is the whole picture's rest.
  whole = net.clone(noise='none')

  def run(g, z):
    styles = g.styles(z, train=False)
    made = g.synthesise(styles, train=False)
    zero = jnp.zeros((2, 16, 16, 3))
    start = Start(16, made.features['16'], zero)
    return made, g.synthesise(styles, start, train=False)

  run_ = lambda z: whole.apply(variables, z, method=run)
  made, again = jax.jit(run_, compiler_options=QUICK)(z)
  np.testing.assert_allclose(
    made.features['32'], again.features['32'], rtol=1e-4, atol=1e-4
  )
  same = np.allclose(made.samples, again.samples, rtol=1e-4, atol=1e-4)
  assert same == (form == 'residual')


def test_noise_is_each_samples_own_in_training_and_one_in_use():
  net = stylegan2.Generator(**SMALL, style_size=8)
  variables = variables_of(net, jnp.zeros((1, 8)))
  z = jnp.ones((2, 8))

  def make(train):
    samples, _ = net.apply(
      variables,
      z,
      train=train,
      rngs={'noise': jax.random.key(0)},
      mutable=['w_average', 'noise_maps'],
    )
    return samples

  first, second = jax.jit(lambda: make(True), compiler_options=QUICK)()
  assert np.abs(first - second).max() > 0.01
  first, second = jax.jit(lambda: make(False), compiler_options=QUICK)()
  np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5)


def test_bfloat16_is_near_and_what_leaves_is_float32():
  net = stylegan2.Discriminator(**SMALL)
  x = jax.random.normal(jax.random.key(1), (4, 32, 32, 3))
  variables = variables_of(net, x)
  low = net.clone(bfloat16_from=16)
  judge = lambda n: jax.jit(
    lambda x: n.apply(variables, x, train=True), compiler_options=QUICK
  )(x)
  wanted, found = judge(net), judge(low)
  assert found.logits.dtype == jnp.float32
  assert {f.dtype for f in found.features.values()} == {jnp.dtype('float32')}
  assert not np.array_equal(found.logits, wanted.logits)
  off = np.linalg.norm(found.logits - wanted.logits)
  assert off < 0.05 * np.linalg.norm(wanted.logits)
