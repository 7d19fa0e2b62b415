"""What every setting refuses, takes and says; what follows from the tables."""

import contextlib
import dataclasses
import json
import logging
import math
import pathlib
import sys

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from gan_jax import config as config_lib
from gan_jax import help as help_lib
from gan_jax import losses, main, networks, restore, settings
from gan_jax.errors import UserError
from gan_jax.settings import Setting
from gan_jax.train import train
from gan_jax.validate import validate
from tests import small

ROOT = pathlib.Path(__file__).parent.parent
CONFIGS = sorted((ROOT / 'configs').glob('[!_]*.py'))


def everything():
  """(path, Setting) of each setting, those of every network included."""
  found = dict(settings.walk(config_lib.table()))
  for role, registry in networks.ROLES.items():
    for name in registry:
      own = networks.settings(role, name)
      found |= {f'{role}[{name}].{key}': s for key, s in own.items()}
  return found


ALL = everything()
NUMBERS = {path: s for path, s in ALL.items() if s.kind in (int, float)}
CHOSEN = {path: s for path, s in NUMBERS.items() if s.choices}
BOUNDED = {path: s for path, s in NUMBERS.items() if not s.choices}


def limits(setting):
  """Its bounds as (low, low itself is allowed, high, high is allowed)."""
  low = setting.low if setting.above is None else setting.above
  high = setting.high if setting.below is None else setting.below
  return low, setting.above is None, high, setting.below is None


def outside(setting):
  """Numbers that the setting must refuse."""
  low, low_in, high, high_in = limits(setting)
  kinds = []
  if setting.kind is float:
    kinds += [st.sampled_from([math.nan, math.inf, -math.inf])]
    if low is not None:
      kinds += [st.floats(max_value=low, exclude_max=low_in)]
    if high is not None:
      kinds += [st.floats(min_value=high, exclude_min=high_in)]
  else:
    kinds += [st.sampled_from([math.nan, math.inf, 1.5, True])]
    if low is not None:
      kinds += [st.integers(max_value=low - low_in)]
    if high is not None:
      kinds += [st.integers(min_value=high + high_in)]
  return st.one_of(kinds)


def inside(setting):
  """Numbers that it must take."""
  low, low_in, high, high_in = limits(setting)
  if setting.kind is int:
    return st.integers(low, high)
  low, high = (
    (-1e30 if low is None else low),
    (1e30 if high is None else high),
  )
  return st.floats(
    low, high, exclude_min=not low_in, exclude_max=not high_in, width=64
  )


def refused(setting, path, value) -> str:
  with pytest.raises(UserError) as error:
    setting.check(path, value)
  text = str(error.value)
  assert '\n' not in text and text.endswith(('.', '?'))
  assert f'config.{path} = {value!r}' in text
  return text


@pytest.mark.parametrize('path', BOUNDED)
@examples(
  max_examples=40,
  deadline=None,
  suppress_health_check=[HealthCheck.filter_too_much],
)
@given(data=st.data())
def test_every_number_has_bounds_and_keeps_them(path, data):
  setting = BOUNDED[path]
  pack = (lambda x: (x,)) if setting.several else (lambda x: x)
  text = refused(setting, path, pack(data.draw(outside(setting))))
  for limit in (setting.low, setting.high, setting.above, setting.below):
    assert limit is None or f'{limit:,}' in text
  setting.check(path, pack(data.draw(inside(setting))))


def test_no_number_is_without_bounds_by_mistake():
  free = [
    path
    for path, s in BOUNDED.items()
    if (s.low, s.high, s.above, s.below) == (None,) * 4
  ]
  # Any slope makes a function; one above 1 or below 0 is odd, not wrong.
  assert {path.partition(']')[2] for path in free} == {'.slope'}
  counts = [p for p, s in BOUNDED.items() if s.kind is int and not s.several]
  assert all(BOUNDED[p].low in (0, 1, 2) for p in counts)
  assert all(BOUNDED[p].high <= 2**32 for p in counts)


@pytest.mark.parametrize('path', ALL)
def test_every_setting_explains_itself_and_takes_its_default(path):
  setting = ALL[path]
  assert setting.text and '\n' not in setting.text
  setting.check(path, setting.default)
  refused(setting, path, None)
  refused(setting, path, {'a': 1})
  if setting.choices:
    for choice in setting.choices:
      setting.check(path, (choice,) if setting.several else choice)
    bad = ('no such',) if setting.several else 'no such'
    refused(setting, path, bad if setting.kind is str else 10**6)


# Those that passed, or ended in a traceback, before there were tables.
PASSED_BEFORE = {
  'penalties.wgan_gp.target': (0.0, 'above 0.0'),
  'optimizer.generator.b2': (1.0, 'below 1.0'),
  'optimizer.discriminator.eps': (-1.0, 'above 0.0'),
  'penalties.dragan.noise': (-3.0, 'at least 0.0'),
  'optimizer.generator.lr': (math.inf, 'a finite number'),
  'ema.decay': (1.0, 'below 1.0'),
  'metrics.names': ((), 'is empty'),
  'generator.width': (0, 'at least 1'),
  'generator.depth': (0, 'at least 1'),
  'discriminator.slope': (math.nan, 'a finite number'),
  'optimizer.generator.decay_at': ((-5,), 'each at least 1'),
  'loss.rho': (math.nan, 'a finite number'),
  'optimizer.generator.weight_decay': (1e39, 'a finite number'),
}


def with_value(path, value):
  """The smallest config with one value, which no type holds back."""
  tree = json.loads(config_lib.to_json(small.config()))
  *parents, leaf = path.split('.')
  section = tree
  for key in parents:
    section = section[key]
  section[leaf] = value
  return config_lib.ml_collections.ConfigDict(tree)


@pytest.mark.parametrize('path', PASSED_BEFORE)
def test_what_passed_before_is_refused(path):
  value, words = PASSED_BEFORE[path]
  with pytest.raises(UserError) as error:
    validate(with_value(path, value))
  assert f'config.{path} = {value!r}' in str(error.value)
  assert words in str(error.value)


@pytest.mark.parametrize(
  'path, value',
  [
    ('generator.width', 8.0),
    ('generator.width', '8'),
    ('data.max_bad', '0.1'),
    ('train.tensorboard', 1),
    ('metrics.names', 'scores'),
    ('train.batch', [8]),
    ('optimizer.generator.decay_at', [1.5]),
  ],
)
def test_a_value_of_another_type_is_refused(path, value):
  with pytest.raises(UserError, match='must be'):
    validate(with_value(path, value))


@pytest.mark.parametrize(
  'path, words',
  [
    ('train.bach', "config.train has no setting 'bach'; did you mean 'batch'?"),
    ('trian', "config has no setting 'trian'; did you mean 'train'?"),
    ('generator.widht', "for the name 'mlp'; did you mean 'width'?"),
    ('penalties.r1.wait', "config.penalties.r1 has no setting 'wait'"),
  ],
)
def test_a_key_that_nobody_reads_is_refused(path, words):
  with pytest.raises(UserError) as error:
    validate(with_value(path, 3))
  assert words in str(error.value)


def test_a_value_in_the_place_of_a_section_is_refused():
  with pytest.raises(UserError, match='must be a section'):
    validate(with_value('penalties.r1', 3.0))


@pytest.mark.parametrize(
  'text, value',
  [
    ('1000000,2000000', (1_000_000, 2_000_000)),
    ('(5, 7)', (5, 7)),
    ('()', ()),
    ('', ()),
    ('-5', (-5,)),  # of the right type: `validate` refuses it
    ('²', None),
    ('1.5', None),
    ('1,many', None),
  ],
)
def test_tuples_on_the_command_line(text, value):
  config = small.config()
  path = 'optimizer.generator.decay_at'
  if value is None:
    with pytest.raises(UserError, match='a tuple of int: whole numbers'):
      config_lib.override(config, path, text)
    return
  config_lib.override(config, path, text)
  assert config.optimizer.generator.decay_at == value
  with (
    contextlib.nullcontext()
    if all(n > 0 for n in value)
    else pytest.raises(UserError, match='each at least 1')
  ):
    validate(config)


def test_names_on_the_command_line_may_be_quoted():
  config = small.config()
  config_lib.override(config, 'metrics.names', "('scores', 'swd')")
  assert config.metrics.names == ('scores', 'swd')


# What has no effect.


@pytest.mark.parametrize(
  'sections, words',
  [
    (
      dict(scheme=dict(name='one_stage', fakes='shared')),
      "config.scheme.fakes = 'shared' has no effect with config.scheme.name ="
      " 'one_stage'; it is for two_stage.",
    ),
    (
      dict(loss=dict(name='least_squares', rho=0.5)),
      "with config.loss.name = 'least_squares'; it is for fisher.",
    ),
    (
      dict(ema=dict(name='decay', half_life=5.0)),
      'config.ema.half_life = 5.0 has no effect',
    ),
    (
      dict(optimizer=dict(generator=dict(name='rmsprop', b1=0.9))),
      'it is for adam and sgd.',
    ),
    (
      dict(ensemble=dict(real='shared')),
      "config.ensemble.real = 'shared' has no effect with"
      ' config.ensemble.pairs = 0.',
    ),
    (
      dict(penalties=dict(dragan=dict(noise=0.25))),
      'config.penalties.dragan.weight = 0.0.',
    ),
    (
      dict(optimizer=dict(discriminator=dict(decay=0.5))),
      'config.optimizer.discriminator.decay_at = ().',
    ),
    (dict(data=dict(filter='box')), 'it is for digits, tfds, folder,'),
    (
      dict(data=dict(test_split='test')),
      'config.data.test_split has no effect with config.loss.name ='
      " 'non_saturating', which measures no accuracy.",
    ),
    (dict(teacher=dict(name='resnet', workdir='x')), 'has no teacher'),
  ],
)
def test_a_setting_without_effect_is_named(sections, words):
  found = config_lib.unused(small.config(**sections))
  assert len(found) == (2 if 'teacher' in sections else 1)
  assert words in found[-1]


def test_a_setting_with_effect_is_not_named():
  config = small.config(
    scheme=dict(fakes='shared', d_steps=3),
    loss=dict(name='fisher', rho=0.5),
    ensemble=dict(pairs=2, real='shared'),
    penalties=dict(dragan=dict(weight=1.0, noise=0.25)),
    optimizer=dict(generator=dict(decay=0.5, decay_at=(9,))),
  )
  assert config_lib.unused(config) == []
  # Nor is one whose default came back from JSON as a list.
  again = config_lib.from_json(config_lib.to_json(small.config()))
  assert config_lib.unused(again) == []


def test_training_says_what_has_no_effect(tmp_path, caplog):
  config = small.config(
    data=dict(source='toy:ring9'), scheme=dict(name='one_stage', fakes='shared')
  )
  with pytest.raises(UserError, match='ring8'):  # it ends there, in no time
    train(config, tmp_path)
  assert "config.scheme.fakes = 'shared' has no effect" in caplog.text
  assert not list(tmp_path.iterdir())  # a start that is refused writes nothing


@pytest.mark.parametrize('file', CONFIGS, ids=lambda f: f.stem)
def test_our_own_configs_set_nothing_without_effect(file):
  for arg in ('', ':test'):
    assert config_lib.unused(config_lib.load(f'{file}{arg}')) == []


def test_a_classifier_has_no_use_for_a_generators_settings():
  file = ROOT / 'configs' / 'classifier_cifar.py'
  config = config_lib.load(str(file), [('ema.name', 'none')])
  (found,) = config_lib.unused(config)
  assert 'config.ema.name has no effect' in found
  assert 'trains no generator' in found


# Runs of older versions.


def stored(config):
  return json.loads(config_lib.to_json(config))


def leaves(tree, path=()):
  for key, value in tree.items():
    if isinstance(value, dict) and value:
      yield from leaves(value, (*path, key))
    yield (*path, key)


FULL = small.config(
  generator=dict(bfloat16_from=0),  # the one setting of an MLP that it leaves
  discriminator=dict(bfloat16_from=0),
  ensemble=dict(pairs=2, messengers=False),
  metrics=dict(names=('scores',)),
  optimizer=dict(generator=dict(decay_at=(5,))),
)


@pytest.mark.parametrize('path', list(leaves(stored(FULL))), ids='.'.join)
def test_a_stored_config_without_a_key_is_filled_up(path):
  """Of which each key, and each section, in turn is missing."""
  tree = stored(FULL)
  section = tree
  for key in path[:-1]:
    section = section[key]
  del section[path[-1]]
  filled = config_lib.filled(config_lib.from_json(json.dumps(tree)))
  assert filled.is_locked
  expected = {
    p: s.default
    for p, s in settings.walk(config_lib.table(filled))
    if p.split('.')[: len(path)] == list(path)
  }
  dotted = '.'.join(path)
  for key, default in expected.items():
    *parents, leaf = key.split('.')
    inner = filled
    for parent in parents:
      inner = inner[parent]
    assert inner[leaf] == default and type(inner[leaf]) is type(default)
  # Nothing else has changed, but for the fields of another network.
  role = path[0] if path[0] in networks.ROLES else None
  changed = config_lib.differences(FULL, filled)
  assert all(
    line.startswith((dotted, f'{role}.' if role else dotted))
    for line in changed
  )
  validate(filled)


def test_what_nobody_knows_any_more_is_left_out_and_said(caplog):
  tree = stored(FULL)
  tree['train']['speed'] = 3
  tree['nonsense'] = {'a': 1}
  tree['generator']['bias'] = True  # of another network
  with caplog.at_level(logging.WARNING, logger='gan_jax'):
    filled = config_lib.filled(config_lib.from_json(json.dumps(tree)))
  assert config_lib.differences(FULL, filled) == []
  for path in ('train.speed', 'nonsense', 'generator.bias'):
    assert path in caplog.text
  assert caplog.text.count('left out') == 1


def test_json_keeps_no_type_and_filling_up_gives_it_back():
  tree = stored(FULL)
  tree['ema']['half_life'] = 500
  filled = config_lib.filled(config_lib.from_json(json.dumps(tree)))
  assert isinstance(filled.ema.half_life, float)
  assert filled.optimizer.generator.decay_at == (5,)


def test_an_older_run_opens(tmp_path):
  tree = stored(small.config())
  del tree['ema']['ramp_up'], tree['penalties']['dragan'], tree['mesh']
  tree['augment']['gone'] = 1
  (tmp_path / 'config.json').write_text(json.dumps(tree))
  (tmp_path / 'data.json').write_text('{"shape": [2], "classes": []}')
  opened = restore.open_run(tmp_path)
  assert opened.config.ema.ramp_up == 0.05
  assert opened.config.penalties.dragan.noise == 0.5


# A table is read when it is asked for: what is added to it later counts.


@dataclasses.dataclass(frozen=True)
class Margin(losses.AdversarialLoss):
  margin: float = settings.field(Setting(0.25, 'of the new loss', low=0.0))


def test_a_loss_from_outside_brings_its_setting(monkeypatch):
  monkeypatch.setitem(losses.LOSSES, 'margin', Margin())
  config = small.config(loss=dict(name='margin', margin=0.5))
  validate(config)
  assert losses.build_loss(config.loss) == Margin(0.5)
  assert config_lib.unused(config) == []
  shown = ' '.join(help_lib.explain('loss').split())
  assert 'margin 0.25 at least 0.0 of the new loss (only with' in shown
  with pytest.raises(UserError, match='loss.margin = -1.0'):
    validate(small.config(loss=dict(name='margin', margin=-1.0)))


# --help=SECTION and the README.


def test_help_shows_every_setting():
  text = help_lib.explain('all')
  assert all(len(line) <= 80 for line in text.splitlines())
  for path in ALL:
    assert f'\n  {path.rpartition(".")[2]} ' in text
  for section in config_lib.defaults():
    assert f'config.{section}' in text


def test_help_of_one_section():
  text = help_lib.explain('penalties.wgan_gp')
  assert text.splitlines()[0] == (
    'config.penalties.wgan_gp   (off without weight)'
  )
  line = next(x for x in text.splitlines() if x.startswith('  target'))
  assert line.split()[:4] == ['target', '1.0', 'above', '0.0']
  assert 'dragan' not in text
  assert '--config.penalties.wgan_gp.weight=0.0' in text
  # One table where two sections have the same.
  both = help_lib.explain('optimizer')
  assert both.count('  b1 ') == 1
  assert 'config.optimizer.generator and discriminator' in both
  assert '  b1 ' in help_lib.explain('optimizer.generator')
  batch = help_lib.explain('train.batch')
  assert '  batch ' in batch and '  seed ' not in batch


def test_help_of_a_network():
  text = help_lib.explain('generator:mlp')
  assert '  slope ' in text and '  shape' not in text and '  norm ' not in text
  assert '--help=discriminator:resnet' in help_lib.explain('discriminator')
  assert '  workdir ' in help_lib.explain('teacher:resnet')


@pytest.mark.parametrize(
  'what, words',
  [
    ('penalty', "did you mean 'penalties'?"),
    ('optimizr', 'There are data, generator,'),
    ('lr', "did you mean 'growth.lr' or 'optimizer.generator.lr' or"),
    ('generator:dcgn', "did you mean 'dcgan'? There are dcgan, progan"),
    ('penalties.r2', "did you mean 'penalties.r1'?"),
    ('loss:fisher', 'there is no such section'),
  ],
)
def test_help_of_what_is_not_there(what, words):
  with pytest.raises(UserError) as error:
    help_lib.explain(what)
  assert words in str(error.value) and f'--help={what}' in str(error.value)


def test_help_on_the_command_line(monkeypatch, capsys):
  monkeypatch.setattr(sys, 'argv', ['main', '--help=latent'])
  main.main()
  assert 'distribution' in capsys.readouterr().out
  monkeypatch.setattr(sys, 'argv', ['main', '--help=latnt'])
  with pytest.raises(SystemExit, match="gan_jax: .*did you mean 'latent'"):
    main.main()


def test_the_readmes_tables_are_the_settings():
  text = (ROOT / 'README.md').read_text()
  assert text.count('<!-- settings: ') == text.count('<!-- end -->') >= 1
  assert help_lib.fill_in(text) == text, (
    'README.md has an old table of settings. Write it anew by'
    ' python -m gan_jax.help README.md'
  )
  assert help_lib.fill_in(text.replace('| `pairs` |', '| x |')) == text
