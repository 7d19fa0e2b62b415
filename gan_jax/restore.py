"""Opens a run that exists, for the modes that use one."""

import pathlib
from typing import Any, NamedTuple

import jax

from gan_jax import experiment as experiment_lib
from gan_jax.checkpoint import Checkpoints
from gan_jax.errors import UserError
from gan_jax.mesh import of_state
from gan_jax.rundir import RunDir
from gan_jax.state import TrainState
from gan_jax.validate import validate


class Restored(NamedTuple):
  """A run's folder, its config and functions, and the state at a step."""

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


def restore(workdir, mesh, step: int | None = None) -> Restored:
  """The run in a folder, as its own config.json describes it.

  Args:
    workdir: the run's folder.
    mesh: the devices to put the state on; they need not be those it was
      trained on.
    step: of the checkpoint; None for the newest.

  Raises:
    UserError: if there is no run or no such checkpoint.
  """
  path = pathlib.Path(workdir)
  run = RunDir(path) if (path / 'config.json').exists() else None
  facts = run and run.load_data()
  if not facts:
    raise UserError(
      f'--workdir={workdir} holds no run: train one there first, or name'
      ' the folder of one that exists.'
    )
  config = run.load_config()
  validate(config)
  experiment = experiment_lib.build(
    config, tuple(facts['shape']), len(facts['classes'])
  )
  found = Checkpoints(run.checkpoints).restore(like(experiment, mesh), step)
  if found is None:
    raise UserError(
      f'{run.checkpoints} holds no checkpoint yet: wait for the first, or'
      ' train with a smaller --config.train.checkpoint_every.'
    )
  return Restored(run, config, experiment, *found)
