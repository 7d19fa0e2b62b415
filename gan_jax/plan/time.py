"""How long a run will take on the devices at hand, by a few steps of it."""

import math
from collections.abc import Callable, Sequence

from gan_jax.engine import PATIENCE, Engine, Turn, peak_bytes
from gan_jax.run.progress import device_memory_gb, spoken


def step_times(
  costs: Sequence[float], measure: Callable[[int], float]
) -> list[float]:
  """Seconds that a step of each stage takes.

  They are measured from the cheapest stage on. Where one would take longer than
  `PATIENCE` by the rate of the one before, or cannot be measured, it and those
  above are told by that rate (as benchmarks/growth.py does).

  Args:
    costs: operations of a step, by stage.
    measure: the place of a stage -> seconds; nan if it cannot be.

  Returns:
    By stage; nan if none could be measured.
  """
  found, each, measuring = {}, math.nan, True  # each: seconds an operation
  for i in sorted(range(len(costs)), key=costs.__getitem__):
    measuring = measuring and not costs[i] * each > PATIENCE
    seconds = measure(i) if measuring else math.nan
    measuring = not math.isnan(seconds)
    if measuring:
      each = seconds / costs[i]
    found[i] = costs[i] * each
  return [found[i] for i in range(len(costs))]


def line(engine: Engine, begins: Sequence[int], turns: Sequence[Turn]) -> str:
  """What a run will take here, for people.

  Args:
    engine: a planned one.
    begins: the first step of each stage.
    turns: of each stage.
  """

  def measure(i: int) -> float:
    there = device_memory_gb()
    if there and peak_bytes(turns[i].compiled) / 1e9 > there:
      return math.nan
    return engine.seconds_of(turns[i], begins[i])

  counts = [turn.compiled.cost_analysis() or {} for turn in turns]
  each = step_times([count.get('flops') or 1.0 for count in counts], measure)
  ends = [*begins[1:], engine.total]
  total = sum(
    (end - begin) * seconds
    for begin, end, seconds in zip(begins, ends, each, strict=True)
  )
  if math.isnan(total):
    return 'Time        not known: a step takes more memory than there is'
  of_step = ' to '.join(f'{t:.2g}' for t in sorted({min(each), max(each)}))
  return (
    f'Time        about {of_step} s a step here, {spoken(total)} in all; grids,'
    ' scores and checkpoints come on top'
  )
