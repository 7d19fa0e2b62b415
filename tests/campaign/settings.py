"""Configs, settings and command lines that no one meant."""

import random
import sys

from gan_jax import config as config_lib
from gan_jax import flags as flags_lib
from gan_jax import seeds, validate
from gan_jax.run import identity
from tests.campaign import mutate
from tests.campaign.pool import ROOT

_WORDS = (
  '',
  ' ',
  '0',
  '-1',
  '1e400',
  'nan',
  'inf',
  '-0.0',
  '²',
  '１２',
  '1_0',
  '0x10',
  '1,2',
  '(1, 2)',
  '[]',
  'None',
  'True',
  'true',
  'adam',
  'dcgan',
  'toy:ring8',
  'digits:5000',
  'train[-10%:]',
  'folder:',
  'folder:~nobody/x',
  '\0',
  'ä',
  '名',
  '9' * 400,
  '{}',
  '$(true)',
  '../..',
  '1-',
  '9-3',
  '0-63',
  'best',
)
_FLAGS = (
  '--mode',
  '--config',
  '--workdir',
  '--step',
  '--checkpoints',
  '--seeds',
  '--label',
  '--from',
  '--out',
  '--as',
  '--weights',
  '--help',
  '--x',
  '-h',
  '--config.train.steps',
  '--config.',
  '--config.train',
)
CONFIGS = sorted((ROOT / 'configs').glob('[a-z]*.py'))


def prepare(folder) -> None:
  """The configs are found as users find them."""
  sys.path.insert(0, str(ROOT / 'configs'))


def case(draw: random.Random, folder) -> str:
  """A changed setting, a command line or a config file."""
  return draw.choice((_setting, _setting, _line, _file))(draw, folder)


def _setting(draw, folder) -> str:
  """Some settings of some config to some words, then all that checks them."""
  spec = f'{draw.choice(CONFIGS)}:test'
  paths = sorted(identity.flat(config_lib.load(spec).to_dict()))
  overrides = []
  for _ in range(draw.choice((1, 1, 2))):
    path, word = draw.choice(paths), draw.choice(_WORDS)
    if draw.random() < 0.1:
      path = mutate.damaged(draw, path.encode()).decode('utf-8', 'replace')
    overrides.append((path, word))
  config = config_lib.load(spec, overrides)
  validate.validate(config)
  config_lib.unused(config)
  return f'accepted: {overrides}'


def _line(draw, folder) -> str:
  """A command line of random flags and words."""
  argv = []
  for _ in range(draw.randint(1, 5)):
    value = draw.choice((*_WORDS, *flags_lib.MODES))
    argv.append(draw.choice((f'{draw.choice(_FLAGS)}={value}', value)))
  flags, overrides = flags_lib.parse(argv)
  if flags.seeds:
    seeds.parse_seeds(flags.seeds)
  return f'accepted: {argv}'


def _file(draw, folder) -> str:
  """A config file with a few bytes changed."""
  path = folder / 'x.py'
  source = draw.choice(CONFIGS).read_bytes()
  path.write_bytes(mutate.damaged(draw, source, draw.choice(_WORDS).encode()))
  config = config_lib.load(f'{path}:{draw.choice(("", "test", "x", "n=3"))}')
  validate.validate(config)
  return 'accepted'
