"""A plan in words: networks, stages, what a step costs, the verdict."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from clu import parameter_overview

from gan_jax import experiment as experiment_lib
from gan_jax.data.pipeline import fits
from gan_jax.data.source import Source
from gan_jax.engine import Engine
from gan_jax.errors import UserError
from gan_jax.mesh import check_batch
from gan_jax.plan.chips import GIB, Chip
from gan_jax.plan.costs import Cost, Roofline, roofline, share
from gan_jax.restore import like
from gan_jax.run.progress import spoken
from gan_jax.state import Stage
from gan_jax.validate import validate, validate_batch

WASTE = 0.25  # of padding, from where it is worth a word
LANES = 128
_ROUGHLY = ' (--effort=low: a run takes less memory and traffic as a rule)'
_PLAYERS = ('generator', 'discriminator')


class Run(NamedTuple):
  """What is planned.

  Attributes:
    config: settled.
    experiment: what it means.
    engine: a planned one.
    mesh: the devices.
    source: the data, or what stands in for them.
    chip: what the devices are; None where nothing is published.
    memory: bytes that a device has; 0.0: not known.
    where: the topology, or what is at hand.
    effort: of a TPU's compiler, 'full' or 'low'.
  """

  config: Any
  experiment: experiment_lib.Experiment
  engine: Engine
  mesh: Any
  source: Source
  chip: Chip | None
  memory: float
  where: str
  effort: str

  @property
  def begins(self) -> list[int]:
    """The first step of each stage."""
    return self.experiment.growth.first_steps(0, self.engine.total)

  @property
  def ends(self) -> list[int]:
    """The step after the last of each stage."""
    return [*self.begins[1:], self.engine.total]

  def steps(self, stage: int) -> int:
    """Of a stage, by its place."""
    return self.ends[stage] - self.begins[stage]


def human(count: float, unit: str) -> str:
  """1.23 GFLOP, 45.6 MB, ..."""
  for factor, prefix in ((1e12, 'T'), (1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
    if count >= factor:
      return f'{count / factor:.3g} {prefix}{unit}'
  return f'{count:.0f} {unit}'


def gib(count: float) -> str:
  """Bytes as memory is sold: 15.7 GiB, 0.02 GiB."""
  return f'{count / GIB:.3g} GiB' if count >= GIB / 100 else human(count, 'B')


def report(run: Run, costs: Sequence[Cost], timed: str, misfit: str) -> str:
  """The whole of it, the verdict last.

  Args:
    run: see there.
    costs: by stage; of those that were compiled.
    timed: what was measured, or ''.
    misfit: see `misfit`.
  """
  parts = [run.source.report, _networks(run), _batch(run)]
  if run.config.growth.start and costs:
    parts.append(_stages(run, costs))
  if costs:
    largest = max(range(len(costs)), key=lambda i: costs[i].peak)
    parts.append('\n'.join(_cost(run, costs, largest)))
  last = [timed, _verdict(run, costs, misfit)]
  return '\n\n'.join([*parts, '\n'.join(filter(None, last))])


def networks(run: Run) -> dict[str, Any]:
  """Parameters of the networks by name, without their values."""
  state = like(run.experiment, run.mesh)
  g, d = state.pair.g, state.pair.d
  found = {'Generator': g.params} if g else {}
  found['Discriminator'] = d.params
  constants = experiment_lib.constants_like(run.experiment)
  for name, variables in constants.items():
    found[name.capitalize()] = variables['params']
  return found


def _networks(run: Run) -> str:
  """Parameter tables of the networks."""
  table = functools.partial(
    parameter_overview.get_parameter_overview, include_stats=False
  )
  return '\n\n'.join(
    f'{name}\n{table(params)}' for name, params in networks(run).items()
  )


def _batch(run: Run) -> str:
  """How the data go through a step, of the last stage if there are several."""
  mesh, epoch, steps = run.mesh, len(run.source), run.engine.total
  stage = run.experiment.growth.stage(run.begins[-1])
  parts, images = mesh.shape['data'], run.engine.images(steps)
  resident = fits(run.source, run.config.data.device_budget_mb)
  where = 'on the device' if resident else 'streamed from the host'
  real = '' if stage.draws == 1 else f'{stage.draws} x '
  shared = ''
  if parts > 1:
    shared = (
      f', {stage.batch // parts} of each {stage.batch} on each of {parts}'
      ' devices'
    )
  return '\n'.join(
    [
      f'Batch       {real}{stage.batch} real images a step{shared}; the data'
      f' are {where}',
      f'Run         {steps:,} steps = {images:,} images ='
      f' {images / epoch:.1f} passes over {epoch:,}',
      f'Devices     {mesh.size} x {mesh.devices.flat[0].device_kind}, data'
      f' {parts} x pair {mesh.shape["pair"]}',
    ]
  )


def _stages(run: Run, costs: Sequence[Cost]) -> str:
  """A table of the stages of a run that grows."""
  rows = [
    'Stage            images       steps   batch      rate'
    '       FLOP a step     memory  collectives'
    + ('  roofline' if run.chip else '')
  ]
  growth = run.experiment.growth
  for i, cost in enumerate(costs):
    stage = cost.stage
    images = growth.images(run.ends[i]) - growth.images(run.begins[i])
    passed = sum(total.bytes for total in cost.collectives.values())
    row = (
      f'{stage.resolution:5} px{images:15,}{run.steps(i):12,}{stage.batch:8}'
      f'{stage.lr or "as set":>10}{human(cost.flops, ""):>18}'
      f'{gib(cost.peak):>11}{human(passed, "B"):>13}'
    )
    if run.chip:
      row += f'{1e3 * roofline(cost, run.chip).seconds:7.3g} ms'
    rows.append(row)
  return '\n'.join(rows)


def _cost(run: Run, costs: Sequence[Cost], largest: int) -> list[str]:
  """The cost of the step that takes the most memory, and the checkpoints'."""
  cost = costs[largest]
  side = cost.stage.resolution
  rest = max(0, cost.arguments - cost.state - cost.table)
  there = f' of {gib(run.memory)}' if run.memory else ''
  lines = [
    f'Each of {run.mesh.size} devices, by its compiler'
    + (f', at {side} px' if side else '')
    + (_ROUGHLY if run.effort == 'low' else '')
    + ':',
    f'Step        {human(cost.flops, "FLOP")},'
    f' {human(cost.traffic, "B")} read and written{_loops(cost)}',
    f'Memory      {gib(cost.peak)}{there} at the peak of a step: state'
    f' {gib(cost.state)}, data {gib(cost.table)}, other arguments {gib(rest)},'
    f' intermediate values {gib(cost.temporaries)}, output beside the state'
    f' {gib(max(0, cost.output - cost.aliased))}',
    f'Collectives {passed(cost)}',
  ]
  if cost.padding:
    lines.append(_padding(run, cost))
  if run.chip:
    lines += _roofline(run, costs, roofline(cost, run.chip), cost.stage)
  whole = _size(like(run.experiment, run.mesh))
  lines.append(f'Checkpoint  {human(whole, "B")} each, uncompressed')
  return lines


def _loops(cost: Cost) -> str:
  if not cost.loops:
    return ''
  return f', one round of each of {cost.loops} loops counted'


def passed(cost: Cost) -> str:
  """'18 all-reduce of 45 MB, 2 all-gather of 1 kB', or 'none'."""
  words = [
    f'{total.count} {kind} of {human(total.bytes, "B")}'
    for kind, total in cost.collectives.items()
  ]
  return ', '.join(words) or 'none'


def _padding(run: Run, cost: Cost) -> str:
  """How much of the lanes is filled, and which minibatch fills them."""
  parts, batch = run.mesh.shape['data'], cost.stage.batch
  line = (
    f'Padding     {cost.padding:.0%} of what convolutions give fills up tiles'
  )
  if cost.padding < WASTE or batch // parts >= LANES:
    return line
  setting = 'growth.batch' if cost.stage.resolution else 'train.batch'
  return (
    f'{line}: maps of few channels leave lanes empty; {LANES} images on each'
    f' device would fill them (config.{setting} = {LANES * parts:,}, or fewer'
    ' devices)'
  )


def _roofline(
  run: Run, costs: Sequence[Cost], least: Roofline, stage: Stage
) -> list[str]:
  """The estimate, for a step and for the run where all of it was counted."""
  if any(cost.loops for cost in costs):
    return [
      f'Roofline    estimate: more than {1e3 * least.seconds:.3g} ms a step:'
      ' one round of each loop is counted'
    ]
  total = sum(
    run.steps(i) * roofline(cost, run.chip).seconds
    for i, cost in enumerate(costs)
  )
  rate = stage.images / least.seconds if least.seconds else 0.0
  pair = ' of each pair' if run.config.ensemble.pairs else ''
  bound = 'at least' if run.effort == 'full' else 'or less'
  return [
    f'Roofline    estimate: {1e3 * least.seconds:.3g} ms a step {bound}, by'
    f' {least.of}; {least.share:.0%} of the peak of a {run.chip.name};'
    f' {rate:,.0f} real images/s{pair} on all; {spoken(total)} for the run'
  ]


def _size(tree) -> int:
  """Bytes of all arrays of a tree, wherever they lie."""
  return sum(
    x.size * x.dtype.itemsize
    for x in jax.tree.leaves(tree)
    if not jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
  )


def _verdict(run: Run, costs: Sequence[Cost], misfit: str) -> str:
  if misfit:
    return 'Fits        no'
  if not run.memory:
    return 'Fits        not known: the devices do not say what memory they have'
  most = max(cost.peak for cost in costs)
  return (
    f'Fits        {gib(most)} of {gib(run.memory)} on each of {run.mesh.size}'
    f' {run.chip.name if run.chip else "devices"}; sampling and evaluation take'
    ' turns with steps'
  )


def _works_in_parts(run: Run, stage: Stage, count: int) -> bool:
  """Whether a run's minibatch may be worked through in so many parts."""
  config = run.config.copy_and_resolve_references()
  config.train.accumulate = count
  try:
    validate(config)
    check_batch(run.mesh, stage.batch, count)
    validate_batch(run.experiment.objective.discriminator, stage.batch, count)
  except UserError:
    return False
  return True


def _set_to(run: Run, player: str, key: str):
  """A setting of a network; None if the network has no such thing."""
  module = getattr(run.experiment.objective, player, None)
  return getattr(module, key, None)


def misfit(run: Run, stage: Stage, need: float, there: float) -> str:
  """Why a step does not fit, and what to change.

  Args:
    run: see there.
    stage: of the step.
    need: bytes on each device, as the compiler has them.
    there: bytes that a device has for programs.
  """
  parts, of = run.mesh.shape['data'], stage.batch
  resident = 0
  if fits(run.source, run.config.data.device_budget_mb):
    resident = run.source.nbytes()
  fixed = share(like(run.experiment, run.mesh)) + resident
  room = max(0.0, there - fixed) / max(need - fixed, 1.0)
  fewer = int(of / parts * room)
  advice = []
  if fewer:
    fewer = parts * 2 ** (fewer.bit_length() - 1)
    setting = f'config.train.batch={fewer}'
    if stage.resolution:
      setting = f'{stage.resolution}:{fewer} in config.growth.batch'
    advice.append(f'a smaller minibatch ({setting})')
    if _works_in_parts(run, stage, turns := -(-of // fewer)):
      advice.append(f'it in parts (config.train.accumulate={turns})')
  if of > parts:
    advice.append('more chips to share it')
  if resident > there / 4:
    advice.append('data that stream (config.data.device_budget_mb=0)')
  for key, unset, value in (
    ('bfloat16_from', 0, 16),
    ('remat', 'none', 'blocks'),
  ):
    players = [p for p in _PLAYERS if _set_to(run, p, key) == unset]
    if players:
      advice.append(' and '.join(f'config.{p}.{key}={value}' for p in players))
  advice.append('smaller networks, or a smaller config.data.resolution')
  exact = lambda count: f'{count / GIB:,.2f} GiB'  # it may be close
  at = f' of {stage.resolution} px' if stage.resolution else ''
  roughly = ''
  if run.effort == 'low':
    roughly = ', maybe less by --effort=full'
  return (
    f'A step{at} does not fit: it takes {exact(need)} on each device'
    f' ({run.where}{roughly}), which has {exact(there)}.'
    f' Take {", or ".join(advice)}.'
  )
