"""What a config will cost, without running it."""

import functools

import jax
from clu import parameter_overview

from gan_jax import experiment as experiment_lib
from gan_jax import few_shot
from gan_jax.data import open_source, tfds
from gan_jax.data.levels import PlannedLevel
from gan_jax.engine import Engine, peak_bytes
from gan_jax.mesh import make_mesh
from gan_jax.restore import like
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
  """A report on parameters, batch, cost of a step, and checkpoints.

  FLOPs, bytes and memory are the compiler's own count of the compiled step on
  the devices at hand, one device's share.

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
  return '\n\n'.join([*parts, _cost(largest, state)])


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
