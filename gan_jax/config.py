"""The config of a run: its sections, its shrunken test form, its checks.

A config file's `get_config(arg)` starts from `defaults()`, sets what its
experiment needs and returns `finish(config, ...)`. Every choice is checked
in validate.py, before anything compiles.
"""

import difflib
import json
import pathlib
import runpy

import ml_collections

from gan_jax.errors import UserError
from gan_jax.run import identity


def _section(**keys):
  return ml_collections.ConfigDict(keys)


def defaults() -> ml_collections.ConfigDict:
  """All sections with their defaults; only the networks are left to name."""
  c = ml_collections.ConfigDict()
  c.data = _section(
    source='digits',  # digits, tfds:NAME, folder:PATH, npz:, idx:, toy:, text:
    split='train',  # or a part of it: train[:90%]
    test_split='',  # what a classifier's accuracy is measured on
    test_source='',  # where that split is; '': in the same source
    # Pixels a side after resize and crop (0: as they are); of text, characters
    # that a line is cut to.
    resolution=32,
    channels=3,  # 1 or 3
    filter='lanczos',  # of the resize: lanczos, bicubic, bilinear, box
    background='white',  # what transparency is laid on: white or black
    max_bad=0.05,  # share of unreadable files above which a run refuses
    conditional=False,  # give the labels to the networks
    label='',  # of tfds: the feature that is the class; '': the first one
    device_budget_mb=1024,  # sets up to this size live on the device
    workers=0,  # processes that read larger sets; 0: threads
    data_dir='',  # where TFDS keeps its data sets; '': its default
  )
  c.generator = _section(name='dcgan')  # other keys: the network's fields
  c.discriminator = _section(name='dcgan')
  c.latent = _section(size=100, distribution='normal')
  c.teacher = _section()  # of kd, dfad, zskt: workdir of its run, network
  c.loss = _section(
    name='non_saturating',
    rho=1e-6,  # fisher
    temperature=4.0,  # kd
    alpha=0.9,  # kd: share of the teacher's answers, the rest is the labels'
    attention=0.0,  # zskt: weight of the attention transfer
  )
  c.penalties = _section(  # of D; a weight of 0.0 is off
    wgan_gp=_section(weight=0.0, target=1.0),
    dragan=_section(weight=0.0, noise=0.5),
    r1=_section(weight=0.0),
    drift=_section(weight=0.0),
    clip=_section(limit=0.0),  # of every weight of D; 0.0: no clipping
  )
  c.tasks = _section()  # none yet: FastGAN and GLeaD bring theirs
  c.augment = _section(
    mirror=False,
    crop=0,  # pixels of border, of which a window of the old size is cut
  )
  # d_steps and fakes: two_stage only.
  c.scheme = _section(name='two_stage', d_steps=1, fakes='fresh')
  c.ensemble = _section(  # SGAN; the names are explained in README.md
    pairs=0,  # local pairs that train the global one; 0: no ensemble
    messengers=True,  # False: G_0 against the local Ds (simplified SGAN)
    reduce='mean',  # of G_0's and of D_0's N gradients; sum: Algorithm 1
    real='fresh',  # a real minibatch for each pair; shared: one for all
    noise='fresh',  # latent vectors for each pair; shared: the same for all
    messenger_opt='copied',  # optimiser state of messengers; or fresh
    g_updates='once',  # of G_0 a step; each: one for each local pair
    weight_sharing=0.0,  # share of parameters that local pairs have in common
  )
  c.growth = _section()  # none yet: ProGAN brings it
  player = dict(
    name='adam',
    lr=2e-4,
    b1=0.5,
    b2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    decay=0.1,  # factor on lr at each of the points below
    decay_at=(),  # in real images
  )
  c.optimizer = _section(
    generator=_section(**player), discriminator=_section(**player)
  )
  c.ema = _section(  # of G
    name='half_life',  # half_life, decay, or none
    half_life=10_000.0,  # images
    ramp_up=0.05,  # the half-life is at most this share of images so far
    decay=0.999,  # per step, for name = 'decay'
  )
  c.train = _section(
    seed=0,
    batch=64,  # real images in one minibatch
    steps=20_000,
    log_every=100,  # steps; so are the four below
    image_every=1000,
    checkpoint_every=1000,
    keep=3,  # newest checkpoints
    milestone_every=0,  # checkpoints at multiples of this stay; 0: none
    tensorboard=True,  # if the tf extra is installed
    # Settings or sections that a run may change when it goes on, beside those
    # that only say how long, how often and where: run/identity.py.
    change=(),
  )
  c.metrics = _section(  # of --mode=evaluate, and of training if `every` is on
    names=('scores', 'frechet_pixels'),  # all: gan_jax/metrics/registry.py
    samples=2000,  # generated for each draw
    reals=0,  # of the data, in a fixed random order; 0: as many, if there are
    draws=1,  # sets of samples; of 2 and more mean and deviation are given
    every=0,  # steps between evaluations while training; 0: none
    best='',  # the number whose best state is kept in best/, such as 'fid'
    resizer='tf1_bilinear',  # in front of FID's Inception; see resize.py
    weights='',  # files, comma between; '': the cache folder's: weights.py
    classifier='',  # folder of the classifier's run of frechet_classifier
  )
  c.mesh = _section(data=0, pair=0)  # devices an axis; 0: all there are
  return c


def options(arg: str | None, **allowed):
  """Reads the text after the colon of `--config=FILE:text`.

  Args:
    arg: 'test', 'n=10,loss=wgan_gp', ...: words separated by commas; a word
      without '=' stands for itself = True.
    **allowed: the names that may occur with their defaults, whose types the
      values take. `test` is always allowed.

  Returns:
    A ConfigDict of all the names.

  Raises:
    UserError: for an unknown name or a value of another type.
  """
  values = ml_collections.ConfigDict({'test': False, **allowed})
  for word in filter(None, (arg or '').split(',')):
    name, _, text = word.partition('=')
    if name not in values:
      raise UserError(
        f"This config takes no option '{name}' after the colon;"
        f' it takes: {", ".join(sorted(values))}.'
      )
    kind = type(values[name])
    try:
      values[name] = text in ('', 'true', '1') if kind is bool else kind(text)
    except ValueError:
      raise UserError(
        f"The config's option {name}={text} must be of type"
        f' {kind.__name__}, like {name}={values[name]}.'
      ) from None
  return values


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
      config.data.update(source='digits', label='')
    for player in (config.generator, config.discriminator, config.teacher):
      if 'width' in player:
        player.width = 8
      if player.get('name') in SHALLOW:
        player.depth = SHALLOW[player.name]
    if config.teacher:
      config.teacher.workdir = 'random'  # an untrained one: teacher.py
    if config.data.test_split:
      config.data.split = 'train[:90%]'
      config.data.test_split = 'train[90%:]'
    config.ensemble.pairs = min(config.ensemble.pairs, 2)
    config.latent.size = 8
    config.metrics.samples = 64
    with config.train.unlocked():
      config.train.update(
        batch=8,
        steps=4,
        log_every=2,
        image_every=4,
        checkpoint_every=2,
        tensorboard=False,
      )
  return config.lock()


def name_of(spec: str) -> str:
  """The name of a run by its config: 'a/b/x.py:n=5' -> 'x'."""
  return pathlib.Path(spec.partition(':')[0]).stem


def load(spec: str, overrides=()):
  """Reads a config file and changes single settings.

  Args:
    spec: 'FILE' or 'FILE:arg'; the file's `get_config(arg)` is called.
    overrides: (path, text) pairs, such as ('train.batch', '32').

  Returns:
    The locked config.

  Raises:
    UserError: if the file, or a setting's name or type, is wrong.
  """
  name, _, arg = spec.partition(':')
  path = pathlib.Path(name)
  if not path.is_file():
    others = sorted(str(p) for p in path.parent.glob('*.py'))
    close = difflib.get_close_matches(name, others, 1)
    # The list is long: it is for those whom no single name helps.
    hint = f' ({path.parent} has: {", ".join(others)}).' if others else '.'
    if close:
      hint = f'; did you mean {close[0]}?'
    raise UserError(f'--config={name}: there is no such file{hint}')
  try:
    config = runpy.run_path(name)['get_config'](arg)
  except UserError:
    raise
  except Exception as error:
    raise UserError(
      f'--config={spec} failed to load: {type(error).__name__}: {error}.'
    ) from error
  for key, text in overrides:
    override(config, key, text)
  return config


def override(config, path: str, text: str) -> None:
  """Sets one value by its dotted path; it keeps its type.

  Raises:
    UserError: for an unknown path or a value of another type.
  """
  *parents, leaf = path.split('.')
  section, seen = config, 'config'
  for key in [*parents, leaf]:
    if not isinstance(section, ml_collections.ConfigDict) or key not in section:
      known = (
        sorted(section)
        if isinstance(section, ml_collections.ConfigDict)
        else []
      )
      close = difflib.get_close_matches(key, known, 1)
      raise UserError(
        f'--config.{path}: {seen} has no {key!r}'
        + (f'; did you mean {close[0]!r}?' if close else '.')
        + (f' It has: {", ".join(known)}.' if known else '')
      )
    section, parent, seen = section[key], section, f'{seen}.{key}'
  if isinstance(section, ml_collections.ConfigDict):
    raise UserError(
      f'--config.{path}={text}: {seen} is a section; set one of'
      f' {", ".join(f"{seen}.{k}" for k in sorted(section))}.'
    )
  parent[leaf] = _parse(path, text, section)


def _parse(path: str, text: str, old):
  """Text as a value of the type of `old`."""
  if isinstance(old, bool):
    words = {'true': True, '1': True, 'false': False, '0': False}
    if text.lower() in words:
      return words[text.lower()]
  elif isinstance(old, tuple | list):  # a list: of a run's config.json
    words = filter(None, text.strip('()').replace(' ', '').split(','))
    return tuple(int(word) if word.isdigit() else word for word in words)
  else:
    try:
      return type(old)(text)
    except ValueError:
      pass
  raise UserError(
    f'--config.{path}={text}: must be of type {type(old).__name__}, like'
    f' {old!r}.'
  )


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
