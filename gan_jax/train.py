"""The training loop, to be read from top to bottom."""

import logging
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gan_jax import config as config_lib
from gan_jax import distill
from gan_jax import experiment as experiment_lib
from gan_jax.data import open_source
from gan_jax.data.pipeline import Feed, samples_at
from gan_jax.distill import teacher
from gan_jax.errors import UserError
from gan_jax.mesh import check_batch, make_mesh
from gan_jax.observe.accuracy import Accuracy
from gan_jax.observe.landscape import Landscape
from gan_jax.observe.scores import InTraining
from gan_jax.restore import check_identity, like, restore
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.run.folder import RunDir, facts_of
from gan_jax.run.memory import give_back_freed_memory
from gan_jax.run.progress import Clock, StopSignals, memory_gb, short
from gan_jax.sample import Preview
from gan_jax.schemes import ensemble
from gan_jax.state import TrainState
from gan_jax.validate import validate

log = logging.getLogger('gan_jax')


class Job(NamedTuple):
  """What the loop works with; see `prepare`.

  Attributes:
    images_per_step: real images that a step counts for.
    feed: the batches.
    train_step: (state, feed.table, raw batch) -> (state, metrics), compiled.
    preview: shows samples; None without a generator.
    accuracy: measures a classifier; None without one.
    evaluation: scores samples every so often; None unless asked for.
    checkpoints: of the run.
  """

  images_per_step: int
  feed: Feed
  train_step: Callable
  preview: Preview | Landscape | None
  accuracy: Accuracy | None
  evaluation: InTraining | None
  checkpoints: Checkpoints


def train(config, workdir) -> None:
  """Trains, or goes on training, the run in a folder.

  Args:
    config: as a config file's `get_config` gives it.
    workdir: the run's folder; what it holds is continued.

  Raises:
    UserError: for whatever the user can put right.
  """
  validate(config)
  with RunDir(workdir) as run, StopSignals() as signals:
    for sentence in config_lib.unused(config):
      log.warning(sentence)
    job, state = prepare(config, run)
    first, total = int(state.step), config.train.steps
    batches = job.feed.batches(first)
    clock = Clock(total, job.images_per_step)
    before = None
    signals.defer()
    for step in range(first + 1, total + 1):
      state, metrics = job.train_step(state, job.feed.table, next(batches))

      # The host may run one step ahead of the devices, not a hundred.
      jax.block_until_ready(before)
      before = metrics

      stop = signals.received
      last = step == total or stop
      if step % config.train.log_every == 0 or last:
        report(run, clock, step, job.images_per_step, state, metrics)
      elif step == first + 1:
        log.info('The first step is done.')
        clock.lap(step)
      if step % config.train.image_every == 0 or last:
        with clock.pause():
          show(run, job, step, state, last)
      if step % config.train.checkpoint_every == 0 or last:
        with clock.pause():
          stop_if_diverged(run, step, state, metrics)
          job.checkpoints.save(step, state)
      if job.evaluation and job.evaluation.due(step) and not stop:
        with clock.pause():
          job.evaluation(step, state)
      if stop:
        log.info('%s: saved at step %d; the same command goes on.', stop, step)
        break
    batches.close()
    job.checkpoints.close()
    if job.evaluation:
      job.evaluation.close()


def prepare(config, run: RunDir) -> tuple[Job, TrainState]:
  """From a config to all that the loop needs, in the order of the data's way.

  The state comes apart from the rest: a step gives its memory to the next.

  Raises:
    UserError: for whatever the user can put right.
  """
  # Devices and data. Nothing is written before all has been checked.
  changed = check_identity(run, config)
  mesh = make_mesh(config.mesh, ensemble.parts(config.ensemble))
  check_batch(mesh, config.train.batch)  # before a long scan
  source = open_source(config.data)
  log.info(source.report)
  run.check_data(source, config.train.change)

  # The functions of this config.
  experiment = experiment_lib.build(config, source.shape, len(source.classes))
  feed = experiment_lib.make_feed(config, experiment, source, mesh)
  log.info('Compiling the training step.')
  train_step = compiled_step(experiment, feed, mesh)
  preview = accuracy = None
  if experiment.objective.generator:
    if source.shape == (2,):
      preview = Landscape(config, experiment, source, mesh)
    else:
      preview = Preview(config, experiment)
  if config.loss.name in distill.LOSSES:
    accuracy = Accuracy(config, experiment, source)
  evaluation = None
  if config.metrics.every:
    evaluation = InTraining(run, config, experiment, source)

  # The state: the newest whole checkpoint, or step 0.
  checkpoints = Checkpoints(
    run.checkpoints, config.train.keep, config.train.milestone_every
  )
  state = start(config, checkpoints, experiment, source, mesh)
  step = int(state.step)
  if step >= config.train.steps:
    log.info('Nothing to do: step %d of %d.', step, config.train.steps)
  for change in changed:
    log.info('Changed since the last start: %s', change)
  run.begin()
  run.save_data(source)
  run.save_config(config_lib.to_json(config))
  run.rewind(step)
  checkpoints.drop_after(step)
  if evaluation:
    evaluation.rewind(step)
  if config.train.tensorboard:
    run.open_tensorboard()
  if step == 0:
    count, columns = (preview.count, preview.columns) if preview else (64, 8)
    reals, _ = samples_at(source, config.train.seed, count)
    run.images('reals', reals, columns)
  give_back_freed_memory()  # of the restored or initial state's making
  images = experiment.images_per_step
  job = Job(
    images, feed, train_step, preview, accuracy, evaluation, checkpoints
  )
  return job, state


def compiled_step(experiment, feed: Feed, mesh) -> Callable:
  """The training step, compiled before there is a state.

  A compiler takes as much memory as a step does: one after the other, the run
  needs the larger of the two, not the sum.
  """
  step = experiment_lib.compile_step(experiment, feed.decode, mesh)
  lowered = step.lower(like(experiment, mesh), feed.table, feed.like())
  compiled = lowered.compile()
  give_back_freed_memory()
  return compiled


def start(config, checkpoints: Checkpoints, experiment, source, mesh):
  """The state to go on from.

  Raises:
    UserError: if the folder's checkpoints are of other networks, or there is
      no teacher where one is needed.
  """
  restored = checkpoints.restore(like(experiment, mesh))
  if restored is None:
    state = experiment_lib.initial_state(experiment, config.train.seed, mesh)
    return teacher.install(state, config.teacher, facts_of(source), restore)
  step, state = restored
  log.info('Going on from step %d.', step)
  return state


def report(run, clock, step, images_per_step, state, metrics) -> None:
  """Fetches the metrics of a step; writes the line that people watch.

  Raises:
    UserError: if one of them is not finite.
  """
  values = {name: float(x) for name, x in jax.device_get(metrics).items()}
  speed, images = clock.lap(step), step * images_per_step
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


def show(run, job: Job, step: int, state, last: bool) -> None:
  """Shows how far the run has come: samples, the test set's accuracy, curves.

  Args:
    run: the RunDir.
    job: what there is to show with.
    step: of training.
    state: at this step.
    last: whether the program ends with this step.
  """
  preview, accuracy = job.preview, job.accuracy
  if isinstance(preview, Landscape):
    run.frame('landscape', preview(state), step)
    if last:
      run.animation('landscape', step)
  elif preview:
    run.images('fakes', preview(state), preview.columns, step)
    if state.local_pairs is not None:
      run.images('locals', preview.locals(state), preview.columns, step)
  if accuracy:
    share = accuracy(state)
    log.info('step %d  accuracy %.4f on %s', step, share, accuracy.reference)
    images = step * job.images_per_step
    run.metrics(step, {'images': images, 'accuracy': share})
  run.curves()


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
  if finite((state.pair, state.local_pairs, metrics)):
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
