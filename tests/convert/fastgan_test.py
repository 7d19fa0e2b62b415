"""FastGAN's released arrays as variables and back, and its kinds of file.

That the networks compute the released ones' function is held by
tests/networks/fastgan_golden_test.py.
"""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax import config as config_lib
from gan_jax import convert, released
from gan_jax.errors import UserError
from gan_jax.networks import fastgan
from tests import small
from tests.golden import rule

ABOUT, _ = rule.load('fastgan')
G, D = 'fastgan.generator', 'fastgan.discriminator'
LATENT = 5


def build(kind, side=64, width=1, channels=3):
  """A network of a kind with the shapes of its variables."""
  shape = (side, side, channels)
  if kind == G:
    module = fastgan.Generator(shape, width=width, final_tanh='official')
  else:
    module = fastgan.Discriminator(shape, width=width)
  example = np.zeros((1, LATENT) if kind == G else (1, *shape), 'f')
  return module, jax.eval_shape(
    lambda: module.init(jax.random.key(0), example, train=True)
  )


@functools.cache
def network(kind, **sizes):
  """The same with variables that are all different."""
  module, shapes = build(kind, **sizes)
  draws = np.random.default_rng(0)
  return module, jax.tree.map(
    lambda x: draws.normal(size=x.shape).astype('f'), shapes
  )


def arrays(kind):
  return convert.under_released_names(kind, network(kind)[1])


@pytest.mark.parametrize('net', ABOUT['nets'])
def test_released_arrays_there_and_back(net):
  """All of them, by their names and shapes, D's decoders too."""
  kind = G if net[0] == 'G' else D
  draws = np.random.default_rng(0)
  own = {
    row['name']: draws.normal(size=row['shape']).astype('f')
    for row in ABOUT['nets'][net]['params']
  }
  module, variables = convert.released(kind, own)
  assert module.shape[0] == ABOUT['nets'][net]['ctor']['im_size']
  assert small.identical(convert.under_released_names(kind, variables), own)
  heads = variables['params'].get('terms', {}).get('autoencode', {})
  wanted = {'whole_8', 'whole_small_8', 'part_16'} if kind == D else set()
  assert set(heads) == wanted


@pytest.mark.parametrize('kind', [G, D])
def test_there_and_back(kind):
  module, variables = network(kind)
  own = arrays(kind)
  more = {'init.init.1.num_batches_tracked': np.int64(7)}
  found, again = convert.released(kind, own | more)
  assert found == module and small.identical(again, variables)


@settings(deadline=None, max_examples=6)
@given(
  st.sampled_from([G, D]),
  st.sampled_from(fastgan.RESOLUTIONS),
  st.integers(1, 9),
  st.sampled_from([1, 3, 4]),
)
def test_sizes_are_read_from_shapes(kind, side, width, channels):
  module, shapes = build(kind, side, width, channels)
  variables = jax.tree.map(lambda x: np.ones(x.shape, 'f'), shapes)
  own = convert.under_released_names(kind, variables)
  found, again = convert.released(kind, own)
  assert found == module
  assert jax.tree.map(np.shape, again) == jax.tree.map(np.shape, variables)


@pytest.mark.parametrize('module', ['', 'module.'])
def test_every_kind_of_file_is_taken_apart(tmp_path, module):
  """ITER.pth, all_ITER.pth, the state of G alone."""
  named = lambda kind, prefix: {
    f'{prefix}{module}{name}': array for name, array in arrays(kind).items()
  }
  alone, pair, every = (
    tmp_path / f'{name}.npz' for name in ('alone', '5000', 'all_5000')
  )
  np.savez(alone, **named(G, ''))
  np.savez(pair, **named(G, 'g.'), **named(D, 'd.'))
  learned = [
    array
    for name, array in named(G, 'g.').items()
    if name.endswith(('.weight_orig', '.weight', '.bias'))
  ]
  average = {f'g_ema.{i}': array + 1 for i, array in enumerate(learned)}
  state = {'opt_g.state.0.exp_avg': learned[0]}
  np.savez(every, **named(G, 'g.'), **named(D, 'd.'), **average, **state)
  assert set(released.open_networks([alone])) == {'generator'}
  assert set(released.open_networks([pair])) == {'generator', 'discriminator'}
  found = released.open_networks([every])
  assert set(found) == {'generator', 'discriminator', 'average'}
  _, variables = network(G)
  for role, more in (('generator', 0), ('average', 1)):
    own = dict(found[role].variables)
    params = own.pop('params')
    wanted = jax.tree.map(lambda x, more=more: x + more, variables['params'])
    assert small.identical(params, wanted)
    # The average has G's statistics: the file has no others.
    rest = {k: v for k, v in variables.items() if k != 'params'}
    assert small.identical(own, rest)


def test_an_average_of_other_arrays_is_refused(tmp_path):
  file = tmp_path / 'all_1.npz'
  own = {f'g.{name}': array for name, array in arrays(G).items()}
  np.savez(file, **own, **{'g_ema.0': np.zeros(3)})
  with pytest.raises(UserError, match='all_1.npz holds an average, g_ema, of'):
    released.open_networks([str(file)])


def test_what_a_run_of_them_trains_with():
  found, own = {}, {'generator': G, 'discriminator': D}
  for role, kind in own.items():
    module, variables = network(kind)
    found[role] = released.Network(
      convert.kind(kind), module, variables, 'a file'
    )
  config, _ = released.make_config(found, overrides=[('data.source', 'digits')])
  assert config.latent.size == LATENT and config.loss.name == 'hinge'
  assert config.generator.final_tanh == 'official'
  assert config.discriminator.width == 1
  # Spec 4.3, and what the config of the paper's name has of it.
  assert config.augment.diff == ('color', 'translation')
  assert (config.loss.margin_jitter, config.scheme.fakes) == (0.2, 'shared')
  task = config.tasks.autoencode
  assert (task.weight, task.loss, task.reduction) == (1.0, 'lpips', 'sum')
  assert (task.whole, task.part) == (('8', 'small_8'), ('16',))
  assert (config.ema.name, config.ema.decay) == ('decay', 0.999)
  folder = config_lib.load('configs/fastgan_folder.py')
  for section in ('augment', 'scheme', 'loss', 'optimizer', 'penalties'):
    assert config[section] == folder[section], section


def test_networks_with_other_layers_have_no_released_names():
  module = fastgan.Generator((64, 64, 3), width=1, doubled=())
  variables = jax.eval_shape(
    lambda: module.init(jax.random.key(0), np.zeros((1, 3), 'f'), train=True)
  )
  with pytest.raises(UserError, match='noise_8_0.* differ in these layers'):
    convert.under_released_names(G, variables)


def without(own, name):
  return {k: v for k, v in own.items() if k != name}


@pytest.mark.parametrize(
  'kind, damage, words',
  [
    (G, lambda a: without(a, 'to_128.weight_u'), 'to_128.weight_u is missing'),
    (G, lambda a: without(a, 'to_128.weight_orig'), 'to_128.weight_orig is'),
    (G, lambda a: a | {'feat_9.1.weight_orig': a['to_big.weight_u']}, 'left'),
    (
      G,
      lambda a: a | {'to_big.weight_v': np.zeros(8, 'f')},
      'to_big.weight_v has 8 numbers',
    ),
    (
      G,
      lambda a: a | {'init.init.0.weight_orig': np.zeros((5, 33, 4, 4), 'f')},
      'which 32 does not divide',
    ),
    (
      D,
      lambda a: a | {'decoder_part.main.1.1.weight_u': np.zeros(256, 'f')},
      'decoder_part.main.1.1.weight_orig, ',
    ),
    (
      D,
      lambda a: a | {'rf_small.weight_orig': np.zeros((1, 9, 4, 4), 'f')},
      'rf_small.weight_',
    ),
    (D, lambda a: without(a, 'down_from_big.0.weight_orig'), 'is missing'),
    (
      D,
      lambda a: a | {'down_from_big.0.weight_orig': np.zeros(3, 'f')},
      'has shape [3]',
    ),
    (
      D,
      lambda a: a | {'rf_big.1.running_var': np.full(16, np.nan, 'f')},
      'not finite',
    ),
  ],
)
def test_arrays_that_are_no_network(kind, damage, words):
  with pytest.raises(UserError) as error:
    convert.released(kind, damage(arrays(kind)))
  assert words in str(error.value)
  assert str(error.value).startswith(f'these arrays are no {kind}: ')
