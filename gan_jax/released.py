"""--mode=convert: a released checkpoint becomes a run."""

import logging
import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import config as config_lib
from gan_jax import convert, ema, paths
from gan_jax import experiment as experiment_lib
from gan_jax.convert import files
from gan_jax.data.source import Source
from gan_jax.errors import UserError
from gan_jax.mesh import one_device, replicated
from gan_jax.networks import DISCRIMINATORS, GENERATORS
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.run.folder import RunDir
from gan_jax.state import Pair, TrainState
from gan_jax.terms import TERMS, network_only
from gan_jax.validate import validate

log = logging.getLogger('gan_jax')

REGISTRIES = {'generator': GENERATORS, 'discriminator': DISCRIMINATORS}
AVERAGE = 'average'  # of the generator


class Network(NamedTuple):
  """A released network.

  Attributes:
    kind: what is known of it.
    module: of its sizes.
    variables: of the module.
    where: what it came from, in words.
    told: see `Kind.told`.
  """

  kind: convert.Kind
  module: nn.Module
  variables: Any
  where: str
  told: Mapping = types.MappingProxyType({})


class Found(NamedTuple):
  """A network in a file, not read yet: its name in `KINDS`, its prefix."""

  path: str
  name: str
  prefix: str
  arrays: dict[str, np.ndarray]

  @property
  def kind(self) -> convert.Kind:
    """What is known of it."""
    return convert.kind(self.name)

  @property
  def where(self) -> str:
    """What it came from, in words."""
    under = f', {self.prefix}*' if self.prefix else ''
    return f'{self.name} from {self.path}{under}'


class Unread(Source):
  """Stands for a run's data that nobody has opened yet."""

  dtype = np.dtype(np.uint8)

  def __init__(self, name: str, shape, classes: int = 0):
    self.name, self.shape = name, tuple(shape)
    self.classes = tuple(map(str, range(classes)))
    self.report = f'{name}: not read yet; the run was converted.'

  def __len__(self):
    return 0


def run(
  sources: str,
  out,
  *,
  kinds: str | None = None,
  spec: str | None = None,
  overrides: Sequence[tuple[str, str]] = (),
) -> None:
  """Makes the run folder `out` of released files: a checkpoint of step 0.

  The average of G is the file's (Gs of ProGAN's snapshots) or starts at the
  converted G, the optimisers are at rest. A D that no file holds is a fresh
  one.

  Args:
    sources: files, separated by commas.
    out: the folder; it must not hold a run.
    kinds: names in `convert.KINDS`, separated by commas, of the networks to
      take, each with `:PREFIX` where a file holds it more than once; None for
      whatever is found.
    spec: a config file to go by for what the networks do not tell; None for
      the defaults.
    overrides: (path, text) pairs that change single settings.

  Raises:
    UserError: for whatever the user can put right.
  """
  path = paths.place(out, '--out')
  checkpoints = path / 'checkpoints'
  if (path / 'config.json').exists() or any(checkpoints.glob('*')):
    raise UserError(
      f'--out={out} already holds a run: name a folder that does not.'
    )
  networks = open_networks(sources.split(','), kinds)
  config, notes = make_config(networks, spec, overrides)
  shape = networks['generator'].module.shape
  classes = networks['generator'].module.classes
  mesh = one_device()
  experiment = experiment_lib.build(config, shape, classes)
  state = experiment_lib.initial_state(experiment, config.train.seed, mesh)
  state = take_over(state, networks, replicated(mesh))
  with RunDir(path, '--out') as folder:
    folder.begin()
    for role in (*REGISTRIES, *(networks.keys() - REGISTRIES.keys())):
      log.info('%s: %s', role, _described(networks.get(role)))
    for note in notes:
      log.info('%s', note)
    folder.save_data(Unread(config.data.source, shape, classes))
    saved = Checkpoints(folder.checkpoints, config.train.keep)
    saved.save(0, state)
    saved.close()
    # Last: with it the folder holds a run.
    folder.save_config(config_lib.to_json(config))
    log.info('%s is a run now: --mode=sample --workdir=%s', out, out)


def _described(network: Network | None) -> str:
  if network is None:
    return 'freshly initialised; no file holds one'
  leaves = jax.tree.leaves(network.variables['params'])
  count = sum(leaf.size for leaf in leaves)
  return f'{network.where}, {count:,} parameters'


def open_networks(
  paths: Sequence[str], kinds: str | None = None
) -> dict[str, Network]:
  """The networks in released files, by role.

  Args:
    paths: of the files.
    kinds: see `run`.

  Returns:
    Those of `REGISTRIES`, and `AVERAGE` where a file has the average of its G.

  Raises:
    UserError: a file cannot be read, or nothing of it is taken; there is no
      generator, or there are two networks for one role, or they do not fit.
  """
  wanted = _wanted(kinds)
  chosen, held, idle = [], [], []
  for path in paths:
    arrays, before = _arrays(path), len(chosen)
    found = convert.find(arrays)
    held += [f'{name}:{prefix}'.rstrip('.:') for name, prefix in found]
    if wanted and not found and len(wanted) == len(paths) == 1:
      found = list(wanted.items())  # to hear what is missing
    chosen += [
      Found(path, name, prefix, arrays)
      for name, prefix in found
      if convert.kind(name).role in REGISTRIES
      and (not wanted or wanted.get(name) in ('', prefix))
    ]
    if not found:
      held += [*list(arrays)[:5], *(['...'] if len(arrays) > 5 else [])]
    if len(chosen) == before:
      idle.append(str(path))
  networks = _read(chosen)
  if 'generator' not in networks:
    known = [k for k, v in convert.KINDS.items() if v.role == 'generator']
    raise UserError(
      f'--from={",".join(paths)} holds no generator that'
      f' {f"--as={kinds} names" if kinds else "is known"}: known are'
      f' {", ".join(known)}; held are {", ".join(held)}.'
    )
  lacking = [n for n in wanted if convert.kind(n).role not in networks]
  if lacking or idle:
    what = f'no {lacking[0]}' if lacking else 'nothing that is taken'
    raise UserError(
      f'--from={",".join(idle or map(str, paths))} holds {what}; held are'
      f' {", ".join(held)}: leave out what is not to be taken.'
    )
  shapes = {role: n.module.shape for role, n in networks.items()}
  if len(set(shapes.values())) > 1:
    raise UserError(
      'The networks do not fit: '
      + ', '.join(f'the {r} has pictures {list(s)}' for r, s in shapes.items())
      + '; name files of one run.'
    )
  return networks


def _arrays(path: str):
  """The arrays of a file by name."""
  try:
    return convert.named(files.read(path))
  except UserError as error:
    text = str(error)
    raise UserError(text if path in text else f'{path} {text}') from None


def _wanted(kinds: str | None) -> dict[str, str]:
  """The networks that --as names, each with the prefix of its arrays or ''."""
  wanted = {}
  for word in filter(None, (kinds or '').split(',')):
    name, _, prefix = word.partition(':')
    if convert.kind(name).role not in REGISTRIES:
      raise UserError(
        f'--as={name} is a network that judges images, and no part of a run:'
        ' --mode=weights says where such files go.'
      )
    if name in wanted:
      raise UserError(f'--as={kinds} names {name} twice: name it once.')
    wanted[name] = prefix and f'{prefix}.'
  return wanted


def _read(chosen: Sequence[Found]) -> dict[str, Network]:
  """The networks that were found, by role; `AVERAGE` beside those of a run.

  Raises:
    UserError: as `open_networks` does.
  """
  networks, places = {}, {found[:3] for found in chosen}
  # A D first: of its G's labels it may know what nothing else tells.
  for found in sorted(chosen, key=lambda f: f.kind.role == 'generator'):
    path, name, prefix, _ = found
    beside = (path, name, found.kind.averages.get(prefix))
    role = AVERAGE if beside in places else found.kind.role
    if role in networks:
      raise UserError(
        f'There are two networks for the {role}, {networks[role].where} and'
        f' {found.where}: name one file of each, or one by --as={name}:PREFIX.'
      )
    own = {
      key.removeprefix(prefix): array
      for key, array in found.arrays.items()
      if key.startswith(prefix)
    }
    if role != 'discriminator' and 'discriminator' in networks:
      own = found.kind.beside(own, networks['discriminator'].module)
    try:
      module, variables = convert.released(name, own)
      told = found.kind.told(own)
    except UserError as error:
      raise UserError(f'{path}: {error}') from None
    networks[role] = Network(found.kind, module, variables, found.where, told)
  return networks


def make_config(networks: dict[str, Network], spec=None, overrides=()):
  """The config of the run, and what is to be said about it.

  Args:
    networks: by role.
    spec: see `run`.
    overrides: see `run`.

  Returns:
    (the locked config, notes).

  Raises:
    UserError: a setting is wrong, or not what the networks are.
  """
  config = config_lib.load(spec) if spec else config_lib.defaults()
  before = config.copy_and_resolve_references()
  facts = {}
  for role in (r for r in REGISTRIES if r in networks):
    kind, module, variables, _, told = networks[role]
    height, _, channels = module.shape
    facts |= {
      role: section(role, module),
      'data.resolution': height,
      'data.channels': channels,
      'data.conditional': bool(module.classes),
      **kind.facts(module, variables),
      **told,
    }
    hints = {} if spec else kind.hints(module)
    for path, value in hints.items():
      _set(config, path, value)
  for path, value in facts.items():
    _set(config, path, value)
  for path, text in overrides:
    config_lib.override(config, path, text)
  for path, value in facts.items():
    if _get(config, path) != value:
      raise UserError(
        f'--config.{path} contradicts the checkpoint, which has {value}: leave'
        ' it out.'
      )
  validate(config)
  changes = config_lib.differences(before, config)
  if spec:
    said = f'Unlike {spec}: {"; ".join(changes)}.'
    notes = [f'{said} To train on with it, set these again.'] if changes else []
  else:
    same = ', '.join(f'{path} = {value}' for path, value in facts.items())
    notes = [f'To train on, take a --config that has {same}.']
    if 'data.source' not in dict(overrides):
      source = config.data.source
      notes += [f'Data: {source}; name others by --config.data.source=...']
  return config.lock(), [*notes, *_left_out(networks, config)]


def _left_out(networks: dict[str, Network], config) -> list[str]:
  """What is said of heads in the files whose tasks a config has not."""
  heads = {
    task
    for network in networks.values()
    for task in network.variables['params'].get(TERMS, {})
  }
  return [
    f'The heads of tasks.{task} are left out: set'
    f' --config.tasks.{task}.weight=1 to take and train them.'
    for task in sorted(heads)
    if not config.tasks[task].weight
  ]


def section(role: str, module: nn.Module) -> dict:
  """The config's section that builds this module."""
  registry = REGISTRIES[role]
  name = next(n for n, network in registry.items() if type(module) is network)
  own = {'shape', 'classes', 'resolution', 'parent', 'name'}
  fields = [f for f in module.__dataclass_fields__ if f not in own]
  return {'name': name} | {field: getattr(module, field) for field in fields}


def _get(config, path: str):
  for key in path.split('.'):
    config = config[key]
  return config.to_dict() if hasattr(config, 'to_dict') else config


def _set(config, path: str, value) -> None:
  *parents, leaf = path.split('.')
  for key in parents:
    config = config[key]
  with config.unlocked():
    config[leaf] = value


def _with_heads(mine: dict, found: dict) -> dict:
  """What a file holds of a player; of terms what the run has, all of it.

  Args:
    mine: a player's first params or stats.
    found: the file's; what it lacks of terms' heads is taken from `mine`.
  """

  def taken(a, b):
    if not isinstance(a, dict):
      return b
    return {k: taken(x, b[k]) if k in b else x for k, x in a.items()}

  if TERMS not in mine:
    return network_only(found)
  return found | {TERMS: taken(mine[TERMS], found.get(TERMS, {}))}


def take_over(
  state: TrainState, networks: dict[str, Network], where
) -> TrainState:
  """A first state, its networks replaced by the released ones.

  Args:
    state: of step 0.
    networks: by role.
    where: the sharding of the state.

  Raises:
    UserError: the state's networks have other arrays.
  """

  def replaced(player, role):
    """A player with the arrays of a role."""
    if role not in networks:
      return player
    stats = dict(networks[role].variables)
    params = stats.pop('params')
    if player:
      params, stats = (
        _with_heads(mine, found)
        for mine, found in ((player.params, params), (player.stats, stats))
      )
    params, stats = jax.device_put((params, stats), where)
    shapes = player and jax.tree.map(jnp.shape, player.params)
    if shapes != jax.tree.map(jnp.shape, params):
      raise UserError(
        f'The config gives the {role} other arrays than the files hold: name a'
        ' --config of the same method.'
      )
    return player.replace(params=params, stats=player.stats | stats)

  pair = Pair(
    g=replaced(state.pair.g, 'generator'),
    d=replaced(state.pair.d, 'discriminator'),
  )
  average = None
  if state.ema is not None:
    average = ema.start(replaced(pair.g, AVERAGE))
  return state.replace(pair=pair, ema=average)
