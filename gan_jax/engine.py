"""What turns at every step, and what of it changes at a stage.

A stage has one batch, one feed and one compiled step; a run that grows has
several and enters the next when the count of steps says so (see
schemes/growth.py). Threads compile it while the one before is trained, so that
growing costs no pause; programs are the same whoever compiles them. The largest
stage is compiled at the start of a run, to know what memory it will take.
"""

import concurrent.futures
import functools
import logging
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from gan_jax import compiler
from gan_jax import experiment as experiment_lib
from gan_jax.data.pipeline import Feed
from gan_jax.mesh import check_batch, replicated
from gan_jax.restore import like, state_at
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.run.memory import give_back_freed_memory
from gan_jax.run.progress import device_memory_gb
from gan_jax.state import Span, Stage, TrainState

log = logging.getLogger('gan_jax')

PATIENCE = 10.0  # seconds of measuring


class Turn(NamedTuple):
  """What the steps of a stage are taken with.

  Attributes:
    stage: of the growth.
    feed: its batches.
    compiled: (state, constants, feed.table, raw batch, span) -> (state,
      metrics).
  """

  stage: Stage
  feed: Feed
  compiled: Callable


class Engine:
  """Trains a state step by step.

  The order of use is `enter`, `restore`, `first` if there was nothing to
  restore, `use` what is constant, then `step` again and again, and `close`.

  Args:
    config: of the run.
    experiment: what it means.
    source: its data.
    mesh: its devices.
    planned: whether steps are compiled only, for a plan: nothing is put onto
      the devices, which may be a topology's, and `step` cannot be used.
    options: for the compiler, beside those of `compiler.for_steps`.

  Attributes:
    taken: steps so far: `state.step` without asking the devices.
    total: steps of the whole run.
    turn: the stage that is entered; None before the first.

  Raises:
    UserError: if a minibatch does not divide over the devices.
  """

  turn: Turn | None = None

  def __init__(
    self,
    config,
    experiment: experiment_lib.Experiment,
    source,
    mesh,
    planned: bool = False,
    options: compiler.Options = None,
  ):
    self._config, self._experiment = config, experiment
    self._growth = experiment.growth
    self._source, self._mesh = source, mesh
    self._planned, self._options = planned, options
    self._constants = {}
    self.taken = 0
    self.total = self._growth.total(config.train)
    for stage in self._growth.stages:
      check_batch(mesh, stage.batch, config.train.accumulate)
    self._batches = None  # of the feed, from the next step on
    self._before = None  # metrics of the step before
    # Two threads: the next stage must not wait for the largest one.
    self._threads = concurrent.futures.ThreadPoolExecutor(2, 'compile')
    self._ahead = {}  # later stages' Turns, once they are compiled

  def images(self, step: int) -> int:
    """Real images that one pair has learned from after so many steps."""
    return self._growth.images(step)

  def enter(self, step: int) -> None:
    """Gets ready for the step that follows `step` steps: feed and program.

    Does nothing if that step's stage is entered already. Call it before there
    is a state: a compiler takes as much memory as a step does, and one after
    the other the run needs the larger of the two, not the sum.
    """
    stage = self._growth.stage(step)
    if self.turn and stage == self.turn.stage:
      return
    self._stop_reading()
    ahead = self._ahead.pop(stage, None)
    self.turn = ahead.result() if ahead else self.ready(step)
    if not stage.resolution:
      tell_memory(self.turn)
    else:
      log.info(
        'From step %d on: %d px, minibatches of %d.',
        step + 1,
        stage.resolution,
        stage.batch,
      )

  def ready(self, step: int) -> Turn:
    """Compiles what the step that follows `step` steps is taken with."""
    stage = self._growth.stage(step)
    feed = experiment_lib.make_feed(
      self._config,
      stage,
      self._source,
      self._mesh,
      self._growth.offset(step),
      self.turn and self.turn.feed,
      self._planned,
    )
    at = f' of {stage.resolution} px' if stage.resolution else ''
    log.info('Compiling the training step%s.', at)
    step_of = experiment_lib.compile_step(
      self._experiment, stage, feed.decode, self._mesh
    )
    whole = replicated(self._mesh)
    abstract = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole)
    lowered = step_of.lower(
      like(self._experiment, self._mesh),
      jax.tree.map(abstract, experiment_lib.constants_like(self._experiment)),
      feed.table,
      feed.like(),
      jax.tree.map(abstract, _scalars(self._growth.span(step))),
    )
    compiled = lowered.compile(self._options)
    give_back_freed_memory()
    return Turn(stage, feed, compiled)

  def restore(self, checkpoints: Checkpoints) -> TrainState | None:
    """The state of the newest whole checkpoint; None if there is none.

    Raises:
      UserError: if the checkpoints are of other networks.
    """
    restored = state_at(checkpoints, self._experiment, self._mesh)
    if restored is None:
      return None
    self.taken, state = restored
    return state

  def first(self) -> TrainState:
    """The state before the first step."""
    seed = self._config.train.seed
    return experiment_lib.initial_state(self._experiment, seed, self._mesh)

  def use(self, constants) -> None:
    """Takes the frozen networks' variables, by name, onto the devices."""
    self._constants = jax.device_put(constants, replicated(self._mesh))

  def step(self, state: TrainState):
    """Takes the next step.

    Args:
      state: as the step before, `restore` or `first` gave it. It is donated:
        its memory goes to the new one.

    Returns:
      The new state, and its metrics as scalars on the devices.
    """
    self.enter(self.taken)
    if self._batches is None:
      self._batches = self.turn.feed.batches(self.taken)
    if self._growth.begins(self.taken):
      state = self._renew(state)
    state, metrics = self.turn.compiled(
      state,
      self._constants,
      self.turn.feed.table,
      next(self._batches),
      _scalars(self._growth.span(self.taken)),
    )
    self._look_ahead()
    self.taken += 1
    # The host may run one step ahead of the devices, not a hundred.
    jax.block_until_ready(self._before)
    self._before = metrics
    return state, metrics

  def seconds_of(self, turn: Turn, step: int) -> float:
    """Measures a step, on a state and data of zeros: the same operations.

    Args:
      turn: of the step.
      step: that it follows.

    Returns:
      The median of a few after the first one, or the time of the first if that
      is long.
    """
    blank = functools.partial(jax.tree.map, _blank)
    whole = replicated(self._mesh)
    constants = experiment_lib.constants_like(self._experiment)
    constants = jax.device_put(
      jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), constants), whole
    )
    table, raw = blank((turn.feed.table, turn.feed.like()))
    span = _scalars(self._growth.span(step))
    state, times = blank(like(self._experiment, self._mesh)), []
    while len(times) < 4 and sum(times) < PATIENCE:
      start = time.perf_counter()
      state, metrics = turn.compiled(state, constants, table, raw, span)
      jax.block_until_ready((state, metrics))
      times.append(time.perf_counter() - start)
    return statistics.median(times[1:] or times)

  def _look_ahead(self) -> None:
    """Has the stages compiled that are next and that will be the largest."""
    begins = self._growth.first_steps(self.taken, self.total)[1:]
    if not begins:
      return
    soon = self._ahead.get(self._growth.stage(begins[0]))
    if soon is None:
      self._compile_ahead(begins[0])
    elif soon.done():  # one after the other: the first one is needed first
      pixels = lambda s: s.resolution**2 * s.batch
      largest = max(begins, key=lambda step: pixels(self._growth.stage(step)))
      if self._growth.stage(largest) not in self._ahead:
        self._compile_ahead(largest)

  def _compile_ahead(self, step: int) -> None:
    """Has a thread get ready for a later stage."""

    def ready():
      turn = self.ready(step)
      self._renew  # noqa: B018  compiled here as well
      tell_memory(turn)
      return turn

    stage = self._growth.stage(step)
    self._ahead[stage] = self._threads.submit(ready)

  @functools.cached_property
  def _renew(self) -> Callable:
    """State -> the state with fresh optimisers, as a new stretch begins with.

    It happens there and not at the end of the stretch before: a checkpoint from
    between the two goes on the same way.
    """
    places = self._experiment.places(self._mesh)
    renew = experiment_lib.quickly(self._experiment.renew, self._mesh, places)
    return renew.lower(like(self._experiment, self._mesh)).compile()

  def _stop_reading(self) -> None:
    """Stops the threads and processes that read ahead."""
    if self._batches is not None:
      self._batches.close()
      self._batches = None

  def close(self) -> None:
    """Ends all that works ahead: reading, compiling."""
    self._stop_reading()
    self._threads.shutdown(cancel_futures=True)


def _scalars(span: Span) -> Span:
  """A span as a compiled step takes it."""
  return jax.tree.map(np.int32, span)


def _blank(like):
  """Zeros of a shape, type and place; the key of a seed."""
  if jax.dtypes.issubdtype(like.dtype, jax.dtypes.prng_key):
    words = jax.eval_shape(jax.random.key_data, like)
    zeros = jax.random.wrap_key_data(np.zeros(words.shape, words.dtype))
  else:
    zeros = np.zeros(like.shape, like.dtype)
  return jax.device_put(zeros, like.sharding)


def peak_bytes(compiled) -> int:
  """What a compiled step takes at its peak, as its compiler counts it; or 0."""
  memory = compiled.memory_analysis()
  if not memory:
    return 0
  # Donated arguments share their memory with the outputs.
  return (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes
    + memory.temp_size_in_bytes
  )


def tell_memory(turn: Turn) -> None:
  """Logs what memory steps take; warns if a device has not so much.

  Args:
    turn: of a run that grows a later stage; else the only one.
  """
  need, there = peak_bytes(turn.compiled) / 1e9, device_memory_gb()
  side = turn.stage.resolution
  what = f'Steps of {side} px will take' if side else 'A step takes'
  log.info('%s %.2g GB of memory.', what, need)
  if there and need > there:
    advice = (
      f'the stage of {side} px will not fit. Stop the run, and begin one with'
      ' smaller minibatches there (config.growth.batch),'
      if side
      else 'a step will not fit. Stop the run, and begin one with smaller'
      ' minibatches (config.train.batch), smaller networks,'
    )
    log.warning(
      'A device has %.1f GB: %s with config.generator.bfloat16_from and'
      ' config.discriminator.bfloat16_from, or with a smaller'
      ' config.data.resolution; or go on with config.train.accumulate = 2, or'
      " with config.discriminator.remat = 'blocks'.",
      there,
      advice,
    )
