"""The optimisers' moments, a share of them on each device (ZeRO stage 1)."""

import jax
import numpy as np
import pytest

from gan_jax import experiment, restore
from gan_jax.data import open_source
from gan_jax.mesh import make_mesh, one_device
from gan_jax.plan import hlo
from gan_jax.run.checkpoints import Checkpoints
from gan_jax.schemes import ensemble
from tests import small

STEPS = 3


def config(shard_optimizer, pairs=0, **scheme):
  """Adam on MLPs of which some arrays divide over devices and some do not."""
  c = small.config(scheme=scheme).unlock()
  c.mesh.shard_optimizer = shard_optimizer
  c.generator.width, c.discriminator.width = 64, 32
  c.ensemble.pairs = pairs
  return c.lock()


def compiled(c, mesh):
  """A compiled step, and what it takes."""
  source = open_source(c.data)
  made = experiment.build(c, source.shape, 0)
  (span,), (stage,), _ = made.growth
  feed = experiment.make_feed(c, stage, source, mesh)
  state = experiment.initial_state(made, 0, mesh)
  raw = next(feed.batches(0))
  arguments = state, {}, feed.table, raw, jax.tree.map(np.int32, span)
  step = experiment.compile_step(made, stage, feed.decode, mesh)
  return step.lower(*arguments).compile(), *arguments


def moments(state):
  """The optimisers' arrays with at least one axis of their own."""
  pair, locals_ = state.pair, state.local_pairs
  found = [(x, 0) for x in jax.tree.leaves((pair.g.opt, pair.d.opt))]
  if locals_:
    both = locals_.g.opt, locals_.d.opt
    found += [(x, 1) for x in jax.tree.leaves(both)]
  return [(x, first) for x, first in found if x.ndim > first]


@pytest.mark.parametrize(
  'pairs', [0, pytest.param(2, marks=pytest.mark.release)]
)
def test_shares_give_the_same_numbers_in_less_memory(pairs):
  mesh = make_mesh(config(True).mesh, pairs or 1)
  parts = 8 // (pairs or 1)
  assert mesh.shape['data'] == parts
  runs = {}
  for switch in (False, True):
    c = config(switch, pairs, d_steps=2)
    assert ensemble.parts(c.ensemble) == (pairs or 1)
    step, state, *rest = compiled(c, mesh)
    for _ in range(STEPS):
      state, metrics = step(state, *rest)
    memory = step.memory_analysis().argument_size_in_bytes
    runs[switch] = step.as_text(), memory, state, metrics
  for a, b in zip(runs[True][2:], runs[False][2:], strict=True):
    np.testing.assert_allclose(
      small.flat(a), small.flat(b), rtol=1e-6, atol=1e-6
    )

  cut = saved = 0
  for x, first in moments(runs[True][2]):
    here = x.sharding.shard_shape(x.shape)
    divides = [n for n in x.shape[first:] if n % parts == 0]
    lost = [
      (n, k)
      for n, k in zip(x.shape[first:], here[first:], strict=True)
      if n != k
    ]
    # Along the largest axis that divides, and no other.
    assert (
      lost == [(max(divides), max(divides) // parts)] if divides else not lost
    )
    cut += bool(lost)
    mine = x.size // (pairs if first else 1)
    saved += 4 * (mine - mine // parts) if lost else 0
  assert cut > 8
  rest = runs[True][2].replace(pair=None, local_pairs=None)
  for x in jax.tree.leaves(rest):
    assert x.sharding.is_fully_replicated
  assert runs[False][1] - runs[True][1] == pytest.approx(saved, rel=0.01)

  # Gradients are summed as before, and updates gathered: nothing else moves.
  passed = {switch: hlo.collectives(run[0]) for switch, run in runs.items()}
  assert set(passed[False]) == {'all-reduce'}
  assert set(passed[True]) == {'all-reduce', 'all-gather'}
  sums = [passed[switch]['all-reduce'].bytes for switch in (True, False)]
  assert sums[0] <= sums[1]
  # Each of a step's updates of G and of D, once.
  last = runs[True][2].pair
  g, d = (len(small.flat(x.params)) for x in (last.g, last.d))
  most = 2 * g + 5 * d if pairs else g + 2 * d
  assert passed[True]['all-gather'].bytes / 4 <= most


@pytest.mark.release
def test_a_checkpoint_is_read_with_or_without_and_on_any_devices(tmp_path):
  every = make_mesh(config(True).mesh)
  step, state, *rest = compiled(config(True), every)
  state, _ = step(state, *rest)
  saved = Checkpoints(tmp_path)
  saved.save(1, state)
  saved.close()
  for switch in (True, False):
    made = experiment.build(config(switch), small.SHAPE, 0)
    for mesh in (every, one_device()):
      like = restore.like(made, mesh)
      reader = Checkpoints(tmp_path)
      _, found = reader.restore(like)
      reader.close()
      assert small.identical(found, state)
      for x, y in zip(
        jax.tree.leaves(found), jax.tree.leaves(like), strict=True
      ):
        assert x.sharding.is_equivalent_to(y.sharding, x.ndim)
