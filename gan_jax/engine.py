"""What turns at every step, and what of it changes at a stage.

A stage of a run has one batch, one feed and one compiled step. Runs of today
have a single stage; one that grows will have several, and enter the next when
the count of steps says so.
"""

import bisect
import logging
from collections.abc import Callable

import jax

from gan_jax import experiment as experiment_lib
from gan_jax.data.pipeline import Feed
from gan_jax.distill import teacher
from gan_jax.restore import like, restore
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.run.folder import facts_of
from gan_jax.run.memory import give_back_freed_memory
from gan_jax.state import TrainState

log = logging.getLogger('gan_jax')


def images_at(experiment: experiment_lib.Experiment, step: int) -> int:
  """Real images that one pair has learned from after some steps of a run.

  The one place that turns steps into images for people, logs and scores.
  """
  return step * experiment.images_per_step


class Engine:
  """Trains a state step by step.

  The order of use is `enter`, `restore`, `first` if there was nothing to
  restore, then `step` again and again, and `close`.

  Args:
    config: of the run.
    experiment: what it means.
    source: its data.
    mesh: its devices.

  Attributes:
    feed: the batches of the stage that is entered; None before the first.
    compiled: (state, feed.table, raw batch) -> (state, metrics), that stage's
      step; None before the first.
  """

  feed: Feed | None = None
  compiled: Callable | None = None

  def __init__(
    self, config, experiment: experiment_lib.Experiment, source, mesh
  ):
    self._config, self._experiment = config, experiment
    self._source, self._mesh = source, mesh
    self._begins = (0,)  # the steps taken when each stage begins
    self._stage = None  # the number of the one that is entered
    self._taken = 0  # steps so far: state.step without asking the devices
    self._batches = None  # of `feed`, from the next step on
    self._before = None  # metrics of the step before

  def images(self, step: int) -> int:
    """Real images shown after so many steps, see `images_at`."""
    return images_at(self._experiment, step)

  @property
  def draws(self) -> int:
    """Real minibatches that a step uses up."""
    return self._experiment.draws

  def enter(self, step: int) -> None:
    """Gets ready for the step that follows `step` steps: feed and program.

    Does nothing if that step's stage is entered already. Call it before there
    is a state: a compiler takes as much memory as a step does, and one after
    the other the run needs the larger of the two, not the sum.

    Raises:
      UserError: if a minibatch does not divide over the devices.
    """
    stage = bisect.bisect_right(self._begins, step) - 1
    if stage == self._stage:
      return
    self.close()
    self.feed = experiment_lib.make_feed(
      self._config, self._experiment, self._source, self._mesh
    )
    log.info('Compiling the training step.')
    step_of = experiment_lib.compile_step(
      self._experiment, self.feed.decode, self._mesh
    )
    state = like(self._experiment, self._mesh)
    lowered = step_of.lower(state, self.feed.table, self.feed.like())
    self.compiled = lowered.compile()
    give_back_freed_memory()
    self._stage = stage

  def restore(self, checkpoints: Checkpoints) -> TrainState | None:
    """The state of the newest whole checkpoint; None if there is none.

    Raises:
      UserError: if the checkpoints are of other networks.
    """
    restored = checkpoints.restore(like(self._experiment, self._mesh))
    if restored is None:
      return None
    self._taken, state = restored
    return state

  def first(self) -> TrainState:
    """The state before the first step.

    Raises:
      UserError: if the run needs a trained network that is not there.
    """
    seed = self._config.train.seed
    state = experiment_lib.initial_state(self._experiment, seed, self._mesh)
    facts = facts_of(self._source)
    return teacher.install(state, self._config.teacher, facts, restore)

  def step(self, state: TrainState):
    """Takes the next step.

    Args:
      state: as the step before, `restore` or `first` gave it. It is donated:
        its memory goes to the new one.

    Returns:
      The new state, and its metrics as scalars on the devices.
    """
    self.enter(self._taken)
    if self._batches is None:
      self._batches = self.feed.batches(self._taken)
    batch = next(self._batches)
    state, metrics = self.compiled(state, self.feed.table, batch)
    self._taken += 1
    # The host may run one step ahead of the devices, not a hundred.
    jax.block_until_ready(self._before)
    self._before = metrics
    return state, metrics

  def close(self) -> None:
    """Stops the threads and processes that read ahead."""
    if self._batches is not None:
      self._batches.close()
      self._batches = None
