"""StyleGAN2's released arrays as variables and back; its snapshots, as a run.

That the networks compute the released ones' function is held by
tests/networks/stylegan2_golden_test.py.
"""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gan_jax import config as config_lib
from gan_jax import convert, released
from gan_jax.convert import files
from gan_jax.data.source import to_bytes
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.networks import stylegan2
from gan_jax.nn import latent
from gan_jax.restore import restore
from gan_jax.sample import sample
from gan_jax.terms import network_only
from tests import small
from tests.golden import persistent, rule

ABOUT, _ = rule.load('stylegan2')
G, D = 'stylegan2.generator', 'stylegan2.discriminator'
CLASSES, Z = 3, 5
TINY = dict(shape=(32, 32, 3), fmap_base=64, fmap_max=4, depth=2)
# What each layer that has a clamp was made with, and D's groups.
CLAMP = {'conv_clamp': 256, 'use_fp16': True, 'activation': 'lrelu'}
SAID = {
  G: {
    '': {'z_dim': Z, 'c_dim': CLASSES, 'w_dim': 6},
    'synthesis.b32': CLAMP,
    'synthesis.b32.conv0': CLAMP,
    'mapping.fc0': {'lr_multiplier': 0.01, 'activation': 'lrelu'},
  },
  D: {
    '': {'mapping_kwargs': persistent.EASY(num_layers=2)},
    'b32.conv0': CLAMP,
    'b4.mbstd': {'group_size': None, 'num_channels': 1},
  },
}


def shapes_of(module):
  """Of a module's variables."""
  is_g = isinstance(module, stylegan2.Generator)
  example = np.zeros((1, Z) if is_g else (1, *module.shape), 'f')
  args = example, np.zeros(1, 'i')
  return jax.eval_shape(
    lambda: module.init(jax.random.key(0), *args, train=False)
  )


def build(kind, **more):
  """A small network of a kind."""
  fields = dict(TINY, **more)
  if kind == G:
    return stylegan2.Generator(style_size=6, **fields)
  return stylegan2.Discriminator(group_layout='strided', **fields)


@functools.cache
def drawn(kind, seed=0, classes=CLASSES):
  """(module, variables, arrays) of a random network."""
  more = dict(group_size=0) if kind == D else {}
  module = build(kind, classes=classes, **more)
  draws = np.random.default_rng(seed)
  draw = lambda x: draws.normal(size=x.shape).astype('f')
  variables = jax.tree.map(draw, shapes_of(module))
  return module, variables, convert.under_released_names(kind, variables)


def kind_of(net):
  return G if net[0] == 'G' else D


SMALL = [name for name in ABOUT['nets'] if '256' not in name]


@pytest.mark.parametrize('net', SMALL)
def test_released_arrays_there_and_back(net):
  """All of them, under their names and in their layouts."""
  own = rule.weights(ABOUT['nets'][net])
  _, variables = convert.released(kind_of(net), own)
  back = convert.under_released_names(kind_of(net), variables)
  assert small.identical(back, own) and back.keys() == own.keys()
  assert sum(x.size for x in jax.tree.leaves(variables)) == sum(
    x.size for x in own.values()
  )


@settings(deadline=None, max_examples=6)
@given(
  st.sampled_from([32, 64]),
  st.integers(1, 300),
  st.integers(1, 12),
  st.sampled_from([1, 3, 4]),
  st.integers(0, 3),
  st.integers(1, 4),
  st.sampled_from(['skip', 'residual']),
  st.sampled_from(['random', 'none']),
)
def test_sizes_are_read_from_shapes(
  side, base, most, channels, classes, depth, form, noise
):
  """Other settings may be found than those chosen; of the same channels."""
  sizes = dict(fmap_base=base, fmap_max=most)
  shape = (side, side, channels)
  more = dict(shape=shape, classes=classes, depth=depth, **sizes)
  made = [build(G, form=form, noise=noise, **more), build(D, **more)]
  for kind, module in zip((G, D), made, strict=True):
    shapes = shapes_of(module)
    variables = jax.tree.map(lambda x: np.ones(x.shape, 'f'), shapes)
    own = convert.under_released_names(kind, variables)
    found, again = convert.released(kind, own)
    assert jax.tree.map(np.shape, again) == jax.tree.map(np.shape, variables)
    if not classes and kind == D:
      module = module.clone(depth=found.depth)  # it has no such network
    assert found.clone(**sizes) == module


def snapshot(path, protocol=4, **more):
  """Writes one of the networks above; G and its average differ in the seed."""
  nets = {
    'G': persistent.network(drawn(G)[2], SAID[G]),
    'D': persistent.network(drawn(D)[2], SAID[D]),
    'G_ema': persistent.network(drawn(G, 1)[2], SAID[G]),
  }
  with open(path, 'wb') as file:
    persistent.snapshot(file, nets | more, protocol)
  return str(path)


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_a_snapshots_arrays_by_name(tmp_path, protocol):
  """Those of three networks, and the numbers that they were made with."""
  arrays = files.read(snapshot(tmp_path / 'x.pkl', protocol))
  for name, (kind, seed) in {'G': (G, 0), 'D': (D, 0), 'G_ema': (G, 1)}.items():
    for key, array in drawn(kind, seed)[2].items():
      np.testing.assert_array_equal(arrays.pop(f'{name}.{key}'), array)
  filters = [k for k in arrays if k.endswith('.resample_filter')]
  for key in filters:
    np.testing.assert_array_equal(arrays.pop(key), persistent.FILTER)
  assert arrays.pop('D.b32.conv0.init/conv_clamp') == 256
  assert np.isnan(arrays.pop('D.b4.mbstd.init/group_size'))
  assert filters and all('init/' in name for name in arrays)


def test_what_pytorch_wrote():
  """Its own tensors; the rest as above, see tests/golden/torch_files.py."""
  own = rule.weights(persistent.TINY)
  arrays = files.read(rule.FOLDER / 'torch_stylegan2.pkl')
  for key, array in own.items():
    np.testing.assert_array_equal(arrays[f'G_ema.{key}'], array)
  assert convert.find(arrays) == [(G, 'G_ema.')]
  found = released.open_networks([rule.FOLDER / 'torch_stylegan2.pkl'])
  assert found['generator'].module.clamp == 0.0
  assert found['generator'].module.shape == (8, 8, 3)
  back = convert.under_released_names(G, found['generator'].variables)
  assert small.identical(back, own) and back.keys() == own.keys()


DATA = [('data.source', 'digits')]


def test_a_snapshots_networks_by_role(tmp_path):
  found = released.open_networks([snapshot(tmp_path / 'x.pkl')])
  wanted = {'generator': (G, 0), 'discriminator': (D, 0), 'average': (G, 1)}
  assert found.keys() == wanted.keys()
  for role, which in wanted.items():
    assert small.identical(found[role].variables, drawn(*which)[1])
  config, _ = released.make_config(found, overrides=DATA)
  assert config.latent.size == Z and config.data.conditional
  assert config.discriminator.group_size == 0  # None: of the whole batch
  assert config.discriminator.group_layout == 'strided'
  assert config.generator.clamp == config.discriminator.clamp == 256.0


@pytest.mark.slow
def test_a_snapshot_becomes_a_run(tmp_path):
  folder = tmp_path / 'run'
  released.run(snapshot(tmp_path / 'x.pkl'), folder, overrides=DATA)
  state = restore(folder, one_device()).state
  found = network_only(state.pair.g.variables)
  assert small.identical(found, drawn(G)[1])
  assert small.identical(state.pair.d.params, drawn(D)[1]['params'])
  assert small.identical(state.ema.variables, drawn(G, 1)[1])

  sample(folder, '3', None, 1)
  z = latent.by_seed([3], Z, 'normal')
  module, variables, _ = drawn(G, 1)
  made = module.apply(variables, z, np.int32([1]), train=False)
  file = folder / 'samples' / 'step_000000000' / 'seed0003.png'
  np.testing.assert_allclose(
    np.asarray(Image.open(file)), to_bytes(made)[0], atol=1
  )


def test_of_an_average_alone_a_run_is_made(tmp_path):
  file = tmp_path / 'x.pkl'
  found = released.open_networks([snapshot(file, G=None, D=None)])
  assert set(found) == {'generator'}
  assert small.identical(found['generator'].variables, drawn(G, 1)[1])


def test_what_a_run_of_a_generator_alone_trains_with():
  module, variables, _ = drawn(G)
  network = released.Network(convert.kind(G), module, variables, 'a file')
  config, _ = released.make_config({'generator': network}, overrides=DATA)
  assert config.latent.size == Z
  preset = config_lib.load('configs/stylegan2_folder.py:preset=paper256')
  for section in ('loss', 'optimizer', 'ema', 'penalties'):
    assert config[section] == preset[section], section
  assert config.train.batch == preset.train.batch
  found = config.discriminator
  assert (found.name, found.fmap_max) == ('stylegan2', 4)
  assert found.group_size == preset.discriminator.group_size


def test_a_network_with_other_layers_has_no_released_names():
  """They would be lost on the way."""
  _, variables, _ = drawn(G)
  more = {'conv_32_9': variables['params']['conv_32_1']}
  variables = variables | {'params': variables['params'] | more}
  with pytest.raises(UserError, match='conv_32_9.*have no such'):
    convert.under_released_names(G, variables)


def without(own, *names):
  return {k: v for k, v in own.items() if not any(n in k for n in names)}


@pytest.mark.parametrize(
  'kind, damage, words',
  [
    (G, lambda a: without(a, 'w_avg'), 'mapping.w_avg is missing'),
    (G, lambda a: without(a, 'mapping.fc0.weight'), 'mapping.fc0.weight is'),
    (G, lambda a: without(a, 'b8', 'b16', 'b32'), 'b8.conv1.weight is'),
    (G, lambda a: without(a, 'b32.conv1.weight'), 'b32.conv1.weight is'),
    (G, lambda a: without(a, 'b16.conv0.noise_const'), 'b16.conv0.noise_const'),
    (G, lambda a: a | {'synthesis.b8.skew': a['mapping.w_avg']}, 'left over'),
    (
      G,
      lambda a: a | {'synthesis.b8.conv1.weight': np.zeros((3, 4, 3, 3), 'f')},
      'do not halve from level',
    ),
    (
      G,
      lambda a: a | {'synthesis.b8.conv0.noise_const': np.zeros((8, 7), 'f')},
      'synthesis.b8.conv0.noise_const has shape',
    ),
    (
      G,
      lambda a: a | {'mapping.fc0.weight': np.zeros((6, 6), 'f')},
      'the labels take all',
    ),
    (
      G,
      lambda a: a | {'mapping.w_avg': np.full(6, np.nan, 'f')},
      'not finite',
    ),
    (
      G,
      lambda a: a | {'mapping.fc1.init/lr_multiplier': np.float64(1)},
      'lr_multiplier of the mapping network is 1.0, and only 0.01',
    ),
    (
      G,
      lambda a: (
        a
        | {
          'synthesis.b8.init/conv_clamp': np.float64(1),
          'synthesis.b4.init/conv_clamp': np.float64('nan'),
        }
      ),
      "differ in conv_clamp, ['1.0', 'None']",
    ),
    (
      G,
      lambda a: a | {'synthesis.init/conv_clamp': np.float64(-1)},
      'conv_clamp is -1.0, and must be above 0',
    ),
    (
      G,
      lambda a: a | {'synthesis.init/conv_clamp': np.zeros(2)},
      'conv_clamp is no number',
    ),
    (
      G,
      lambda a: a | {'synthesis.b8.resample_filter': np.ones((4, 4)) / 16},
      'b8.resample_filter is another filter than that of [1, 3, 3, 1]',
    ),
    (D, lambda a: without(a, '.skip.'), "D's blocks have no skips"),
    (D, lambda a: without(a, 'b8.skip'), 'b8.skip.weight is missing'),
    (D, lambda a: without(a, 'b32.fromrgb'), 'b32.fromrgb.weight is missing'),
    (D, lambda a: without(a, 'b4.conv.weight'), 'b4.conv.weight is missing'),
    (
      D,
      lambda a: a | {'b4.fc.weight': np.zeros((4, 63), 'f')},
      '63 numbers are no map of 4 by 4',
    ),
    (
      D,
      lambda a: a | {'b4.fc.weight': np.zeros((4, 80), 'f')},
      'b4.fc.weight has shape [4, 80]; beside the other arrays it must be',
    ),
    (
      D,
      lambda a: a | {'b4.mbstd.init/group_size': np.float64(2.5)},
      'the size of its groups, 2.5, is no whole number',
    ),
    (
      D,
      lambda a: a | {'b4.mbstd.init/group_size': np.float64('inf')},
      'the size of its groups, inf, is no whole number',
    ),
  ],
)
def test_arrays_that_are_no_network(kind, damage, words):
  with pytest.raises(UserError) as error:
    convert.released(kind, damage(drawn(kind)[2]))
  assert words in str(error.value)
  assert str(error.value).startswith(f'these arrays are no {kind}: ')
  assert '\n' not in str(error.value)


def test_a_snapshot_of_tensorflows_version_is_refused_by_its_name(tmp_path):
  file = tmp_path / 'stylegan2-ffhq.pkl'
  file.write_bytes(b'\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81}b.')
  with pytest.raises(UserError, match=r'dnnlib\.tflib\.network\.Network'):
    files.read(file)


@pytest.mark.parametrize(
  'meta', [None, {}, {'state': []}, {'state': {'_parameters': [1]}}]
)
def test_a_module_without_a_state_is_damaged(tmp_path, meta):
  with open(tmp_path / 'x.pkl', 'wb') as file:
    net = persistent.Call(persistent.REBUILD, meta)
    persistent.snapshot(file, {'G': net})
  with pytest.raises(UserError, match='is damaged or cut short'):
    files.read(tmp_path / 'x.pkl')
