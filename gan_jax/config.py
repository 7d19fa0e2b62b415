"""The config of a run: its sections, its shrunken test form, its checks.

A config file's `get_config(arg)` starts from `defaults()`, sets what its
experiment needs and returns `finish(config, ...)`. Every choice is checked
in validate.py, before anything compiles.
"""

import ast
import contextlib
import importlib
import json
import pathlib
import re
import runpy
import sys
import zlib

import ml_collections

from gan_jax.errors import UserError, did_you_mean, nearest


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
      values take; a tuple has all the values there are, the default first.
      `test` is always allowed.

  Returns:
    A ConfigDict of all the names.

  Raises:
    UserError: for an unknown name, a value of another type, or one that is not
      among those there are.
  """
  allowed['test'] = False
  choices = {k: v for k, v in allowed.items() if isinstance(v, tuple)}
  values = ml_collections.ConfigDict(
    {k: v[0] if k in choices else v for k, v in allowed.items()}
  )
  for word in filter(None, (arg or '').split(',')):
    name, _, text = word.partition('=')
    if name not in values:
      raise UserError(
        f"This config takes no option '{name}' after the colon, but"
        f' {", ".join(sorted(values))}{did_you_mean(name, values)}'
      )
    try:
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
  """The name of a run by its config and options, fit to be a folder's.

  Args:
    spec: 'FILE' or 'FILE:arg'. The order of the options does not matter.

  Returns:
    'x_n=5_test' for 'a/b/x.py:test,n=5'.
  """
  file, _, arg = spec.partition(':')
  words = [pathlib.Path(file).stem, *sorted(filter(None, arg.split(',')))]
  name = re.sub(r'[^A-Za-z0-9._=+-]', '-', '_'.join(words)).lstrip('.')
  if len(name) > 200:  # file systems take 255
    name = f'{name[:180]}-{zlib.crc32(name.encode()):08x}'
  return name or 'run'


def files(folder) -> dict[pathlib.Path, str]:
  """The config files in a folder, by name, and the first line of each."""
  found = {}
  for path in sorted(pathlib.Path(folder).glob('*.py')):
    try:
      tree = ast.parse(path.read_text('utf-8'))
    except (OSError, ValueError, SyntaxError):
      continue  # nothing that could be loaded
    if any(getattr(node, 'name', '') == 'get_config' for node in tree.body):
      found[path] = (ast.get_docstring(tree) or '').partition('\n')[0]
  return found


def _listing(folder: pathlib.Path) -> str:
  """The end of a sentence: what can be given to --config, a line each."""
  found = files(folder)
  if not found:
    return f'{folder} has no config: see configs/ of gan_jax for some.'
  width = max(len(path.name) for path in found)
  lines = (f'  {p.name:{width}}  {s}'.rstrip(' .') for p, s in found.items())
  return '\n'.join([f'{folder} has:', *lines])


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
  name, _, arg = spec.partition(':')
  path = pathlib.Path(name)
  if path.is_dir():
    raise UserError(
      f'--config={name} is a folder, not a file; {_listing(path)}'
    )
  if not path.is_file():
    raise UserError(f'--config={name}: there is no such file; {_near(path)}')
  try:
    with _importable(path.resolve().parent):
      get_config = runpy.run_path(name).get('get_config')
      config = get_config(arg) if get_config else None
  except UserError:
    raise
  except Exception as error:
    raise UserError(
      f'--config={spec} failed to load: {type(error).__name__}: {error}.'
    ) from error
  if get_config is None:
    raise UserError(
      f'--config={name} has no function get_config(arg), so that it is no'
      f' config: --config={path.parent} lists those there are.'
    )
  for key, text in overrides:
    override(config, key, text)
  return config


def _near(path: pathlib.Path) -> str:
  """The end of a sentence on a file that is not there: what is."""
  folder = path.parent
  if not files(folder) and files('configs'):
    folder = pathlib.Path('configs')  # a bare name: 'quickstart'
  found = files(folder)
  stem = nearest(path.stem, [p.stem for p in found])
  if stem is None:
    return _listing(folder)
  # The names, not the paths: the folder's name makes all paths alike.
  path = next(p for p in found if p.stem == stem)
  return f'did you mean {path} ({found[path].rstrip(".")})?'


@contextlib.contextmanager
def _importable(folder: pathlib.Path):
  """Makes a folder's modules importable, and as if they never had been after.

  Two folders may have modules of one name. So one that is loaded from elsewhere
  is put aside, and what was imported from here is dropped at the end.
  """
  own = {p.stem for p in folder.glob('*.py') if not p.stem.startswith('__')}
  own -= sys.stdlib_module_names  # as ever: those that are loaded stay
  aside = {name: sys.modules.pop(name) for name in own & sys.modules.keys()}
  before = {name.partition('.')[0] for name in sys.modules}

  def is_from_here(name):
    file = getattr(sys.modules.get(name), '__file__', None)
    # A module, or a package's __init__; no deeper: an environment may be there.
    return bool(file) and folder in pathlib.Path(file).parents[:2]

  sys.path.insert(0, str(folder))
  importlib.invalidate_caches()  # a file may be younger than a glance at it
  try:
    yield
  finally:
    sys.path.remove(str(folder))
    new = {name.partition('.')[0] for name in sys.modules} - before
    new = {name for name in new if is_from_here(name)}
    for name in [n for n in sys.modules if n.partition('.')[0] in new]:
      del sys.modules[name]
    sys.modules.update(aside)


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
      raise UserError(
        f'--config.{path}: {seen} has no {key!r}'
        + did_you_mean(key, known)
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

  def flat(tree, prefix=''):
    if not isinstance(tree, dict):
      return {prefix[:-1]: tree}
    items = [flat(v, f'{prefix}{k}.') for k, v in tree.items()]
    return {k: v for item in items for k, v in item.items()}

  a, b = (flat(json.loads(to_json(c))) for c in (old, new))
  missing = '(none)'
  return [
    f'{key}: {a.get(key, missing)} -> {b.get(key, missing)}'
    for key in sorted(a | b)
    if a.get(key, missing) != b.get(key, missing)
  ]
