"""What a config will cost, without running it.

chips.py has what is published of TPU chips, and slices of a pod to compile for;
costs.py what a compiled step costs, and its roofline; hlo.py reads a compiled
step's text, traffic.py what passes between memory and chip; stand_in.py takes
the place of data that are not here; time.py measures a few steps; words.py puts
it all into words.
"""

import re
from typing import NamedTuple

import jax

from gan_jax import compiler, few_shot
from gan_jax import experiment as experiment_lib
from gan_jax.data import open_source
from gan_jax.data.source import Source
from gan_jax.engine import Engine
from gan_jax.errors import UserError
from gan_jax.mesh import make_mesh
from gan_jax.plan import chips, stand_in, time, words
from gan_jax.plan.costs import Cost, cost_of
from gan_jax.restore import like
from gan_jax.run.progress import device_memory_gb
from gan_jax.schemes import ensemble
from gan_jax.validate import validate


class Plan(NamedTuple):
  """What was found.

  Attributes:
    text: the report, the verdict last.
    costs: a device's share of a step, by stage; of those that were compiled.
    misfit: why it does not fit and what to change; '' if it fits.
    mesh: devices along 'data' and 'pair'.
    parameters: of each network.
  """

  text: str
  costs: tuple[Cost, ...]
  misfit: str
  mesh: dict[str, int]
  parameters: dict[str, int]


def plan(
  config,
  topology: str = '',
  source: Source | None = None,
  effort: str = 'full',
) -> Plan:
  """A report on parameters, batch, cost of a step, time, and checkpoints.

  FLOPs, bytes and memory are the compiler's own count of the compiled step, one
  device's share.

  Args:
    config: as a config file's `get_config` gives it.
    topology: a slice of a TPU pod to compile for, such as 'v5e:4x4'; '': the
      devices at hand, where a few steps are taken for the time.
    source: in place of the config's data.
    effort: of a TPU's compiler; 'low' takes a part of the time, and says more
      memory and traffic than a run takes.

  Raises:
    UserError: for whatever the user can put right, but for a step that does
      not fit.
  """
  validate(config)
  devices = chips.devices_of(topology) if topology else jax.devices()
  config = few_shot.settled(config, device='tpu' if topology else '')
  mesh = make_mesh(config.mesh, ensemble.parts(config.ensemble), devices)
  source = source or stand_in.of_tfds(config.data) or open_source(config.data)
  experiment = experiment_lib.build(config, source.shape, len(source.classes))
  options = compiler.for_estimates() if effort == 'low' else None
  engine = Engine(config, experiment, source, mesh, True, options)
  run = _run(config, experiment, engine, mesh, source, topology, effort)
  turns, misfit = _compiled(run)
  engine.close()
  state = like(experiment, mesh)
  costs = tuple(cost_of(turn, state) for turn in turns)
  misfit = misfit or _misfit(run, costs)
  timed = ''
  if not topology:
    timed = time.line(engine, run.begins, turns)
  return Plan(
    words.report(run, costs, timed, misfit),
    costs,
    misfit,
    dict(mesh.shape),
    {
      name: sum(x.size for x in jax.tree.leaves(params))
      for name, params in words.networks(run).items()
    },
  )


def _run(
  config, experiment, engine, mesh, source, topology: str, effort: str
) -> words.Run:
  device = mesh.devices.flat[0]
  chip = chips.chip_of(device)
  memory = chip.memory if chip else device_memory_gb() * 1e9
  where = topology or device.device_kind
  return words.Run(
    config, experiment, engine, mesh, source, chip, memory, where, effort
  )


def _compiled(run: words.Run):
  """The stages' compiled steps; why one of them does not fit, or ''."""
  turns = []
  for step in run.begins:
    try:
      turns.append(run.engine.ready(step))
    except jax.errors.JaxRuntimeError as error:
      need = _OUT_OF_MEMORY.search(str(error))
      if not need:
        raise
      pairs = need.group(1, 2), need.group(3, 4)
      needed, there = (float(number) * _UNITS[unit] for number, unit in pairs)
      stage = run.experiment.growth.stage(step)
      return turns, words.misfit(run, stage, needed, there)
  return turns, ''


# Of the TPU's compiler: 'Used 21.28G of 15.75G hbm.'
_OUT_OF_MEMORY = re.compile(r'Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm')
_UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}


def _misfit(run: words.Run, costs) -> str:
  """Why the largest step does not fit, or ''."""
  largest = max(costs, key=lambda cost: cost.peak)
  if not run.memory or largest.peak <= run.memory:
    return ''
  return words.misfit(run, largest.stage, largest.peak, run.memory)


def check(found: Plan) -> None:
  """Raises UserError if a step does not fit."""
  if found.misfit:
    raise UserError(found.misfit)
