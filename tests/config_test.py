"""Configs: every file builds; every mistake ends in one sentence."""

import functools
import json
import pathlib
import re

import jax
import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax import config_files, experiment, flags
from gan_jax.data import open_source
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.validate import validate, validate_shape
from tests import small

CONFIGS = pathlib.Path(__file__).parent.parent / 'configs'
FILES = list(config_files.files(CONFIGS))
SECTIONS = set(
  'data generator discriminator latent loss penalties tasks augment scheme'
  ' ensemble growth teacher optimizer ema train metrics mesh'.split()
)


# Half a minute of compiling each; those that differ from one of them by their
# data and rules are built only.
# In the quick suite a family is one or two of its configs.
LONG = {'fastgan_folder', 'glead_folder', 'stylegan2_folder', 'wgan_gp_cifar'}
LONG |= {f'progan_{x}' for x in ('ablation', 'celebahq', 'lsun', 'mnist1k')}
LONG |= {f'osgan_{x}' for x in ('celeba', 'church', 'ffhq', 'mnist')}
LONG |= {f'sgan_{x}' for x in ('celeba', 'fashion', 'imagenet', 'lsun', 'text')}
LONG |= {'dcgan_celeba', 'dcgan_mnist', 'sgan_mnist', 'sgan_cifar'}
ALIKE = {'fastgan_paper', 'stylegan2_cifar', 'stylegan2_ffhq', 'stylegan2_lsun'}
ALIKE |= {'glead_bedroom', 'glead_church', 'glead_ffhq'}


def loaded(file):
  """A config's :test form, checked as it is and so."""
  full = config_lib.load(str(file))
  assert set(full) == SECTIONS and full.is_locked
  validate(full)
  doc = file.read_text().partition('"""')[2].partition('"""')[0]
  assert f'--config=configs/{file.name}' in doc
  config = config_lib.load(f'{file}:test')
  validate(config)
  return config


@pytest.mark.parametrize(
  'file',
  [
    pytest.param(f, marks=[pytest.mark.slow] * (f.stem in LONG))
    for f in FILES
    if f.stem not in ALIKE
  ],
  ids=lambda f: f.stem,
)
def test_config_builds_and_takes_a_step(file):
  take_a_step(loaded(file).to_json_best_effort(sort_keys=True))


@pytest.mark.parametrize('name', sorted(ALIKE))
def test_config_builds(name):
  config = loaded(CONFIGS / f'{name}.py')
  source = open_source(config.data)
  made = experiment.build(config, source.shape, len(source.classes))
  state = jax.eval_shape(made.init, jax.random.key(0))
  assert jax.tree.leaves(state.pair.d.params)


@functools.cache
def take_a_step(text):
  """Once for all the configs whose shrunken forms are one and the same."""
  config = config_lib.from_json(text)
  source = open_source(config.data)
  made = experiment.build(config, source.shape, len(source.classes))
  mesh = one_device()  # one program is enough, and quicker to compile
  span, stage = made.growth.spans[-1], made.growth.stages[-1]
  feed = experiment.make_feed(config, stage, source, mesh)
  state = experiment.initial_state(made, 0, mesh)
  before = small.flat(state.pair)
  # Compiled, but not optimised: it runs once.
  one = made.make_step(stage)
  constants = {
    name: experiment.quickly(first, mesh)(jax.random.key(0))
    for name, first in made.constants.items()
  }
  step = experiment.quickly(
    lambda state, constants, table, raw: one(
      state, constants, feed.decode(table, raw), span
    ),
    mesh,
  )
  state, metrics = step(state, constants, feed.table, next(feed.batches(0)))
  assert np.isfinite(small.flat(metrics)).all()
  assert int(state.step) == 1
  assert not np.array_equal(small.flat(state.pair), before)


def message(call, *args, **kwargs):
  with pytest.raises(UserError) as error:
    call(*args, **kwargs)
  text = str(error.value)
  assert '\n' not in text and text.endswith('.') or text.endswith('?')
  return text


def test_a_missing_file_is_named_with_its_neighbours():
  text = message(config_lib.load, str(FILES[0].parent / 'dcgan_cifer.py'))
  assert 'did you mean' in text and 'dcgan_cifar.py' in text


def test_a_broken_file_says_what_broke(tmp_path):
  (tmp_path / 'a.py').write_text('def get_config(arg):\n  return 1 / 0\n')
  assert 'ZeroDivisionError' in message(config_lib.load, str(tmp_path / 'a.py'))
  (tmp_path / 'b.py').write_text('x = 1\n')
  assert 'get_config' in message(config_lib.load, str(tmp_path / 'b.py'))


@pytest.mark.parametrize(
  'path, text, words',
  [
    ('train.bach', '3', "no 'bach'; did you mean 'batch'"),
    ('trian.batch', '3', "did you mean 'train'"),
    ('train.batch', 'many', 'of type int'),
    ('train.batch', '2.5', 'of type int'),
    ('train.batch.x', '2', "config.train.batch has no 'x'"),
    ('augment.mirror', 'perhaps', 'of type bool'),
    ('train', '3', 'is a section'),
  ],
)
def test_a_wrong_override_is_explained(path, text, words):
  file = str(FILES[0].parent / 'quickstart.py')
  assert words in message(config_lib.load, file, [(path, text)])


def test_overrides_keep_the_type_of_what_they_replace():
  config = config_lib.load(
    str(FILES[0].parent / 'quickstart.py'),
    [
      ('train.batch', '32'),
      ('optimizer.generator.lr', '1'),
      ('augment.mirror', 'true'),
      ('metrics.names', 'scores'),
      ('data.source', 'folder:a=b'),
    ],
  )
  assert config.train.batch == 32
  assert config.optimizer.generator.lr == 1.0
  assert isinstance(config.optimizer.generator.lr, float)
  assert config.augment.mirror is True
  assert config.metrics.names == ('scores',)
  assert config.data.source == 'folder:a=b'


@pytest.mark.parametrize(
  'section, values, words',
  [
    ('loss', dict(name='hing'), "did you mean 'hinge'"),
    ('loss', dict(name='x'), "'wasserstein'"),
    ('scheme', dict(d_steps=0), 'config.scheme.d_steps = 0'),
    ('scheme', dict(fakes='old'), "'fresh', 'shared'"),
    ('train', dict(batch=-1), 'at least 1'),
    ('ema', dict(decay=1.5), 'below 1.0'),
    ('metrics', dict(names=('fit',)), 'did you mean fid?'),
    ('metrics', dict(best='frechet_pixels'), 'set config.metrics.every'),
    ('metrics', dict(best='d_real', every=9), 'a better side: frechet_pixels.'),
    ('metrics', dict(resizer='lanczos'), "'tf1_bilinear'"),
    ('penalties', dict(r1=dict(weight=-1.0)), 'at least 0.0'),
    ('latent', dict(distribution='gauss'), "'normal'"),
    (
      'penalties',
      dict(wgan_gp=dict(weight=10.0), clip=dict(limit=0.1)),
      'two ways',
    ),
  ],
)
def test_a_choice_that_cannot_work_is_refused(section, values, words):
  config = small.config().unlock()
  config[section].update(values)
  assert words in message(validate, config)


def test_a_networks_settings_are_its_own():
  config = small.config().unlock()
  config.generator = dict(name='dcgan', width=8, slope=0.1)
  text = message(validate, config)
  assert "no setting 'slope' for the name 'dcgan'" in text and 'norm' in text


def test_networks_that_cannot_make_the_datas_shape_are_refused():
  config = small.config().unlock()
  config.generator = dict(name='dcgan')
  text = message(validate_shape, config, (48, 48, 3))
  assert '28, 32, 64' in text and '48x48x3' in text
  message(validate_shape, config, (2,))
  validate_shape(config, (64, 64, 1))


def test_metrics_that_cannot_work_on_the_data_are_refused():
  config = small.config(metrics=dict(names=('scores', 'fid')))
  assert 'fid is for pictures' in message(validate_shape, config, (2,))


def test_options_after_the_colon():
  got = config_lib.options('n=10,loss=wgan_gp,fast', n=5, loss='x', fast=False)
  assert (got.n, got.loss, got.fast, got.test) == (10, 'wgan_gp', True, False)
  assert "no option 'm'" in message(config_lib.options, 'm=3', n=5)
  assert 'type int' in message(config_lib.options, 'n=x', n=5)
  assert config_lib.options(None).test is False


def test_json_round_trip_and_differences():
  config = small.config()
  again = config_lib.from_json(config_lib.to_json(config))
  assert config_lib.differences(config, again) == []
  other = small.config(train=dict(seed=3), data=dict(source='toy:grid25'))
  assert config_lib.differences(config, other) == [
    'data.source: toy:ring8 -> toy:grid25',
    'train.seed: 0 -> 3',
  ]


def exits(argv):
  with pytest.raises(SystemExit) as stop:
    flags.parse(argv)
  return str(stop.value)


def test_flags():
  parsed, overrides = flags.parse(
    ['--config=a.py:test', '--config.x.y=a=b', '--mode=plan']
  )
  assert (parsed.config, parsed.mode) == ('a.py:test', 'plan')
  assert overrides == [['x.y', 'a=b']]
  assert '--bogus is not a flag' in exits(['--config=a', '--bogus'])
  assert '--mode=train needs --config' in exits([])
  assert 'invalid choice' in exits(['--mode=fly'])
  assert flags.parse(['--mode=sample', '--workdir=x'])[0].workdir == 'x'
  one = ['--mode=evaluate', '--workdir=x']
  assert flags.parse([*one, '--step=7'])[0].step == 7
  assert flags.parse([*one, '--step=best'])[0].step == 'best'
  assert "invalid number or 'best' value" in exits([*one, '--step=last'])
  assert 'takes many' in exits([*one, '--step=7', '--checkpoints=all'])
  assert 'is of --mode=evaluate' in exits(['--checkpoints=all'])
  assert 'changes no settings' in exits(
    ['--mode=sample', '--workdir=x', '--config.train.batch=3']
  )
  assert flags.parse(['--mode=weights'])[0].weights is None


def test_help_names_every_flag_and_mode():
  for word in re.findall(
    r"add_argument\('(--\w+)'", open(flags.__file__).read()
  ):
    assert word in flags.HELP
  for mode in flags.MODES:
    assert f'--mode={mode}' in flags.HELP
  assert all(len(line) <= 80 for line in flags.HELP.splitlines())
  assert len(flags.HELP.splitlines()) <= 50  # a window


def test_json_of_a_config_is_plain():
  json.loads(config_lib.to_json(small.config()))
  assert jax.device_count() == 8  # the suite's fake devices are on


def test_a_network_s_settings_need_not_stand_in_the_config():
  """configs/progan_*.py name the network and leave the rest as it is."""
  c = config_lib.load(
    'configs/progan_folder.py', [('generator.fmap_base', '64')]
  )
  assert c.generator.fmap_base == 64 and 'fmap_max' not in c.generator
  validate(c)
  text = message(
    config_lib.load, 'configs/progan_folder.py', [('generator.fmap_bas', '1')]
  )
  assert "did you mean 'fmap_base'?" in text
