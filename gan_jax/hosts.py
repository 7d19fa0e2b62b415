"""Several processes that train one run: a pod's hosts, or one machine's.

Each process runs the same command and steps in time with the others; arrays
are global, each reads the samples of its own devices, all write a checkpoint
together, and process 0 alone writes whatever else a run leaves. What only one
of them can know (a signal that came, whether a folder is free, which state is
the best) they tell each other here: processes that go separate ways wait for
each other for ever.

Who they are is found out where it can be: Slurm, Open MPI and GKE's TPU slices
say so in the environment; `--processes=auto` asks JAX to look further, which
finds a Cloud TPU pod; else `--coordinator=HOST:PORT --process=I --processes=N`
does.
"""

import contextlib
import itertools
import logging
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from gan_jax.errors import STOPPED, UserError

log = logging.getLogger('gan_jax')

# A process that has not been heard of for so long ends all others.
LOST_AFTER = 60  # seconds
# All are to have come together by then.
FOUND_WITHIN = 300  # seconds
# Two agreements are so many seconds apart, about, and at most so many steps.
_EVERY, _MOST = 2.0, 1000
# Of launchers that JAX knows: what says how many processes they have started.
_LAUNCHERS = ('SLURM_STEP_NUM_TASKS', 'OMPI_COMM_WORLD_SIZE')


def _launched() -> bool:
  """Whether the environment says that this process is one of several."""
  counts = [os.environ.get(name, '') for name in _LAUNCHERS]
  workers = os.environ.get('TPU_WORKER_HOSTNAMES', '').split(',')
  return len(workers) > 1 or any(c.isdigit() and int(c) > 1 for c in counts)


def connect(
  coordinator: str | None = None,
  process: int | None = None,
  processes: int | str | None = None,
) -> None:
  """Finds the other processes, if there are any; before JAX sees a device.

  Args:
    coordinator: HOST:PORT of process 0.
    process: this one's number, from 0.
    processes: how many there are, or 'auto'.

  Raises:
    UserError: if only some of the three are given, or JAX finds nobody. Where
      the others do not come in time, the process ends with `errors.STOPPED`.
  """
  given = {'coordinator': coordinator, 'process': process}
  if processes in (None, 'auto'):
    if wrong := [name for name, value in given.items() if value is not None]:
      raise UserError(f'--{wrong[0]} needs --processes=N, how many there are.')
    if processes is None and not _launched():
      return
    given = {}
  else:
    if lacks := [name for name, value in given.items() if value is None]:
      raise UserError(f'--processes={processes} needs --{lacks[0]} as well.')
    if not process < processes:
      raise UserError(
        f'--process={process} is not one of --processes={processes}: they are'
        f' numbered from 0 to {processes - 1}.'
      )
    given = dict(
      coordinator_address=coordinator,
      num_processes=processes,
      process_id=process,
      cluster_detection_method='deactivate',
    )
  try:
    # JAX's own end of the wait is an abort with a stack trace.
    with _ending_after(FOUND_WITHIN):
      jax.distributed.initialize(
        **given,
        initialization_timeout=FOUND_WITHIN + 60,
        heartbeat_timeout_seconds=LOST_AFTER,
      )
  except (RuntimeError, ValueError) as error:
    reason = str(error).partition('\n')[0][:200]
    raise UserError(_not_found(f' ({reason})')) from error
  if jax.process_index():
    log.setLevel(logging.WARNING)  # one of them talks
  log.info('%d processes train together.', jax.process_count())


def _not_found(reason: str) -> str:
  return (
    f'The processes did not find each other{reason}: start all of them within'
    f' {FOUND_WITHIN // 60} minutes, each with a --process of its own and the'
    ' same --coordinator=HOST:PORT, a free port of the machine of process 0'
    ' that the others can reach.'
  )


@contextlib.contextmanager
def _ending_after(seconds: float):
  """Ends this process with a sentence if what is done in it takes longer.

  It is to be started again: who has no machine yet may have one later.
  """

  def end():
    print(f'gan_jax: {_not_found("")}', file=sys.stderr, flush=True)
    os._exit(STOPPED)  # the main thread is in C++

  timer = threading.Timer(seconds, end)
  timer.daemon = True
  timer.start()
  try:
    yield
  finally:
    timer.cancel()


def several() -> bool:
  """Whether there are other processes."""
  return jax.process_count() > 1


def leads() -> bool:
  """Whether this is the process that writes and talks."""
  return jax.process_index() == 0


def meet(name: str) -> None:
  """Waits until all processes have come here.

  Args:
    name: of the place, the same for all.
  """
  if several():
    multihost_utils.sync_global_devices(name)


def of_leader(values):
  """Process 0's values, for all.

  Args:
    values: a number or an array, of the same shape everywhere.
  """
  if several():
    return multihost_utils.broadcast_one_to_all(np.asarray(values))
  return values


def gather(value) -> list:
  """What every process gives, in their order, for all.

  Args:
    value: whatever can be pickled, up to 2 GB.
  """
  if not several():
    return [value]
  mine = np.frombuffer(pickle.dumps(value), np.uint8)
  sizes = multihost_utils.process_allgather(np.int32(len(mine)))
  # Few sizes, since each is a program of its own.
  padded = np.zeros(1 << int(max(sizes) - 1).bit_length(), np.uint8)
  padded[: len(mine)] = mine
  rows = multihost_utils.process_allgather(padded)
  found = zip(rows, sizes, strict=True)
  return [pickle.loads(row[:size].tobytes()) for row, size in found]


def shared(work: Callable, parts: Iterable) -> Iterator:
  """`map`, of which each process does its share and has all of what comes out.

  Args:
    work: on a part; the same on every process.
    parts: little things that say what to work on, the same on every process.

  Raises:
    Exception: what the work raises on any of them, on all of them.
  """
  if not several():
    yield from map(work, parts)
    return
  me, parts = jax.process_index(), iter(parts)
  while turn := list(itertools.islice(parts, jax.process_count())):
    mine = _tried(work, turn[me]) if me < len(turn) else None
    for found, error in gather(mine)[: len(turn)]:
      if error:
        raise error
      yield found


def _tried(work: Callable, part) -> tuple:
  """What work gives, or else what it raises: the others wait for either."""
  try:
    return work(part), None
  except Exception as error:  # raised by all, see `shared`
    return None, error


class Agreement:
  """Ends the loop of all processes at the same step.

  A signal reaches each process by itself, or only one of them. So they ask
  each other every few steps, about every two seconds: how many steps that is
  they agree on as well, by the slowest.
  """

  def __init__(self):
    self._next = 0  # step of the next agreement
    self._last = None  # (step, time) of the last one
    self._stop = None

  def stop(self, step: int, signal: str | None) -> str | None:
    """What to end for after a step, or None.

    Args:
      step: that all have taken.
      signal: what has come to this process, such as 'SIGTERM', or None.
    """
    if step < self._next:
      return self._stop
    now = time.monotonic()
    before, then = self._last or (step, now)
    pace = (now - then) / max(step - before, 1)
    mine = np.array([signal is not None, pace], np.float32)
    came, paces = multihost_utils.process_allgather(mine).T
    if came.any():
      self._stop = signal or f'A signal to process {int(came.argmax())}'
    self._last = step, now
    slowest = float(paces.max())
    wait = int(_EVERY / slowest) if slowest else 1
    self._next = step + min(max(wait, 1), _MOST)
    return self._stop
