"""What a config will cost, without running it."""

import functools
import math
from collections.abc import Callable, Sequence

import jax
from clu import parameter_overview

from gan_jax import experiment as experiment_lib
from gan_jax import few_shot
from gan_jax.data import open_source, tfds
from gan_jax.data.levels import PlannedLevel
from gan_jax.engine import PATIENCE, Engine, peak_bytes
from gan_jax.mesh import make_mesh
from gan_jax.restore import like
from gan_jax.run.progress import device_memory_gb, spoken
from gan_jax.schemes import ensemble
from gan_jax.validate import validate


def size(tree) -> int:
  """Bytes of all arrays of a tree; abstract ones count as real."""
  return sum(
    x.size * x.dtype.itemsize
    for x in jax.tree.leaves(tree)
    if not jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
  )


def human(count: float, unit: str) -> str:
  """1.23 GFLOP, 45.6 MB, ..."""
  for factor, prefix in ((1e12, 'T'), (1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
    if count >= factor:
      return f'{count / factor:.3g} {prefix}{unit}'
  return f'{count:.0f} {unit}'


def plan(config) -> str:
  """A report on parameters, batch, cost of a step, time, and checkpoints.

  FLOPs, bytes and memory are the compiler's own count of the compiled step on
  the devices at hand, one device's share. A few steps are taken for the time.

  Args:
    config: as a config file's `get_config` gives it.

  Raises:
    UserError: for whatever the user can put right.
  """
  validate(config)
  config = few_shot.settled(config)
  mesh = make_mesh(config.mesh, ensemble.parts(config.ensemble))
  source, found = _open(config.data)
  experiment = experiment_lib.build(config, source.shape, len(source.classes))
  engine = Engine(config, experiment, source, mesh, PlannedLevel)
  begins = experiment.growth.first_steps(0, engine.total)
  turns = [engine.ready(step) for step in begins]
  engine.close()
  state = like(experiment, mesh)
  parts = [
    found,
    _networks(state, experiment_lib.constants_like(experiment)),
    _batch(turns[-1], engine, mesh, source),
  ]
  if config.growth.start:
    parts.append(_stages(experiment.growth, engine, begins, turns))
  largest = max((turn.compiled for turn in turns), key=peak_bytes)
  cost = f'{_cost(largest, state)}\n{_time(engine, begins, turns)}'
  return '\n\n'.join([*parts, cost])


def _open(section):
  """The run's data, or a stand-in where opening them means a download.

  Returns:
    A source of the right shape, and what to say about it.
  """
  kind, _, name = section.source.partition(':')
  if kind != 'tfds' or tfds.is_prepared(name, section.data_dir):
    source = open_source(section)
    return source, source.report
  stand_in = section.copy_and_resolve_references()
  with stand_in.unlocked():
    stand_in.source = 'digits'
  return open_source(stand_in), (
    f'{section.source} is not prepared here: the digits stand in for it, in'
    f' its size; the passes below are over them, and so are the 10 classes.'
  )


def _networks(state, constants) -> str:
  """Parameter tables of the networks."""
  g, d = state.pair.g, state.pair.d
  networks = {'Generator': g.params} if g else {}
  networks['Discriminator'] = d.params
  for name, variables in constants.items():
    networks[name.capitalize()] = variables['params']
  table = functools.partial(
    parameter_overview.get_parameter_overview, include_stats=False
  )
  return '\n\n'.join(f'{name}\n{table(p)}' for name, p in networks.items())


def _batch(turn, engine, mesh, source) -> str:
  """How the data go through a step, of the last stage if there are several."""
  parts = mesh.shape['data']
  epoch, draws, batch = len(source), turn.stage.draws, turn.stage.batch
  steps = engine.total
  images = engine.images(steps)
  where = 'on the device' if turn.feed.table else 'streamed from the host'
  real = f'{batch}' if draws == 1 else f'{draws} x {batch}'
  shared = ''
  if parts > 1:
    shared = f', {batch // parts} of each {batch} on each of {parts} devices'
  return '\n'.join(
    [
      f'Batch       {real} real images a step{shared}; the data are {where}',
      f'Run         {steps:,} steps = {images:,} images ='
      f' {images / epoch:.1f} passes over {epoch:,}',
      f'Devices     {mesh.size} x {mesh.devices.flat[0].device_kind}, data'
      f' {parts} x pair {mesh.shape["pair"]}',
    ]
  )


def _stages(growth, engine, begins, turns) -> str:
  """A table of the stages of a run that grows."""
  rows = [
    'Stage            images       steps   batch      rate'
    '       FLOP a step   memory'
  ]
  ends = [*begins[1:], engine.total]
  for begin, end, turn in zip(begins, ends, turns, strict=True):
    stage = turn.stage
    cost = turn.compiled.cost_analysis() or {}
    images = growth.images(end) - growth.images(begin)
    rows.append(
      f'{stage.resolution:5} px{images:15,}{end - begin:12,}{stage.batch:8}'
      f'{stage.lr or "as set":>10}{human(cost.get("flops", 0), ""):>18}'
      f'{human(peak_bytes(turn.compiled), "B"):>9}'
    )
  return '\n'.join(rows)


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


def _time(engine, begins, turns) -> str:
  """What a run will take here, by a few steps of it."""

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


def _cost(compiled, state) -> str:
  """The compiled step's cost, and the checkpoints'."""
  cost = compiled.cost_analysis() or {}
  lines = [
    f'Step        {human(cost.get("flops", 0), "FLOP")},'
    f' {human(cost.get("bytes accessed", 0), "B")} read and written',
  ]
  memory = compiled.memory_analysis()
  if memory:
    lines.append(
      f'Memory      {human(peak_bytes(compiled), "B")} at the peak of a step,'
      f' {human(memory.temp_size_in_bytes, "B")} of it intermediate values'
    )
  lines.append(f'Checkpoint  {human(size(state), "B")} each, uncompressed')
  return '\n'.join(lines)
