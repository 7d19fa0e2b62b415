"""ProGAN's released arrays as variables and back; and as a run.

That the networks compute the released ones' function, with fused layers and
without, is held by tests/networks/progan_golden_test.py.
"""

import json

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax import convert, released
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.networks import progan
from gan_jax.restore import restore
from gan_jax.sample import sample
from tests import small
from tests.golden import rule

ABOUT, _ = rule.load('progan')
NETS = [name for name in ABOUT['nets'] if 'wide' not in name]


def kind(net):
  return f'progan.{"generator" if net[0] == "G" else "discriminator"}'


def arrays(net):
  return rule.weights(ABOUT['nets'][net])


@pytest.mark.parametrize('net', NETS)
def test_there_and_back(net):
  own = arrays(net)
  module, variables = convert.released(kind(net), {'lod': np.float32(0)} | own)
  fused = ABOUT['nets'][net]['ctor']['fused_scale']
  back = convert.under_released_names(kind(net), variables, fused=fused)
  assert set(back) == set(own)
  for name, array in own.items():
    np.testing.assert_array_equal(back[name], array)
  if net[0] == 'G':
    # The same function by plain layers.
    plain = convert.under_released_names(kind(net), variables)
    again, same = convert.released(kind(net), plain)
    assert again == module and small.identical(same, variables)


@settings(deadline=None, max_examples=10)
@given(
  st.sampled_from(progan.RESOLUTIONS[:4]),
  st.integers(1, 100),
  st.integers(1, 12),
  st.sampled_from([1, 3, 4]),
  st.integers(0, 3),
  st.booleans(),
)
def test_sizes_are_read_from_shapes(side, base, most, channels, classes, fused):
  """Other settings may be found than those chosen; of the same channels."""
  shape, sizes = (side, side, channels), dict(fmap_base=base, fmap_max=most)
  networks = {
    'G': (progan.Generator(shape, **sizes), (1, 3)),
    'D': (
      progan.Discriminator(
        shape,
        classes,
        **sizes,
        group_layout='strided',
        fused_scale_order=fused and side > 4,
      ),
      (1, *shape),
    ),
  }
  for net, (module, example) in networks.items():
    shapes = forms(module, example)
    variables = jax.tree.map(lambda x: np.ones(x.shape, np.float32), shapes)
    own = convert.under_released_names(kind(net), variables, fused=fused)
    found, again = convert.released(kind(net), own)
    assert forms(found, example) == shapes
    assert jax.tree.map(np.shape, again) == jax.tree.map(np.shape, variables)
    chosen = dict(fmap_base=base, fmap_max=most)
    assert found.clone(**chosen) == module


def forms(module, example):
  """The shapes of a module's variables."""
  return jax.eval_shape(
    lambda: module.init(jax.random.key(0), np.zeros(example, 'f'), train=True)
  )


def test_a_file_of_three_networks_is_taken_apart():
  held = {
    f'{prefix}.{name}': array
    for prefix, net in (
      ('G', 'G_fused'),
      ('D', 'D_fused_g4'),
      ('Gs', 'G_fused'),
    )
    for name, array in arrays(net).items()
  }
  assert convert.find(held) == [
    ('progan.generator', 'G.'),
    ('progan.generator', 'Gs.'),
    ('progan.discriminator', 'D.'),
  ]


def test_a_network_with_other_layers_has_no_released_names():
  """They would be lost on the way."""
  module = progan.Discriminator((8, 8, 3), fmap_max=4, norm='layer')
  variables = forms(module, (1, 8, 8, 3))
  with pytest.raises(UserError, match='norm_4_0.* have no such layers'):
    convert.under_released_names('progan.discriminator', variables)


def without(own, name):
  return {k: v for k, v in own.items() if k != name}


@pytest.mark.parametrize(
  'net, damage, words',
  [
    ('G_fused', lambda a: without(a, '8x8/Conv1/bias'), '8x8/Conv1/bias is'),
    ('G_fused', lambda a: a | {'8x8/Conv9/bias': a['4x4/Conv/bias']}, 'left'),
    ('G_fused', lambda a: without(a, 'ToRGB_lod3/weight'), '32x32/'),
    (
      'G_fused',
      lambda a: a | {'4x4/Dense/weight': np.zeros((32, 500), 'f')},
      'no map of 4 by 4',
    ),
    (
      'G_unfused',
      lambda a: a | {'16x16/Conv0/bias': np.zeros(50, 'f')},
      'halve from level',
    ),
    (
      'G_unfused',
      lambda a: a | {'16x16/Conv0/weight': np.zeros((3, 3, 32, 31), 'f')},
      '16x16/Conv0/weight has shape [3, 3, 32, 31]',
    ),
    (
      'G_fused',
      lambda a: a | {'16x16/Conv0_up/weight': np.zeros((32, 32), 'f')},
      '16x16/Conv0_up/weight has shape [32, 32]',
    ),
    (
      'D_cond',
      lambda a: a | {'4x4/Dense1/bias': np.float32(0)},
      '4x4/Dense1/bias has shape []',
    ),
    ('D_cond', lambda a: without(a, '4x4/Dense1/bias'), '4x4/Dense1/bias is'),
    (
      'D_cond',
      lambda a: a | {'4x4/Dense1/weight': np.full((24, 11), np.nan, 'f')},
      'not finite',
    ),
  ],
)
def test_arrays_that_are_no_network(net, damage, words):
  with pytest.raises(UserError) as error:
    convert.released(kind(net), damage(arrays(net)))
  assert words in str(error.value)
  assert str(error.value).startswith(f'these arrays are no {kind(net)}: ')


def test_a_released_file_becomes_a_run(tmp_path):
  file, folder = tmp_path / 'pair.npz', tmp_path / 'run'
  pair = (('G', 'G_fused'), ('D', 'D_fused_g4'))
  held = {f'{p}.{k}': v for p, net in pair for k, v in arrays(net).items()}
  np.savez(file, **held)
  released.run(str(file), folder, overrides=[('data.source', 'digits')])
  _, config, _, step, state = restore(folder, one_device())
  assert step == 0 and config.latent.size == 32
  assert config.discriminator.fused_scale_order
  _, wanted = convert.released('progan.generator', arrays('G_fused'))
  assert small.identical(state.pair.g.params, wanted['params'])
  assert (
    'resolution'
    not in json.loads((folder / 'config.json').read_text())['generator']
  )
  sample(folder, '4', None, None)
  assert (folder / 'samples' / 'step_000000000' / 'seed0004.png').exists()
