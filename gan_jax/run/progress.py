"""The clock, the progress line and the signals of a run."""

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable

import jax

from gan_jax import hosts


class Clock:
  """Speed and remaining time, with pauses (grids, checkpoints) left out.

  Args:
    total: steps of the whole run.
    images: steps taken -> real images shown.
  """

  def __init__(self, total: int, images: Callable[[int], int]):
    self.total = total
    self._images = images
    self._last = None  # (step, time) of the last log point
    self._paused = 0.0

  @contextlib.contextmanager
  def pause(self):
    """What runs inside does not count as training time."""
    start = time.monotonic()
    yield
    self._paused += time.monotonic() - start

  def lap(self, step: int) -> float:
    """Images a second since the last call; 0.0 at the first one.

    The first lap begins after the first call, so that compilation, which
    happens once, does not count.
    """
    now = time.monotonic()
    speed = 0.0
    if self._last and step > self._last[0]:
      images = self._images(step) - self._images(self._last[0])
      seconds = max(now - self._last[1] - self._paused, 1e-9)
      speed = images / seconds
    self._last, self._paused = (step, now), 0.0
    return speed

  def remaining(self, step: int, speed: float) -> str:
    """Time to the end at this speed, such as '2h05m', or '?'."""
    return spoken(self.seconds(step, self.total, speed)) if speed else '?'

  def seconds(self, step: int, until: int, speed: float) -> float:
    """From one step to another, at a speed above 0."""
    return (self._images(until) - self._images(step)) / speed


def spoken(seconds: float) -> str:
  """A time as people say it, such as '2h05m' or '3m20s'."""
  minutes, seconds = divmod(int(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  if hours:
    return f'{hours}h{minutes:02d}m'
  return f'{minutes}m{seconds:02d}s'


def memory_gb() -> float:
  """Peak memory in GB: of the first device, or of the process on a CPU."""
  stats = jax.local_devices()[0].memory_stats()
  if stats and 'peak_bytes_in_use' in stats:
    return stats['peak_bytes_in_use'] / 1e9
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak * (1 if sys.platform == 'darwin' else 1024) / 1e9


def device_memory_gb() -> float:
  """Memory of the first device in GB, or of the machine on a CPU; 0: unknown.

  Of a machine that is shared out in parts (cgroup), its own part is not known.
  """
  stats = jax.local_devices()[0].memory_stats()
  if stats and 'bytes_limit' in stats:
    return stats['bytes_limit'] / 1e9
  try:
    return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9
  except (AttributeError, OSError, ValueError):
    return 0.0


def short(count: float) -> str:
  """A count as people say it: 950, 12.8k, 1.20M."""
  for size, unit in ((1e6, 'M'), (1e3, 'k')):
    if count >= size:
      return f'{count / size:.2f}{unit}'
  return f'{count:.0f}'


class StopSignals:
  """Turns SIGTERM and Ctrl-C into a request to stop after this step.

  For the loop alone, where there is something to save before the program ends:
  outside of it a signal ends the program at once. Without
  `jax.distributed.initialize` Orbax does not watch for preemption, so the loop
  asks here at every step boundary. A second Ctrl-C raises KeyboardInterrupt.
  Of several processes all stop at the same step, see `hosts.Agreement`.

  Attributes:
    received: name of the signal that has come to this process, or None.
  """

  def __init__(self):
    self.received: str | None = None
    self._agreement = hosts.Agreement()
    self._at_once = False
    self._old = {}

  def __enter__(self):
    for number in (signal.SIGTERM, signal.SIGINT):
      self._old[number] = signal.signal(number, self._receive)
    return self

  def stop(self, step: int) -> str | None:
    """What to stop for after a step, in words, or None."""
    if hosts.several():
      return self._agreement.stop(step, self.received)
    return self.received

  @contextlib.contextmanager
  def cut_short(self):
    """A signal ends the block where it is; the loop goes on behind it.

    For what is made up for by the next start if it is missing, and may take as
    long as a cluster leaves a program that it has told to end. Not of several
    processes: the others would wait in the block.
    """
    self._at_once = not hosts.several()
    try:
      yield
    except KeyboardInterrupt:
      if self.received is None:
        raise  # not of ours
    finally:
      self._at_once = False

  def _receive(self, number, frame):
    del frame
    again = self.received and number == signal.SIGINT
    # Noted even so: an exception can get lost in a library's callback.
    self.received = signal.Signals(number).name
    if again or self._at_once:
      self._at_once = False
      raise KeyboardInterrupt

  def __exit__(self, *error):
    for number, handler in self._old.items():
      signal.signal(number, handler)
