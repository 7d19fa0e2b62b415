"""The config of a run: its sections, its shrunken test form, its checks.

A config file's `get_config(arg)` starts from `defaults()`, sets what its
experiment needs and returns `finish(config, ...)`. The settings stand in tables
beside the functions that use them; `table` puts them together. Every choice is
checked in validate.py, before anything compiles.
"""

import collections
import json
import logging

import ml_collections

from gan_jax import (
  config_files,
  data,
  distill,
  ema,
  few_shot,
  losses,
  mesh,
  networks,
  optimizer,
  tasks,
  terms,
)
from gan_jax import schemes as schemes_lib
from gan_jax import settings as settings_lib
from gan_jax.data import ada, augment, diff_augment
from gan_jax.errors import UserError, did_you_mean
from gan_jax.metrics import registry as metrics
from gan_jax.nn import latent
from gan_jax.run import identity
from gan_jax.schemes import ensemble_checks, growth
from gan_jax.settings import INT32, Setting

log = logging.getLogger('gan_jax')

TRAIN = {
  'seed': Setting(0, 'of everything drawn', low=0, high=2**32 - 1),
  'batch': Setting(64, 'real images in one minibatch', low=1, high=2**20),
  'accumulate': Setting(
    1,
    'parts that a minibatch is worked through in, one after the other, for one'
    ' update by their mean gradient: less memory, as many operations',
    low=1,
    high=2**12,
  ),
  'steps': Setting(20_000, 'of training, in all', low=1, high=INT32),
  'images': Setting(
    0,
    'real images of training, in all, where steps are of several sizes; 0:'
    ' steps says how long',
    low=0,
    high=INT32,
  ),
  'log_every': Setting(
    100, 'steps between two lines of metrics', low=1, high=INT32
  ),
  'image_every': Setting(
    1000, 'steps between two grids of samples', low=1, high=INT32
  ),
  'checkpoint_every': Setting(
    1000, 'steps between two checkpoints', low=1, high=INT32
  ),
  'keep': Setting(3, 'newest checkpoints', low=1, high=INT32),
  'milestone_every': Setting(
    0,
    'checkpoints at multiples of this many steps stay; 0: none',
    low=0,
    high=INT32,
  ),
  'tensorboard': Setting(
    True, 'write files for TensorBoard, if the tf extra is installed'
  ),
  'choose': Setting(
    (),
    'what is chosen by the number and size of the pictures of a folder when a'
    ' run begins',
    choices=tuple(few_shot.PATHS),
  ),
  'change': Setting(
    (),
    'settings or sections that a run may change when it goes on, beside those'
    ' that only say how long, how often and where',
  ),
}


def table(config=None) -> settings_lib.Table:
  """Every setting there is, in the form of a config.

  Args:
    config: a run's: the sections of its networks then have the settings of the
      networks that it names. None for the networks' names alone; there is no
      teacher then.
  """
  roles = {role: networks.settings(role) for role in networks.ROLES}
  for role, own in roles.items() if config else ():
    name = config.get(role, {}).get('name', own['name'].default)
    roles[role] = networks.settings(role, name)
  if config and config.get('teacher'):
    roles['teacher'] |= distill.TEACHER
  else:
    roles['teacher'] = {}
  own = collections.ChainMap(distill.LOSSES, losses.LOSSES)
  loss = Setting(
    'non_saturating',
    'what the two players minimise; of the last four, a classifier or student',
    choices=own,
  )
  return {
    'data': data.SETTINGS,
    **roles,
    'latent': latent.SETTINGS,
    'loss': {
      'name': loss,
      **settings_lib.by_choice(
        {name: settings_lib.of(chosen) for name, chosen in own.items()}
      ),
    },
    'penalties': terms.settings(losses.PENALTIES) | {'clip': optimizer.CLIP},
    'tasks': terms.settings(tasks.TASKS),
    'augment': augment.SETTINGS | diff_augment.SETTINGS | ada.SETTINGS,
    'scheme': schemes_lib.settings(),
    'ensemble': ensemble_checks.SETTINGS,
    'growth': growth.SETTINGS,
    'optimizer': {
      'generator': optimizer.SETTINGS,
      'discriminator': optimizer.SETTINGS,
    },
    'ema': ema.SETTINGS,
    'train': TRAIN,
    'metrics': metrics.SETTINGS,
    'mesh': mesh.SETTINGS,
  }


def defaults() -> ml_collections.ConfigDict:
  """All sections with their defaults; only the networks are left to name."""
  return ml_collections.ConfigDict(settings_lib.values(table()))


def options(arg: str | None, **allowed):
  """Reads the text after the colon of `--config=FILE:text`.

  Args:
    arg: 'test', 'n=10,loss=wgan_gp', ...: words separated by commas; a word
      without '=' stands for itself = True.
    **allowed: the names that may occur with their defaults, whose types the
      values take; a tuple has all the values there are, the default first.
      `test` is always allowed.

  Returns:
    A ConfigDict of all the names.

  Raises:
    UserError: for an unknown name, one given twice, a value of another type,
      or one that is not among those there are.
  """
  allowed['test'] = False
  choices = {k: v for k, v in allowed.items() if isinstance(v, tuple)}
  values = ml_collections.ConfigDict(
    {k: v[0] if k in choices else v for k, v in allowed.items()}
  )
  given = set()
  for word in filter(None, (arg or '').split(',')):
    name, equals, text = word.partition('=')
    if name in given:
      raise UserError(
        f"The config's option '{name}' is given twice: give it once."
      )
    given.add(name)
    if name not in values:
      raise UserError(
        f"This config takes no option '{name}' after the colon, but"
        f' {", ".join(sorted(values))}{did_you_mean(name, values)}'
      )
    try:
      if not text and (equals or not isinstance(values[name], bool)):
        raise ValueError('there is no value')
      values[name] = _option(text, type(values[name]))
    except ValueError:
      raise UserError(
        f"The config's option {name}={text} must be of type"
        f' {type(values[name]).__name__}, like {name}={values[name]}.'
      ) from None
    if name in choices and values[name] not in choices[name]:
      raise UserError(
        f"The config's option {name}={text} is not one of"
        f' {", ".join(map(str, choices[name]))}'
        + did_you_mean(text, choices[name])
      )
  return values


def _option(text: str, kind: type):
  """The value of an option; raises ValueError if it is of another type."""
  if kind is not bool:
    return kind(text)
  return ('false', '0', '', 'true', '1').index(text) > 1


# The least depths of networks that have many layers to compile, for tests.
SHALLOW = {'resnet': 10, 'charcnn': 1}


def finish(config, test: bool = False):
  """The config, shrunken to seconds on a CPU if `test`, and locked."""
  if test:
    # Embedded samples of the same kind: a test needs no download.
    kind, _, _ = config.data.source.partition(':')
    if kind == 'text':
      config.data.source = 'text:builtin'
    elif kind != 'toy':
      config.data.update(source='digits', label='', about='')
    config.train.choose = ()
    for player in (config.generator, config.discriminator, config.teacher):
      if 'width' in player:
        player.width = 8
      if player.get('name') == 'progan':
        player.update(fmap_base=64, fmap_max=8)
        config.data.resolution = 16
      if player.get('name') == 'stylegan2':
        player.update(fmap_base=256, fmap_max=8, depth=2)
        if 'group_size' in player:
          player.group_size = min(player.group_size, 4)
        config.data.resolution = 32
      if player.get('name') == 'fastgan':
        config.data.resolution = 64
      if player.get('name') in SHALLOW:
        player.depth = SHALLOW[player.name]
    if config.growth.start:  # each stretch has two steps of 8 images
      config.growth.update(
        start=4, stable_images=8, fade_images=24, batch=(), lr=()
      )
    if config.teacher:
      config.teacher.workdir = 'random'  # an untrained one: teacher.py
    if config.tasks.lead.weight:  # without weights, on small pictures
      config.tasks.lead.update(loss='pixels', resolution=8, decoder=0)
    if config.tasks.align.weight:
      config.tasks.align.resolution = 8
    if config.tasks.autoencode.loss == 'lpips':
      config.tasks.autoencode.weights = 'random'  # nothing is downloaded
    if config.data.test_split:
      config.data.split = 'train[:90%]'
      config.data.test_split = 'train[90%:]'
    config.ensemble.pairs = min(config.ensemble.pairs, 2)
    if config.scheme.name != 'alone':  # a classifier's has no use for it
      config.latent.size = 8
    config.metrics.samples = 64
    with config.train.unlocked():
      config.train.update(
        batch=8,
        steps=10 if config.growth.start else 4,
        images=0,
        log_every=2,
        image_every=4,
        checkpoint_every=2,
        tensorboard=False,
      )
  return config.lock()


def load(spec: str, overrides=()):
  """Reads a config file and changes single settings.

  Args:
    spec: 'FILE' or 'FILE:arg'; the file's `get_config(arg)` is called. It can
      import the modules of its own folder.
    overrides: (path, text) pairs, such as ('train.batch', '32').

  Returns:
    The locked config.

  Raises:
    UserError: if the file, or a setting's name or type, is wrong.
  """
  config = config_files.get_config(spec)
  for path, _ in settings_lib.walk(table()):
    _require(config, path, spec)
  for key, text in overrides:
    override(config, key, text)
  return config.lock()


def _require(config, path: str, spec: str) -> None:
  """Raises UserError if a config has no such setting."""
  section = config
  for key in path.split('.'):
    if not isinstance(section, ml_collections.ConfigDict) or key not in section:
      raise UserError(
        f'--config={spec} gives a config without {path}: it should begin with'
        ' `c = defaults()` (gan_jax.config) and set what is to be otherwise.'
      )
    section = section[key]


def override(config, path: str, text: str) -> None:
  """Sets one value by its dotted path; it keeps its type.

  A network's section takes all of its settings, those too that the config
  leaves to their defaults.

  Raises:
    UserError: for an unknown path or a value of another type.
  """
  *parents, leaf = path.split('.')
  section, entry, seen = config, table(config), 'config'
  for key in [*parents, leaf]:
    is_section = isinstance(section, ml_collections.ConfigDict)
    known = sorted({*section, *entry}) if is_section else []
    if key not in known:
      raise UserError(
        f'--config.{path}: {seen} has no {key!r}'
        + did_you_mean(key, known)
        + (f' It has: {", ".join(known)}.' if known else '')
      )
    entry, seen = entry.get(key, {}), f'{seen}.{key}'
    if key not in section:
      with section.unlocked():
        section[key] = entry.default
    section, parent = section[key], section
  if isinstance(section, ml_collections.ConfigDict):
    raise UserError(
      f'--config.{path}={text}: {seen} is a section; set one of'
      f' {", ".join(f"{seen}.{k}" for k in sorted(section))}.'
    )
  if not isinstance(entry, Setting):  # `validate` says that there is none
    entry = Setting(section, '')
  parent[leaf] = entry.parse(path, text)
  few_shot.given(config, path)


def to_json(config) -> str:
  """The config as JSON text, for the run directory."""
  return config.to_json_best_effort(indent=2, sort_keys=True) + '\n'


def from_json(text: str) -> ml_collections.ConfigDict:
  """The locked config that `to_json` wrote."""
  return ml_collections.ConfigDict(json.loads(text)).lock()


def differences(old, new) -> list[str]:
  """What changed between two configs: 'train.batch: 64 -> 32', ..."""
  a, b = (json.loads(to_json(config)) for config in (old, new))
  return list(identity.changes(a, b).values())


def filled(config) -> ml_collections.ConfigDict:
  """The config of a stored run, as this version of the program has it.

  What it lacks is filled up with defaults, what nobody knows any more is left
  out, and the log says so.

  Args:
    config: as `from_json` gives it, or as JSON has it; it stays as it is.

  Returns:
    A locked config.

  Raises:
    TypeError: if a section is none.
  """
  made, unknown = settings_lib.fill(table(config), config)
  if unknown:
    log.warning(
      'The stored config has what this version does not know; left out: %s.',
      ', '.join(unknown),
    )
  return ml_collections.ConfigDict(made).lock()


def unused(config) -> list[str]:
  """A sentence on each setting that was changed and that nothing reads.

  Args:
    config: a validated one.
  """
  known = table(config)
  found = settings_lib.unused(known, config)
  name = config.loss.name
  for path, why in _idle(distill.LOSSES.get(name)).items():
    section, entry = config, known
    for key in path.split('.'):
      section, entry = section[key], entry[key]
    tree = {path: entry}, {path: section}
    found += [
      f'config.{key} has no effect with config.loss.name = {name!r}, {why}.'
      for key in settings_lib.changed(*tree)
    ]
  return found


def _idle(loss) -> dict[str, str]:
  """What a game does not look at: paths, and why.

  Args:
    loss: of a classifier or a student; None for a GAN's.
  """
  if loss is None:
    no_test = 'which measures no accuracy'
    return {
      'teacher': 'which has no teacher',
      'data.test_split': no_test,
      'data.test_source': no_test,
    }
  idle = {'data.conditional': 'which gives no labels to the networks'}
  if not loss.has_teacher:
    idle['teacher'] = 'which has no teacher'
  if loss.data_free:
    idle['augment'] = 'which looks at no real sample'
  else:
    parts = ('generator', 'latent', 'ema', 'optimizer.generator')
    idle |= dict.fromkeys(parts, 'which trains no generator')
  return idle
