"""What turns at every step, and what of it changes at a stage.

A stage has one batch, one feed and one compiled step; a run that grows has
several and enters the next when the count of steps says so. See
schemes/growth.py.
"""

import logging
from collections.abc import Callable

import jax
import numpy as np

from gan_jax import experiment as experiment_lib
from gan_jax.data.pipeline import Feed
from gan_jax.mesh import of_state, replicated
from gan_jax.restore import like, state_at
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.run.memory import give_back_freed_memory
from gan_jax.state import Span, Stage, TrainState

log = logging.getLogger('gan_jax')


class Engine:
  """Trains a state step by step.

  The order of use is `enter`, `restore`, `first` if there was nothing to
  restore, `use` what is constant, then `step` again and again, and `close`.

  Args:
    config: of the run.
    experiment: what it means.
    source: its data.
    mesh: its devices.

  Attributes:
    taken: steps so far: `state.step` without asking the devices.
    stage: that is entered; None before the first.
    feed: its batches.
    compiled: (state, constants, feed.table, raw batch, span) -> (state,
      metrics), its step.
  """

  stage: Stage | None = None
  feed: Feed | None = None
  compiled: Callable | None = None

  def __init__(
    self, config, experiment: experiment_lib.Experiment, source, mesh
  ):
    self._config, self._experiment = config, experiment
    self._growth = experiment.growth
    self._source, self._mesh = source, mesh
    self._constants = {}
    self.taken = 0
    self._batches = None  # of `feed`, from the next step on
    self._before = None  # metrics of the step before

  def images(self, step: int) -> int:
    """Real images that one pair has learned from after so many steps."""
    return self._growth.images(step)

  def enter(self, step: int) -> None:
    """Gets ready for the step that follows `step` steps: feed and program.

    Does nothing if that step's stage is entered already. Call it before there
    is a state: a compiler takes as much memory as a step does, and one after
    the other the run needs the larger of the two, not the sum.

    Raises:
      UserError: if a minibatch does not divide over the devices.
    """
    stage = self._growth.stage(step)
    if stage == self.stage:
      return
    self.close()
    self.feed = experiment_lib.make_feed(
      self._config, stage, self._source, self._mesh, self._growth.offset(step)
    )
    log.info('Compiling the training step.')
    step_of = experiment_lib.compile_step(
      self._experiment, stage, self.feed.decode, self._mesh
    )
    whole = replicated(self._mesh)
    abstract = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole)
    lowered = step_of.lower(
      like(self._experiment, self._mesh),
      jax.tree.map(abstract, experiment_lib.constants_like(self._experiment)),
      self.feed.table,
      self.feed.like(),
      jax.tree.map(abstract, _scalars(self._growth.span(step))),
    )
    self.compiled = lowered.compile()
    give_back_freed_memory()
    self.stage = stage

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
      self._batches = self.feed.batches(self.taken)
    if self._growth.begins(self.taken):
      state = self._renewed(state)
    state, metrics = self.compiled(
      state,
      self._constants,
      self.feed.table,
      next(self._batches),
      _scalars(self._growth.span(self.taken)),
    )
    self.taken += 1
    # The host may run one step ahead of the devices, not a hundred.
    jax.block_until_ready(self._before)
    self._before = metrics
    return state, metrics

  def _renewed(self, state: TrainState) -> TrainState:
    """The state with fresh optimisers, as a new stretch begins with.

    It happens here and not at the end of the stretch before: a checkpoint from
    between the two goes on the same way.
    """
    places = of_state(self._mesh)
    renew = experiment_lib.quickly(self._experiment.renew, self._mesh, places)
    return renew(state)

  def close(self) -> None:
    """Stops the threads and processes that read ahead."""
    if self._batches is not None:
      self._batches.close()
      self._batches = None


def _scalars(span: Span) -> Span:
  """A span as a compiled step takes it."""
  return jax.tree.map(np.int32, span)
