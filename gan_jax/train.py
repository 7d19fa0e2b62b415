"""The training loop, to be read from top to bottom."""

import contextlib
import logging
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import config as config_lib
from gan_jax import experiment as experiment_lib
from gan_jax import few_shot, hosts, observe
from gan_jax.data import Source, open_source
from gan_jax.engine import Engine
from gan_jax.errors import UserError
from gan_jax.mesh import check_batch, make_mesh
from gan_jax.nn import conv_tables
from gan_jax.restore import (
  check_identity,
  check_weights,
  frozen,
  keep,
  past_of,
  stored_config,
)
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.run.convolutions import keep_tables, tables_of
from gan_jax.run.folder import RunDir
from gan_jax.run.memory import give_back_freed_memory
from gan_jax.run.progress import Clock, StopSignals, memory_gb, short
from gan_jax.schemes import ensemble
from gan_jax.state import TrainState
from gan_jax.validate import validate

log = logging.getLogger('gan_jax')

# After so many steps a run whose first line of metrics is far says how long it
# will take, if that line is so many seconds away.
FEW, FAR = 5, 60.0


class Job(NamedTuple):
  """What a run is made of, apart from its state; see `prepare`."""

  source: Source
  experiment: experiment_lib.Experiment
  engine: Engine
  observers: list[observe.Observer]
  tables: dict[str, conv_tables.Table]


def train(config, workdir) -> str | None:
  """Trains, or goes on training, the run in a folder.

  Args:
    config: as a config file's `get_config` gives it.
    workdir: the run's folder; what it holds is continued.

  Returns:
    None at the run's end; else what has stopped it before, such as 'SIGTERM'.

  Raises:
    UserError: for whatever the user can put right.
  """
  validate(config)
  with RunDir(workdir) as run:
    config = few_shot.settled(config, stored_config(run))
    for sentence in config_lib.unused(config):
      log.warning(sentence)
    checkpoints = Checkpoints(
      run.checkpoints, config.train.keep, config.train.milestone_every
    )
    job = prepare(config, run, checkpoints)
    with closing(run, job, checkpoints):
      state = start(config, run, job, checkpoints)
      return loop(config.train, run, job, checkpoints, state)


def loop(section, run: RunDir, job: Job, checkpoints, state) -> str | None:
  """From the state that a run goes on from to its end, or to a signal.

  Args:
    section: `config.train`.
    run: the folder.
    job: what the run is made of.
    checkpoints: of the run.
    state: as `start` gives it.

  Returns:
    See `train`.

  Raises:
    UserError: if the run has diverged, or its folder is gone.
  """
  engine, observers = job.engine, job.observers
  first, total = int(state.step), engine.total
  clock = Clock(total, engine.images)
  look(run, clock, overdue(observers, first), first, engine, state)
  with StopSignals() as signals:
    for step in range(first + 1, total + 1):
      state, metrics = engine.step(state)
      last = step == total or signals.stop(step)
      if step % section.log_every == 0 or last:
        report(run, clock, step, engine.images(step), state, metrics)
      elif step == first + 1:
        log.info('The first step is done; grids and curves: %s', run.path)
        clock.lap(step)
      elif step == first + FEW:
        foretell(clock, step, section.log_every)
      if step % section.checkpoint_every == 0 or last:
        save(run, clock, checkpoints, step, state, metrics)
      if not signals.stop(step):  # else it is made up for by the next start
        due = [observer for observer in observers if observer.due(step)]
        with signals.cut_short():
          look(run, clock, due, step, engine, state)
      if stop := signals.stop(step):
        save(run, clock, checkpoints, step, state, metrics)
        log.info('%s: saved at step %d; the same command goes on.', stop, step)
        run.curves()
        return stop if step < total else None
  if first < total:
    log.info(
      'Done. The run is in %s; --mode=sample, evaluate and explore look into'
      ' it.',
      run.path,
    )
  return None


@contextlib.contextmanager
def closing(run: RunDir, job: Job, checkpoints: Checkpoints):
  """Ends a run in order: what reads ahead, what is being saved, observers.

  Whatever ends it unforeseen (a full disk, a device) is noted with the step
  that was reached and what there is to go on from.

  Raises:
    UserError: if the run's folder is gone, whatever a library made of that.
  """
  parts = (job.engine, checkpoints, *job.observers)
  try:
    yield
    for part in parts:
      part.close()
  except Exception as error:
    for part in parts:
      with contextlib.suppress(Exception):  # the first one is what counts
        part.close()
    if not isinstance(error, UserError):
      run.check_there()
    newest = checkpoints.newest_on_disk()
    error.add_note(
      f'Training had reached step {job.engine.taken};'
      + (
        ' there is no checkpoint yet.'
        if newest is None
        else f' the newest whole checkpoint is of step {newest}.'
      )
    )
    raise


def save(run: RunDir, clock, checkpoints, step: int, state, metrics) -> None:
  """Begins to save a state as a checkpoint, unless it has diverged.

  Raises:
    UserError: if it has, or the run's folder is gone.
  """
  with clock.pause():
    stop_if_diverged(run, step, state, metrics)
    run.check_there()
    run.flush()  # what goes on from it finds the lines up to it
    checkpoints.save(step, state)


def prepare(config, run: RunDir, checkpoints: Checkpoints) -> Job:
  """From a config to what the loop works with, in the order of the data's way.

  Writes nothing.

  Raises:
    UserError: for whatever the user can put right.
  """
  for change in check_identity(run, config):
    log.info('Changed since the last start: %s', change)
  tables = hosts.gather(tables_of(run))[0]
  conv_tables.use(tables)
  mesh = make_mesh(config.mesh, ensemble.parts(config.ensemble))
  check_batch(mesh, config.train.batch)  # before a long scan
  source = open_source(config.data)
  log.info(source.report)
  run.check_data(source, config.train.change)
  experiment = experiment_lib.build(
    config,
    source.shape,
    len(source.classes),
    past_of(run),
    max(checkpoints.steps(), default=0),
  )
  check_weights(run, experiment)
  observers = observe.build(config, run, experiment, source, mesh)
  engine = Engine(config, experiment, source, mesh)
  return Job(source, experiment, engine, observers, tables)


def start(config, run, job: Job, checkpoints) -> TrainState:
  """The state to go on from, in a folder that is as it was at that step.

  Raises:
    UserError: if the folder's checkpoints are of other networks, or the run
      needs a trained network that is not there.
  """
  source, experiment, engine, observers, tables = job
  newest, total = max(checkpoints.steps(), default=0), engine.total
  if newest < total:
    engine.enter(newest)  # first of all: see there
  state = engine.restore(checkpoints)
  if state is None:
    state, step = engine.first(), 0
  else:
    step = int(state.step)
    log.info('Going on from step %d.', step)
  if step >= total:
    log.info('Nothing to do: step %d of %d.', step, total)
  networks = frozen(run, config, experiment, source, checkpoints)
  engine.use({name: kept.variables for name, kept in networks.items()})
  hosts.meet('begin')
  run.begin()  # all has been checked: from here on the folder is written to
  keep(run, networks)
  run.save_data(source)
  keep_tables(run, tables)
  run.save_past(experiment.growth.stretches())
  run.save_config(config_lib.to_json(config))
  run.rewind(step)
  checkpoints.drop_after(step)
  for observer in observers:
    observer.rewind(step)
  if config.train.tensorboard:
    run.open_tensorboard()
  give_back_freed_memory()  # of the restored or initial state's making
  return state


def overdue(observers, step: int) -> list[observe.Observer]:
  """Those that should have looked at the step a run goes on from."""
  missed = [o.due(step) and not o.done(step) for o in observers]
  # One host's disk decides for all: they look together.
  missed = hosts.of_leader(np.array(missed, bool))
  return [o for o, late in zip(observers, missed, strict=True) if late]


def look(run, clock, observers, step: int, engine, state) -> None:
  """Lets observers look at a state; what they measure is logged and drawn."""
  images = engine.images(step)
  with clock.pause():
    for observer in observers:
      numbers = observer(step, images, state)
      if numbers:
        run.metrics(step, {'images': images, **numbers})
    if observers:
      run.curves()


def report(run, clock, step, images, state, metrics) -> None:
  """Fetches the metrics of a step; writes the line that people watch.

  Raises:
    UserError: if one of them is not finite, or the run's folder is gone.
  """
  run.check_there()
  values = {name: float(x) for name, x in jax.device_get(metrics).items()}
  speed = clock.lap(step)
  log.info(
    'step %d/%d  img %s  %s img/s  %s  ETA %s  mem %.1f GB',
    step,
    clock.total,
    short(images),
    short(speed) if speed else '-',
    '  '.join(f'{name} {x:.3f}' for name, x in values.items()),
    clock.remaining(step, speed),
    memory_gb(),
  )
  line = {'images': images, **values}
  if speed:
    line |= {'images_per_second': speed, 'memory_gb': memory_gb()}
  run.metrics(step, line)
  if not all(map(math.isfinite, values.values())):
    stop_if_diverged(run, step, state, metrics)


def foretell(clock, step: int, log_every: int) -> None:
  """Says how long a run will take, where its first line with an ETA is far."""
  speed = clock.lap(step)
  line = min(clock.total, step - step % log_every + log_every)
  if clock.seconds(step, line, speed) > FAR:
    log.info(
      'A step takes about %.2g s: the run will take about %s more.',
      clock.seconds(step - 1, step, speed),
      clock.remaining(step, speed),
    )


@jax.jit
def finite(tree) -> jax.Array:
  """Whether every float of a tree is finite, a bool scalar."""
  floats = [
    x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)
  ]
  return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in floats]))


def stop_if_diverged(run: RunDir, step: int, state, metrics) -> None:
  """Ends a run whose losses or parameters are no longer finite.

  The broken state is kept apart from the checkpoints, which are all from
  before and which the same command goes on from.

  Raises:
    UserError: if the run has diverged.
  """
  if finite((state.pair, state.local_pairs, state.messengers, metrics)):
    return
  apart = Checkpoints(run.path / 'diverged', keep=1)
  apart.save(step, state)
  apart.close()
  losses = {name: float(x) for name, x in jax.device_get(metrics).items()}
  bad = [name for name, x in losses.items() if not math.isfinite(x)]
  raise UserError(
    f'Training has diverged: {", ".join(bad) or "a weight"} is not finite at'
    f' step {step}. That state is saved in {run.path / "diverged"}; the'
    f' checkpoints in {run.checkpoints} are from before. Lower the learning'
    ' rates (--config.optimizer.discriminator.lr=...'
    ' --config.train.change=optimizer) and run the command again to go on from'
    ' the newest.'
  )
