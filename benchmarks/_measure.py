"""What benchmarks of steps have in common: time, memory, the device."""

import os
import statistics
import time


def peak_mb():
  """Peak resident memory; ru_maxrss would count the parent's, before exec."""
  with open('/proc/self/status') as status:
    line = next(row for row in status if row.startswith('VmHWM'))
  return int(line.split()[1]) / 1024


def interleaved(steps, rounds, inner):
  """Median seconds of a step of each function, called in turns."""
  times = [[] for _ in steps]
  for step in steps:
    step()
  for _ in range(rounds):
    for step, seconds in zip(steps, times, strict=True):
      start = time.perf_counter()
      for _ in range(inner):
        step()
      seconds.append((time.perf_counter() - start) / inner)
      time.sleep(0.2)  # PyTorch's threads spin for a while
  return [statistics.median(seconds) for seconds in times]


def device():
  """The name of what all of this runs on."""
  import jax

  if jax.default_backend() != 'cpu':
    return jax.devices()[0].device_kind
  with open('/proc/cpuinfo') as info:
    names = [row for row in info if row.startswith('model name')]
  return f'{names[0].partition(": ")[2].strip()}, {os.cpu_count()} cores'
