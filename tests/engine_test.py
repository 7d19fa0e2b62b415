"""The engine: stages, where it goes on, what it costs."""

import jax
import pytest

from gan_jax import experiment as experiment_lib
from gan_jax.data import open_source
from gan_jax.engine import Engine
from gan_jax.mesh import one_device
from gan_jax.schemes.growth import Growth
from tests import small


@pytest.fixture(name='parts', scope='module')
def _parts():
  config = small.config()
  source = open_source(config.data)
  made = experiment_lib.build(config, source.shape, len(source.classes))
  return config, made, source, one_device()


def run(engine, steps):
  state = engine.first()
  for _ in range(steps):
    state, metrics = engine.step(state)
  engine.close()
  return state, metrics


def test_a_stage_is_entered_when_the_steps_say_so(parts, monkeypatch):
  """Two stages that are alike: two feeds, two programs, and the same run."""
  built = []
  make_feed = experiment_lib.make_feed
  monkeypatch.setattr(
    experiment_lib,
    'make_feed',
    lambda *args: built.append(engine) or make_feed(*args),
  )
  states = []
  config, made, source, mesh = parts
  (span,), (stage,), _ = made.growth
  # Alike but for the resolution, which points do not have.
  later = span._replace(
    first_step=2, first_image=2 * stage.images, first_sample=2 * stage.batch
  )
  two = Growth((span, later), (stage, stage._replace(resolution=8)), False)
  for growth in (made.growth, two):
    engine = Engine(config, made._replace(growth=growth), source, mesh)
    engine.enter(0)
    assert built.pop() is engine and not built
    states.append(run(engine, 4)[0])
    assert len(built) == len(growth.spans) - 1
    assert int(states[-1].step) == 4
    built.clear()
  assert small.identical(*states)


def test_a_step_takes_the_state_it_is_given(parts):
  engine = Engine(*parts)
  before = engine.first()
  after, metrics = engine.step(before)
  assert all(x.is_deleted() for x in jax.tree.leaves(before.pair))
  assert int(after.step) == 1 and float(metrics['d_loss']) > 0
  engine.close()


def test_images_are_those_of_one_pair(parts):
  engine = Engine(*parts)
  assert [engine.images(step) for step in (0, 3)] == [0, 3 * small.N]
  engine.enter(0)
  assert engine.turn.stage.draws == 1
  engine.close()
