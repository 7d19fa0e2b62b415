"""FastGAN's networks: sizes, switches, noise, and samples that are a tree.

That they compute the released ones' functions is held by
fastgan_golden_test.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.networks import Scales, fastgan
from gan_jax.networks.made import picture
from gan_jax.nn.levels import nearest

QUICK = {'xla_backend_optimization_level': 0}
Z = 8


def forms(net, *inputs):
  """The shapes of what a network gives, and of its variables."""

  def run(*inputs):
    keys = {'params': jax.random.key(0), 'noise': jax.random.key(1)}
    return net.init_with_output(keys, *inputs, train=True)

  return jax.eval_shape(run, *inputs)


def sizes(tree):
  return sum(x.size for x in jax.tree.leaves(tree))


# spec/fastgan.md, 4.2: G, its excitations, D with decoders.
DECODERS = 3_139_488
COUNTS = {
  256: (29_127_846, 2_774_016, 11_526_160),
  512: (29_174_392, 2_807_040, 11_526_496),
  1024: (29_176_512, 2_807_040, 11_528_192),
}


@pytest.mark.parametrize('side', COUNTS)
def test_parameter_counts_of_the_released_networks(side):
  g, excitations, d = COUNTS[side]
  shape = (side, side, 3)
  _, variables = forms(fastgan.Generator(shape), jnp.zeros((1, 256)))
  params = variables['params']
  assert sizes(params) == g
  gates = {k: v for k, v in params.items() if k.startswith('gate')}
  assert sizes(gates) == excitations
  _, variables = forms(fastgan.Discriminator(shape), jnp.zeros((1, *shape)))
  assert sizes(variables['params']) == d - DECODERS


@pytest.mark.parametrize('side', fastgan.RESOLUTIONS)
@pytest.mark.parametrize('small', [True, False])
def test_every_side(side, small):
  shape, low = (side, side, 3), min(side, 128)
  made, _ = forms(
    fastgan.Generator(shape, width=2, small=small), jnp.zeros((2, Z))
  )
  assert isinstance(made, Scales) == small
  assert picture(made).shape == (2, *shape)
  if small:
    assert made.small.shape == (2, low, low, 3)
  judged, _ = forms(fastgan.Discriminator(shape, width=2, small=small), made)
  assert judged.logits.shape == (2, 50 if small else 25)
  plain = {name for name in judged.features if 'small' not in name}
  assert plain == {str(s) for s in (256, 128, 64, 32, 16, 8) if s <= side}
  beside = [f'small_{s}' for s in (64, 32, 16, 8) if s < low]
  assert set(judged.features) - plain == set(beside if small else ())
  for name, feature in judged.features.items():
    across = int(name.removeprefix('small_'))
    assert feature.shape[:3] == (2, across, across)


def test_the_papers_networks_have_one_layer_a_level_and_no_more():
  shape = (1024, 1024, 3)
  g = fastgan.Generator(shape, **fastgan.PAPER['generator'])
  made, variables = forms(g, jnp.zeros((1, Z)))
  params = variables['params']
  levels = [2**k for k in range(3, 11)]
  assert {k for k in params if k.startswith('conv')} == {
    'conv_4',
    'conv_image',
    *(f'conv_{side}_0' for side in levels),
  }
  assert {k for k in params if k.startswith('gate')} == {
    'gate_128',
    'gate_256',
    'gate_512',
  }
  assert not any(k.startswith('noise') for k in params)
  for side in (512, 1024):  # three channels, and as many for the gates
    assert params[f'conv_{side}_0']['kernel'].shape[-1] == 6
  d = fastgan.Discriminator(shape, **fastgan.PAPER['discriminator'])
  _, variables = forms(d, made)
  params = variables['params']
  assert params['conv_stem']['kernel'].shape == (4, 4, 3, 3)
  assert not any(k.startswith(('gate', 'conv_small')) for k in params)


@pytest.mark.parametrize(
  'wanted', [dict(sle_from=()), dict(sle_from=(4,)), dict(sle_act='leaky_relu')]
)
def test_excitations_are_those_asked_for(wanted):
  """A low map reaches a high one through its gate alone: both ways differ."""
  net = fastgan.Generator((64, 64, 3), width=2, **wanted)
  _, variables = forms(net, jnp.zeros((1, Z)))
  gates = {k for k in variables['params'] if k.startswith('gate')}
  assert gates == ({'gate_64'} if net.sle_from else set())


@pytest.fixture(scope='module', name='noisy')
def _noisy():
  """A G whose noise is not at its first strength, 0."""
  net = fastgan.Generator((64, 64, 3), width=1)
  draws = np.random.default_rng(0)

  first = jax.eval_shape(
    lambda key: net.init(key, jnp.zeros((1, Z)), train=True), jax.random.key(0)
  )
  # Any weights will do; to initialise a network compiles for seconds.
  variables = jax.tree.map(
    lambda x: np.float32(draws.normal(size=x.shape) / 10 + 0.5), first
  )

  def make(z, seed, train):
    rngs = {} if seed is None else {'noise': jax.random.key(seed)}
    made, _ = net.apply(
      variables,
      z,
      train=train,
      rngs=rngs,
      mutable=['batch_stats', 'spectral'],
    )
    return made.image

  return jax.jit(make, static_argnums=(1, 2), compiler_options=QUICK)


def test_in_use_a_latent_vector_gives_one_picture(noisy):
  z = jax.random.normal(jax.random.key(1), (3, Z))
  together = noisy(z, 0, False)
  alone = noisy(z[1:2], 0, False)
  np.testing.assert_allclose(alone[0], together[1], rtol=1e-4, atol=1e-5)
  other, without = noisy(z, 1, False), noisy(z, None, False)
  assert np.abs(other - together).max() > 0.01
  assert np.abs(without - together).max() > 0.01


def test_in_training_each_sample_has_noise_of_its_own(noisy):
  z = jnp.ones((2, Z))
  first, second = noisy(z, 0, True)
  assert np.abs(first - second).max() > 0.01


@pytest.mark.parametrize('size, side', [(8, 4), (4, 8), (6, 4), (5, 3)])
def test_nearest_takes_the_pixels_that_pytorch_takes(size, side):
  image = np.arange(size * size, dtype=np.float32).reshape(1, size, size, 1)
  rows = [int(np.floor(i * size / side)) for i in range(side)]
  expected = [[size * r + c for c in rows] for r in rows]
  np.testing.assert_array_equal(nearest(image, side)[0, :, :, 0], expected)
