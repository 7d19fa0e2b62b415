"""What a compiled step costs one device, by its compiler and by its text."""

import math
from typing import NamedTuple

import jax

from gan_jax.engine import Turn, peak_bytes
from gan_jax.plan import hlo
from gan_jax.plan.chips import Chip
from gan_jax.plan.traffic import traffic
from gan_jax.state import Stage


class Cost(NamedTuple):
  """One device's share of a step; bytes, if nothing else is said.

  Attributes:
    stage: of the step.
    state: parameters, optimisers, averages.
    table: of the data that lie on it.
    arguments: all, with the padding of tiles.
    output: the next state, and metrics.
    aliased: of the output, what takes the place of arguments.
    temporaries: intermediate values.
    flops: operations, without what padding adds.
    traffic: read from and written to its memory, with padding.
    collectives: by kind, see `hlo.collectives`.
    loops: see `hlo.loops`.
    padding: see `hlo.padding`.
  """

  stage: Stage
  state: int
  table: int
  arguments: int
  output: int
  aliased: int
  temporaries: int
  flops: float
  traffic: float
  collectives: dict[str, hlo.Total]
  loops: int
  padding: float

  @property
  def peak(self) -> int:
    """What a step takes at its peak."""
    return self.arguments + self.output - self.aliased + self.temporaries


class Roofline(NamedTuple):
  """The least time that a chip's published peaks allow.

  Attributes:
    seconds: a step.
    of: 'FLOPs' or 'bytes': which of the two takes longer.
    share: of the peak FLOPs, at most 1.
  """

  seconds: float
  of: str
  share: float


def roofline(cost: Cost, chip: Chip) -> Roofline:
  """The longer of computing at the peak rate and of moving at the peak rate.

  An estimate from below: collectives, waiting and padded operations come on top
  (bytes have their padding).
  """
  computing, moving = cost.flops / chip.flops, cost.traffic / chip.bandwidth
  seconds = max(computing, moving)
  of = 'FLOPs' if computing >= moving else 'bytes'
  return Roofline(seconds, of, computing / seconds if seconds else 0.0)


def cost_of(turn: Turn, state) -> Cost:
  """The cost of a compiled step.

  Args:
    turn: of the stage.
    state: shapes, types and places of the run's state.
  """
  counts = turn.compiled.cost_analysis() or {}
  memory = turn.compiled.memory_analysis()
  text = turn.compiled.as_text() or ''
  of = lambda name: getattr(memory, f'{name}_size_in_bytes', 0) or 0
  cost = Cost(
    turn.stage,
    share(state),
    share(turn.feed.table),
    of('argument'),
    of('output'),
    of('alias'),
    of('temp'),
    counts.get('flops', 0.0),
    traffic(text),
    hlo.collectives(text),
    hlo.loops(text),
    hlo.padding(text),
  )
  assert cost.peak == peak_bytes(turn.compiled)
  return cost


def share(tree) -> int:
  """Bytes of a device's part of the arrays of a tree, abstract ones too."""
  return sum(
    math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize
    for x in jax.tree.leaves(tree)
    if not jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
  )
