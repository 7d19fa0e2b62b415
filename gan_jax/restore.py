"""Opens a run that exists, for the modes that use one."""

import pathlib
from typing import Any, NamedTuple

import jax

from gan_jax import config as config_lib
from gan_jax import experiment as experiment_lib
from gan_jax.errors import UserError
from gan_jax.mesh import of_state
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.run.folder import RunDir
from gan_jax.state import TrainState
from gan_jax.validate import validate

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
  place = lambda where, tree: jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree
  )
  shapes = jax.eval_shape(experiment.init, jax.random.key(0))
  return jax.tree.map(place, of_state(mesh), shapes)


def open_run(workdir, overrides=()) -> Opened:
  """The run in a folder, as its own config.json describes it.

  Args:
    workdir: the run's folder.
    overrides: (path, text) pairs that change settings of `metrics`.

  Raises:
    UserError: if there is no run, or for another setting.
  """
  path = pathlib.Path(workdir)
  run = RunDir(path) if (path / 'config.json').exists() else None
  facts = run and run.load_data()
  if not facts:
    raise UserError(
      f'--workdir={workdir} holds no run: train one there first, or name'
      ' the folder of one that exists.'
    )
  config = config_lib.filled(run.load_config())
  with config.unlocked():
    # What is measured while training is not asked for here.
    config.metrics.update(every=0, best='')
  for key, text in overrides:
    if not key.startswith('metrics.'):
      raise UserError(
        f'--config.{key}: the run in {workdir} is what it is; only'
        ' --config.metrics.* can be changed here.'
      )
    config_lib.override(config, key, text)
  validate(config)
  experiment = experiment_lib.build(
    config, tuple(facts['shape']), len(facts['classes'])
  )
  return Opened(run, config, experiment)


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
  return Checkpoints(folder, read_only=True)


_NONE = (
  '{} holds no checkpoint yet: wait for the first, or train with a smaller'
  ' --config.train.checkpoint_every.'
)
_NONE_BEST = (
  'This run keeps no best state: train with --config.metrics.best=NUMBER and'
  ' --config.metrics.every=STEPS, or leave --step=best out.'
)


def restore(
  workdir, mesh, step: int | str | None = None, overrides=()
) -> Restored:
  """The run in a folder, with a state.

  Args:
    workdir: the run's folder.
    mesh: the devices to put the state on; they need not be those it was
      trained on.
    step: of the checkpoint; None for the newest, BEST for the one that was
      kept for its score.
    overrides: see `open_run`.

  Raises:
    UserError: if there is no run or no such checkpoint.
  """
  opened = open_run(workdir, overrides)
  saved = checkpoints(opened.run, BEST if step == BEST else '')
  wanted = None if step == BEST else step
  found = saved.restore(like(opened.experiment, mesh), wanted)
  if found is None:
    raise UserError(_NONE.format(opened.run.checkpoints))
  return Restored(*opened, *found)
