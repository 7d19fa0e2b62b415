"""Which flags mean what, and that none is dropped."""

import itertools

import pytest

from gan_jax import flags

NEEDED = {
  'train': ['--config=x'],
  'sample': ['--workdir=x'],
  'evaluate': ['--workdir=x'],
  'explore': ['--workdir=x', '--tool=x'],
  'plan': ['--config=x', '--topology=x'],
  'convert': ['--from=x', '--out=x'],
  'weights': [],
  'tune': [],
}
VALUE = {
  'step': '3',
  'truncation': '0.7',
  'checkpoints': 'newest',
  'process': '0',
  'processes': '2',
  'effort': 'low',
}
PAIRS = [
  pytest.param(mode, name, id=f'{mode}-{name}')
  for mode, name in itertools.product(flags.MODES, flags.FLAGS_OF)
]


def refused(argv):
  with pytest.raises(SystemExit) as stop:
    flags.parse(argv)
  text = stop.value.code
  assert text.startswith('gan_jax: ') and '\n' not in text
  return text


@pytest.mark.parametrize('mode, name', PAIRS)
def test_a_flag_is_taken_where_it_means_something_and_refused_elsewhere(
  mode, name
):
  needed = [w for w in NEEDED[mode] if not w.startswith(f'--{name}=')]
  argv = [f'--mode={mode}', *needed, f'--{name}={VALUE.get(name, "x")}']
  if mode in flags.FLAGS_OF[name]:
    flags.parse(argv)
  else:
    assert f'--{name} means nothing with --mode={mode}' in refused(argv)


def test_a_compilers_effort_is_of_a_topology():
  argv = ['--mode=plan', '--config=x', '--effort=low']
  assert '--effort is a TPU' in refused(argv)
  assert 'choose from' in refused([*argv[:2], '--topology=x', '--effort=some'])


def test_every_flag_has_its_modes():
  argv = ['--mode=weights']
  found, _ = flags.parse(argv)
  other = {'sources': 'from', 'kinds': 'as'}
  names = {other.get(name, name) for name in vars(found)}
  assert names - {'mode', 'help', 'debug'} == set(flags.FLAGS_OF)
  assert all(f'--{name}' in flags.HELP for name in flags.FLAGS_OF)


@pytest.mark.parametrize('name', flags.FLAGS_OF)
def test_twice_and_empty_are_refused(name):
  mode = flags.FLAGS_OF[name][0]
  value = VALUE.get(name, 'x')
  argv = [f'--mode={mode}', *NEEDED[mode], *[f'--{name}={value}'] * 2]
  assert f'--{name} is given twice' in refused(argv)
  argv = [f'--mode={mode}', f'--{name}=', *NEEDED[mode]]
  refused(argv)


@pytest.mark.parametrize(
  'text', ['１２', '²', '1_000', '+1', '-1', '1.0', 'beste', '0x1', '1 2']
)
def test_a_step_is_digits_or_best(text):
  assert text in refused(['--mode=sample', '--workdir=x', f'--step={text}'])


def test_settings_twice_unknown_words_and_abbreviations_are_refused():
  train = ['--config=x']
  both = ['--config.train.batch=3', '--config.train.batch=4']
  assert 'train.batch is given twice' in refused([*train, *both])
  for word in ('--', 'x', '--work=x', '--config.train.batch', '-x', '--mod=x'):
    assert 'is not a flag' in refused([*train, word])
