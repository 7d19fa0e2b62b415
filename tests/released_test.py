"""--mode=convert: what it leaves is a run that every other mode takes."""

import json
import logging
import pathlib
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax import config as config_lib
from gan_jax import convert, experiment, main, released
from gan_jax.convert import files
from gan_jax.data.source import to_bytes
from gan_jax.errors import UserError
from gan_jax.evaluate import evaluate
from gan_jax.mesh import one_device, replicated
from gan_jax.nn import latent
from gan_jax.restore import restore
from gan_jax.sample import sample
from gan_jax.train import train
from tests import small
from tests.golden import rule

ROOT = pathlib.Path(__file__).parents[1]
G = str(rule.FOLDER / 'torch_osgan_g.pth')
D = str(rule.FOLDER / 'torch_osgan_d.pth')
CONFIG = str(ROOT / 'configs' / 'dcgan_celeba.py')
FASTGAN = str(ROOT / 'configs' / 'fastgan_folder.py')
# What the shrunken config must say to be that of these files.
NETWORKS = [
  ('generator.width', '1'),
  ('discriminator.width', '1'),
  ('latent.size', '3'),
  ('data.channels', '1'),
]


def arrays(file, kind):
  """The variables in a file, as this package's own `released` gives them."""
  return convert.released(kind, files.read(file))[1]


@pytest.fixture(scope='module')
def converted(tmp_path_factory):
  """A run of G and D."""
  folder = tmp_path_factory.mktemp('converted') / 'run'
  overrides = [
    ('data.source', 'digits'),
    ('metrics.samples', '8'),
    ('metrics.names', 'scores'),
    ('train.tensorboard', 'false'),
  ]
  released.run(f'{G},{D}', folder, overrides=overrides)
  return folder


def test_what_the_run_holds(converted):
  _, config, _, step, state = restore(converted, one_device())
  assert step == 0 and int(state.step) == 0
  assert config.latent.size == 3 and config.latent.distribution == 'normal'
  assert config.data.resolution == 64 and config.data.channels == 1
  assert config.discriminator.norm == 'group'
  g, d = arrays(G, 'osgan.generator'), arrays(D, 'osgan.discriminator')
  assert small.identical(state.pair.g.params, g['params'])
  assert small.identical(state.pair.g.stats['batch_stats'], g['batch_stats'])
  assert small.identical(state.pair.d.params, d['params'])
  assert small.identical(state.ema.params, g['params'])
  assert small.identical(state.ema.stats, state.pair.g.stats)
  assert not np.any(small.flat(state.pair.g.opt))  # at rest
  log = (converted / 'log.txt').read_text()
  assert f'generator: osgan.generator from {G}, 1,1' in log
  assert f'discriminator: osgan.discriminator from {D}' in log


def test_its_samples_are_the_released_generators(converted):
  sample(converted, '4,7', None, None)
  module, variables = convert.released('osgan.generator', files.read(G))
  z = latent.by_seed([7], 3, 'normal')
  make = jax.jit(lambda z: module.apply(variables, z, train=False))
  expected = to_bytes(np.asarray(make(z))[0])
  file = converted / 'samples' / 'step_000000000' / 'seed0007.png'
  found = np.asarray(Image.open(file)).reshape(64, 64)
  assert found.std() > 0
  np.testing.assert_allclose(found, expected.reshape(64, 64), atol=1)


def test_it_can_be_scored(converted):
  line = evaluate(converted)
  assert line['step'] == 0 and line['samples'] == 8


def test_training_goes_on_from_it(tmp_path, caplog):
  """With a config file: Adam's first step moves no weight beyond its rate."""
  folder = tmp_path / 'run'
  released.run(f'{G},{D}', folder, spec=f'{CONFIG}:test')
  said = (folder / 'log.txt').read_text()
  assert 'latent.size: 8 -> 3. To train on with it, set these' in said
  before = restore(folder, one_device()).state
  overrides = [*NETWORKS, ('train.steps', '1'), ('mesh.data', '1')]
  with caplog.at_level(logging.INFO):
    train(config_lib.load(f'{CONFIG}:test', overrides), folder)
  assert 'Going on from step 0.' in caplog.text
  after = restore(folder, one_device())
  assert after.step == 1
  for player in ('g', 'd'):
    old, new = (getattr(s.pair, player) for s in (before, after.state))
    moved = np.abs(small.flat(new.params) - small.flat(old.params))
    assert 0 < moved.max() <= 2e-4 * 1.01
  # The statistics went on from the released ones: a tenth of the new.
  old, new = (
    s.pair.g.stats['batch_stats']['BatchNorm_0']['var']
    for s in (before, after.state)
  )
  assert np.all(new >= 0.9 * old - 1e-6) and not np.array_equal(new, old)


def test_training_with_other_networks_names_the_settings(converted):
  config = config_lib.load(f'{CONFIG}:test', NETWORKS[1:])
  with pytest.raises(UserError, match='generator.width: 1 -> 8'):
    train(config, converted)


def test_a_generator_alone_gets_a_fresh_discriminator(tmp_path, caplog):
  with caplog.at_level(logging.INFO):
    released.run(G, tmp_path / 'run')
  assert 'discriminator: freshly initialised' in caplog.text
  assert 'Data: tfds:mnist; name others by --config.data.source' in caplog.text
  assert 'latent.size = 3' in caplog.text  # what to train on with
  _, config, _, _, state = restore(tmp_path / 'run', one_device())
  assert config.discriminator.width == 1
  kernel = state.pair.d.params['Conv_0']['kernel']
  assert not np.array_equal(
    kernel, arrays(D, 'osgan.discriminator')['params']['Conv_0']['kernel']
  )


def test_a_state_of_other_networks_is_not_filled(converted):
  state = restore(converted, one_device()).state
  networks = released.open_networks([D, G])
  for other in (None, state.pair.g):  # a config may train no D, or another
    mixed = state.replace(pair=state.pair.replace(d=other))
    with pytest.raises(UserError, match='gives the discriminator other arrays'):
      released.take_over(mixed, networks, None)


@pytest.fixture(scope='module')
def fastgan(tmp_path_factory):
  """FastGAN's ITER.pth, 64 px, and what it holds: players of a run of it."""
  folder = tmp_path_factory.mktemp('fastgan')
  c = config_lib.load(f'{FASTGAN}:resolution=64,width=1')
  first = experiment.build(c, (64, 64, 3), 0).init
  draws = np.random.default_rng(0)
  pair = jax.tree.map(
    lambda x: draws.normal(1, 0.1, x.shape).astype('f'),
    jax.eval_shape(first, jax.random.key(0)).pair,
  )
  g, d = (
    convert.under_released_names(f'fastgan.{role}', player.variables)
    for role, player in (('generator', pair.g), ('discriminator', pair.d))
  )
  both = {f'g.{k}': x for k, x in g.items()}
  both |= {f'd.{k}': x for k, x in d.items()}
  np.savez(folder / '5000.npz', **both)
  return str(folder / '5000.npz'), pair


def taken_over(file, *overrides):
  """The D that a run of some settings has of a file, of zeros before."""
  spec = f'{FASTGAN}:resolution=64,width=1'
  made = experiment.build(config_lib.load(spec, overrides), (64, 64, 3), 0)
  state = jax.eval_shape(made.init, jax.random.key(0))
  state = state.replace(
    key=None,
    ema=None,
    pair=jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), state.pair),
  )
  networks = released.open_networks([file])
  return released.take_over(state, networks, replicated(one_device())).pair.d


def test_decoders_come_with_a_discriminator(fastgan):
  file, pair = fastgan
  d = taken_over(file)
  assert small.identical(d.params, pair.d.params)
  assert small.identical(d.stats, pair.d.stats)


def test_of_heads_a_run_has_those_of_its_tasks(fastgan):
  file, pair = fastgan
  d = taken_over(
    file,
    ('tasks.autoencode.whole', '8'),
    ('tasks.autoencode.every', '2'),
    ('tasks.rotation.weight', '1'),
  )
  own, files = d.params['terms'], pair.d.params['terms']['autoencode']
  assert set(own['autoencode']) == {'whole_8', 'part_16'}
  for name, head in own['autoencode'].items():
    assert small.identical(head, files[name])
  assert not small.flat(own['rotation']).any()  # as it was
  assert set(d.stats['terms']['autoencode']) == {'carried', 'last'}
  none = taken_over(file, ('tasks.autoencode.weight', '0'))
  assert 'terms' not in none.params and 'terms' not in none.stats
  assert small.identical(none.params['conv_stem'], pair.d.params['conv_stem'])


def test_heads_that_are_left_out_are_named(fastgan):
  networks = released.open_networks([fastgan[0]])
  tanh = ('generator.final_tanh', 'official')
  spec = f'{FASTGAN}:row=skip,resolution=64,width=1'
  notes = released.make_config(networks, spec, [tanh])[1]
  assert 'The heads of tasks.autoencode are left out: set --config' in notes[-1]
  spec = f'{FASTGAN}:resolution=64,width=1'
  notes = released.make_config(networks, spec, [tanh])[1]
  assert not [note for note in notes if 'left out' in note]


@pytest.mark.slow
def test_training_goes_on_with_released_decoders(fastgan, tmp_path):
  """By the folder's config; reconstructions are drawn of its first step."""
  file, pair = fastgan
  released.run(file, tmp_path / 'run')
  overrides = [
    ('data.source', 'digits'),
    ('data.held_out', '0.0'),
    ('generator.final_tanh', 'official'),
    ('train.steps', '1'),
    ('train.batch', '2'),
    ('mesh.data', '1'),
    ('mesh.pair', '1'),
  ]
  spec = f'{FASTGAN}:resolution=64,width=1'
  train(config_lib.load(spec, overrides), tmp_path / 'run')
  (drawn,) = (tmp_path / 'run' / 'images').glob('reconstructions_*.png')
  assert np.asarray(Image.open(drawn)).std() > 0
  after = restore(tmp_path / 'run', one_device()).state.pair.d.params['terms']
  moved = np.abs(small.flat(after) - small.flat(pair.d.params['terms']))
  assert 0 < moved.max() <= 2e-4 * 1.01  # Adam's first step, no more


def prefixed(**networks):
  """Arrays of files under prefixes."""
  return {
    f'{prefix}.{name}': array
    for prefix, file in networks.items()
    for name, array in files.read(file).items()
  }


def test_one_of_two_in_a_file_is_chosen_by_its_prefix(tmp_path):
  table = prefixed(g=G, g_ema=G)
  name = 'deconv5.bias'
  table[f'g_ema.{name}'] = table[f'g_ema.{name}'] + 1
  np.savez(tmp_path / 'both.npz', **table)
  file = str(tmp_path / 'both.npz')
  with pytest.raises(UserError, match='two networks for the generator'):
    released.open_networks([file])
  biases = [
    released.open_networks([file], f'osgan.generator:{prefix}')[
      'generator'
    ].variables['params']['ConvTranspose_4']['bias']
    for prefix in ('g', 'g_ema')
  ]
  np.testing.assert_array_equal(biases[0] + 1, biases[1])


def test_both_networks_may_lie_in_one_file(tmp_path):
  np.savez(tmp_path / 'both.npz', **prefixed(g=G, d=D))
  networks = released.open_networks([str(tmp_path / 'both.npz')])
  assert set(networks) == {'generator', 'discriminator'}
  only = released.open_networks([str(tmp_path / 'both.npz')], 'osgan.generator')
  assert set(only) == {'generator'}


@pytest.fixture(scope='module')
def mistaken(tmp_path_factory):
  """Files that cannot be converted, by name."""
  folder = tmp_path_factory.mktemp('mistaken')
  g, d = files.read(G), files.read(D)
  np.savez(folder / 'other.npz', **{'fc.weight': np.ones((2, 2))})
  np.savez(folder / 'short.npz', **{k: g[k] for k in g if k != 'deconv4.bias'})
  colour = np.ones((1, 3, 4, 4), np.float32)
  np.savez(folder / 'colour.npz', **d | {'conv1.weight': colour})
  (folder / 'page.pth').write_text('<!DOCTYPE html><title>Not found</title>')
  return folder


MISTAKES = {
  'no from': (['--out=x'], '--mode=convert needs --from=FILE and --out=DIR'),
  'no file': (['--from=no.pth'], 'no.pth: there is no such file'),
  'no format': (['--from={}/page.pth'], 'web page'),
  'no network': (
    ['--from={}/other.npz'],
    'known are osgan.generator, progan.generator, fastgan.generator,'
    ' stylegan2.generator; held are'
    ' fc.weight.',
  ),
  'no generator': ([f'--from={D}'], 'held are osgan.discriminator.'),
  'no prefix': (
    [f'--from={G}', '--as=osgan.generator:g_ema'],
    'no generator that --as=osgan.generator:g_ema names: known are'
    ' osgan.generator, progan.generator, fastgan.generator,'
    ' stylegan2.generator; held are'
    ' osgan.generator.',
  ),
  'two': ([f'--from={G},{G}'], 'two networks for the generator'),
  'missing': (['--from={}/short.npz'], 'deconv4.bias is missing'),
  'kind': ([f'--from={G}', '--as=osgan.g'], "'osgan.g' is no released network"),
  'wrong kind': (
    ['--from={}/other.npz', '--as=osgan.generator'],
    'these arrays are no osgan.generator: deconv1.weight, ',
  ),
  'no fit': ([f'--from={G},{{}}/colour.npz'], 'The networks do not fit'),
  'nothing taken': (
    [f'--from={G},{{}}/other.npz'],
    'nothing that is taken; held are osgan.generator, fc.weight',
  ),
  'not wanted': (
    [f'--from={G},{D}', '--as=osgan.generator'],
    'holds nothing that is taken',
  ),
  'not there': (
    [f'--from={G}', '--as=osgan.generator,osgan.discriminator'],
    'holds no osgan.discriminator; held are osgan.generator',
  ),
  'twice': (
    [f'--from={G}', '--as=osgan.generator:a,osgan.generator'],
    'names osgan.generator twice',
  ),
  'nobody': (['--from=~nosuchuser/g.pth'], 'there is no home folder'),
  'address': (['--from=gs://b/g.pth'], 'is an address'),
  'nothing': ([f'--from={G},'], "--from='' is no path"),
  'no folder': ([f'--from={G}', '--out=~nosuchuser/x'], 'no home folder'),
  'contradiction': (
    [f'--from={G}', '--config.latent.size=4'],
    '--config.latent.size contradicts the checkpoint, which has 3',
  ),
  'unknown key': ([f'--from={G}', '--config.train.bach=4'], "mean 'batch'"),
  'of another mode': (
    [f'--from={G}', '--mode=sample'],
    '--mode is given twice',
  ),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_ends_in_one_sentence(
  mistake, mistaken, tmp_path, monkeypatch
):
  argv, words = MISTAKES[mistake]
  argv = ['--mode=convert', *(word.format(mistaken) for word in argv)]
  if not any(word.startswith('--out') for word in argv):
    argv.append(f'--out={tmp_path}/run')
  monkeypatch.setattr(sys, 'argv', ['main', *argv])
  with pytest.raises(SystemExit) as stop:
    main.main()
  said = str(stop.value)
  assert said.startswith('gan_jax: ') and words in said and '\n' not in said
  assert not (tmp_path / 'run').exists()  # nothing is left behind


def test_a_folder_that_holds_a_run_is_refused(converted, tmp_path, monkeypatch):
  before = (converted / 'config.json').read_bytes()
  with pytest.raises(UserError, match='already holds a run'):
    released.run(G, converted)
  assert (converted / 'config.json').read_bytes() == before
  # So is one whose conversion was cut short.
  (tmp_path / 'checkpoints' / '0').mkdir(parents=True)
  with pytest.raises(UserError, match='already holds a run'):
    released.run(G, tmp_path)


def test_the_command(tmp_path, monkeypatch):
  argv = ['--mode=convert', f'--from={G}', f'--out={tmp_path}/run']
  monkeypatch.setattr(sys, 'argv', ['main', *argv, '--config.train.seed=5'])
  main.main()
  config = json.loads((tmp_path / 'run' / 'config.json').read_text())
  assert config['train']['seed'] == 5
  key = restore(tmp_path / 'run', one_device()).state.key
  assert np.array_equal(
    jax.random.key_data(key), jax.random.key_data(jax.random.key(5))
  )
