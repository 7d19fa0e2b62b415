"""Opens a run that exists, for the modes that use one."""

import json
import logging
import re
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax import config as config_lib
from gan_jax import ema, hosts, terms
from gan_jax import experiment as experiment_lib
from gan_jax.convert import weights
from gan_jax.distill import teacher
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.nn import conv_tables
from gan_jax.objective import frozen_networks
from gan_jax.run import constants, identity
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.run.convolutions import tables_of
from gan_jax.run.facts import facts_of
from gan_jax.run.folder import RunDir
from gan_jax.state import TrainState
from gan_jax.validate import validate

log = logging.getLogger('gan_jax')

# A messenger's network, not its terms' parameters alone.
_MESSENGERS = rf'messengers\.params\.(?!{terms.TERMS}\.)'
BEST = 'best'  # in place of a step: the state that was kept for its score


class Opened(NamedTuple):
  """A run's folder, its config and functions."""

  run: RunDir
  config: Any
  experiment: experiment_lib.Experiment


class Restored(NamedTuple):
  """What `Opened` has, and the state at a step."""

  run: RunDir
  config: Any
  experiment: experiment_lib.Experiment
  step: int
  state: TrainState


def like(experiment: experiment_lib.Experiment, mesh) -> TrainState:
  """Shapes, types and places of a run's state, without making it."""
  place = lambda x, where: jax.ShapeDtypeStruct(
    x.shape, x.dtype, sharding=where
  )
  return jax.tree.map(place, experiment.shapes(), experiment.places(mesh))


def open_run(workdir, overrides=(), what: str = '--workdir') -> Opened:
  """The run in a folder, as its own config.json describes it.

  Args:
    workdir: the run's folder.
    overrides: (path, text) pairs that change settings of `metrics`, or say
      where the data lie now.
    what: the flag or setting that names the folder, for sentences.

  Raises:
    UserError: if there is no run, or for another setting.
  """
  run = RunDir(workdir, what)
  config, facts = stored_config(run), run.load_data()
  if not (config and facts):
    raise UserError(
      f'{what}={workdir} holds no run: train one there first, or name'
      ' the folder of one that exists.'
    )
  with config.unlocked():
    # What is measured while training is not asked for here.
    config.metrics.update(every=0, best='')
  for key, text in overrides:
    if not (key.startswith('metrics.') or key in _WHERE):
      raise UserError(
        f'--config.{key}: the run in {workdir} is what it is; only'
        ' --config.metrics.* can be changed here, and where its data lie:'
        f' {", ".join(f"--config.{path}" for path in _WHERE)}.'
      )
    config_lib.override(config, key, text)
  validate(config)
  conv_tables.use(tables_of(run))
  experiment = experiment_lib.build(
    config,
    tuple(facts['shape']),
    len(facts['classes']),
    past_of(run),
    sys.maxsize,
  )
  return Opened(run, config, experiment)


# Settings that say where the data of a run lie, and not what they are.
_WHERE = ('data.source', 'data.data_dir', 'data.test_source')


def stored_config(run: RunDir):
  """The config that a folder's run was last started with, or None.

  It is as this version of the program has it: see `config.filled`.

  Raises:
    UserError: if config.json is damaged.
  """
  stored = run.load_config()
  try:
    return stored if stored is None else config_lib.filled(stored)
  except TypeError as error:
    raise UserError(
      f'{run.path / "config.json"} is no config ({error}): restore it from a'
      ' copy, or delete it and go on with the config that --config names.'
    ) from None


def past_of(run: RunDir) -> list:
  """The stretches of training that a run has behind it.

  An older version of the program did not write them down: its config then says
  how all steps so far were counted.
  """
  past, config = run.load_past(), stored_config(run)
  if past is None:
    past = [(0, experiment_lib.stage_of(config))] if config else []
  return past


def check_identity(run: RunDir, config) -> list[str]:
  """Refuses to go on with another experiment than a folder holds.

  Writes nothing. A run that was converted and has not been trained has
  networks, and no other identity yet.

  Args:
    run: the folder; one without a run takes any.
    config: what the run would go on with.

  Returns:
    What has changed and may, in words.

  Raises:
    UserError: if a setting has changed that `config.train.change` does not
      name; the sentence shows the difference.
  """
  before = stored_config(run)
  if before is None:
    return []
  now = config_lib.filled(config)  # what it leaves to defaults, too
  a, b = (json.loads(config_lib.to_json(c)) for c in (before, now))
  saved = Checkpoints(run.checkpoints)
  converted = saved.steps() == [0]
  saved.close()
  networks = ('generator', 'discriminator')
  free = [f'{name}.*' for name in b if converted and name not in networks]
  return identity.check(run.path, a, b, config.train.change, free)


def checkpoints(run: RunDir, kept: str = '') -> Checkpoints:
  """The checkpoints of a run that another process may be writing to.

  Args:
    run: the folder.
    kept: BEST for the one that was kept for its score.

  Raises:
    UserError: if there are none yet.
  """
  folder = run.path / BEST if kept == BEST else run.checkpoints
  if not folder.exists():
    raise UserError(_NONE_BEST if kept == BEST else _NONE.format(folder))
  return Checkpoints(folder)


_NONE = (
  '{} holds no checkpoint yet: wait for the first, or train with a smaller'
  ' --config.train.checkpoint_every.'
)
_NONE_BEST = (
  'This run keeps no best state: train with --config.metrics.best=NUMBER and'
  ' --config.metrics.every=STEPS, or leave --step=best out.'
)


def state_at(
  saved: Checkpoints,
  experiment: experiment_lib.Experiment,
  mesh,
  step: int | None = None,
) -> tuple[int, TrainState] | None:
  """The step and state of a run's checkpoint; None if there is none.

  Where a permitted change of settings (`config.train.change`) has given it
  another rule, term, average or ensemble, those begin anew, an average with
  the generator as it is, messengers that remember with the local
  discriminators as they are; networks are always those that were saved.

  Args:
    saved: the run's checkpoints.
    experiment: what its config means.
    mesh: the devices to put the state on.
    step: which; None for the newest that is whole.

  Raises:
    UserError: see `Checkpoints.restore`.
  """
  fresh = lambda: experiment_lib.initial_state(experiment, 0, mesh)
  found = saved.restore(like(experiment, mesh), step, fresh)
  if found is None:
    return None
  step, state = found
  if any(name.startswith('ema.') for name in saved.anew):
    state = state.replace(ema=ema.start(state.pair.g))
  if any(re.match(_MESSENGERS, name) for name in saved.anew):
    d = jax.tree.map(jnp.copy, state.local_pairs.d)
    kept = state.messengers.replace(params=d.params, stats=d.stats)
    state = state.replace(messengers=kept)
  if saved.anew:
    parts = sorted({'.'.join(name.split('.')[:3]) for name in saved.anew})
    log.info('Begun anew, as the settings have changed: %s.', ', '.join(parts))
  return step, state


def restore(
  workdir,
  mesh,
  step: int | str | None = None,
  what: str = '--workdir',
  overrides=(),
) -> Restored:
  """The run in a folder, with a state.

  Args:
    workdir: the run's folder.
    mesh: the devices to put the state on; they need not be those it was
      trained on.
    step: of the checkpoint; None for the newest, BEST for the one that was
      kept for its score.
    what: see `open_run`.
    overrides: see `open_run`.

  Raises:
    UserError: if there is no run or no such checkpoint.
  """
  opened = open_run(workdir, overrides, what)
  saved = checkpoints(opened.run, BEST if step == BEST else '')
  wanted = None if step == BEST else step
  found = state_at(saved, opened.experiment, mesh, wanted)
  if found is None:
    raise UserError(_NONE.format(opened.run.checkpoints))
  return Restored(*opened, *found)


class Frozen(NamedTuple):
  """A network that a run uses and does not train.

  Attributes:
    variables: what its `apply` takes.
    origin: where they came from, for people; '' if the folder keeps them
      already.
  """

  variables: Any
  origin: str


def frozen(
  run: RunDir, config, experiment, source, checkpoints: Checkpoints
) -> dict[str, Frozen]:
  """The frozen networks of a run, by name. Writes nothing.

  Of a run that has begun they are those that its folder keeps, of a run of an
  older version those that lay in its state, of a new one those that the config
  names.

  Args:
    run: the folder.
    config: of the run.
    experiment: what it means.
    source: its data.
    checkpoints: of the run, its state restored if there is one.

  Raises:
    UserError: if one of them is missing or damaged, or is another network.
  """
  found = {}
  for name, shapes in experiment_lib.constants_like(experiment).items():
    kept, origin = constants.load(run.path, name, shapes), ''
    older = _nested(checkpoints.dropped, f'pair.d.stats.{name}.')
    if kept is None and older:
      kept, origin = older, 'the state of an older version of the program'
    if kept is None and checkpoints.steps():
      raise UserError(
        f"{run.path / 'constants'} has lost the run's {name}: restore it and"
        f' {constants.TABLE} from a copy, or choose another --workdir.'
      )
    if kept is None:
      kept, origin = _named(name, config, experiment, source, shapes) or (
        _random(experiment.constants[name], config.train.seed),
        'random weights',
      )
    found[name] = Frozen(kept, origin)
  return found


def _named(name: str, config, experiment, source, shapes):
  """A frozen network that a config names, and its origin; None: untrained."""
  network = frozen_networks(experiment.objective.terms).get(name)
  if network is None:
    return teacher.find(config.teacher, facts_of(source), shapes, restore)
  return _published(name, network)


def _published(name: str, network: terms.Frozen):
  """A term's frozen network from the user's files, likewise."""
  if network.weights == terms.RANDOM:
    return None
  setting = f'--config.{network.setting}'
  loaded = weights.load(name, network.weights, setting, network.without)
  return loaded.variables, loaded.about


def check_weights(run: RunDir, experiment) -> None:
  """Refuses a run whose terms lack weights, before anything compiles.

  Those that the folder keeps are not asked for again.

  Raises:
    UserError: see `convert.weights.load`.
  """
  for name, network in frozen_networks(experiment.objective.terms).items():
    if not constants.keeps(run.path, name):
      _published(name, network)


def _random(first, seed: int):
  """A frozen network's untrained variables."""
  return experiment_lib.quickly(first, one_device())(jax.random.key(seed))


def keep(run: RunDir, networks: dict[str, Frozen]) -> None:
  """Writes frozen networks to a run's folder, if it has them not yet."""
  for name, network in networks.items():
    if network.origin and hosts.leads():
      constants.save(run.path, name, network.variables, network.origin)


def _nested(arrays: dict, prefix: str) -> dict:
  """Arrays by dotted name as nested dictionaries: those below a prefix."""
  tree = {}
  for name, array in arrays.items():
    if name.startswith(prefix):
      *parents, leaf = name.removeprefix(prefix).split('.')
      section = tree
      for key in parents:
        section = section.setdefault(key, {})
      section[leaf] = jax.device_get(array)
  return tree
