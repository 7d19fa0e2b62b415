"""One pair's step on several devices: each has its share of the work."""

import jax
import numpy as np
import pytest

from gan_jax import experiment
from gan_jax.data import open_source
from gan_jax.mesh import make_mesh, one_device
from tests import small


def on_mesh(config, mesh):
  """A step of a config on a mesh, compiled, and what it gives."""
  source = open_source(config.data)
  made = experiment.build(config, source.shape, 0)
  (span,), (stage,), _ = made.growth
  feed = experiment.make_feed(config, stage, source, mesh)
  arguments = (
    experiment.initial_state(made, 0, mesh),
    {},
    feed.table,
    next(feed.batches(0)),
    jax.tree.map(np.int32, span),
  )
  step = experiment.compile_step(made, stage, feed.decode, mesh)
  quick = {'xla_backend_optimization_level': 0}
  compiled = step.lower(*arguments).compile(compiler_options=quick)
  return compiled, compiled(*arguments)


@pytest.mark.parametrize(
  'scheme',
  [
    'two_stage',
    pytest.param('one_stage', marks=pytest.mark.slow),
    pytest.param('simultaneous', marks=pytest.mark.slow),
  ],
)
def test_fakes_are_made_and_judged_where_their_share_lies(scheme):
  """The compiler's count of one device's operations: an eighth, and updates."""
  sgd = dict(name='sgd', lr=0.05, b1=0.0)
  config = small.config(
    scheme=dict(name=scheme), optimizer=dict(generator=sgd, discriminator=sgd)
  ).unlock()
  config.train.batch = 512
  many, found = on_mesh(config, make_mesh(config.mesh))
  alone, wanted = on_mesh(config, one_device())
  flops = [step.cost_analysis()['flops'] for step in (many, alone)]
  assert flops[0] < flops[1] / 6
  np.testing.assert_allclose(
    small.flat(found), small.flat(wanted), rtol=1e-4, atol=1e-6
  )
