"""The engine: stages, where it goes on, what it costs."""

import logging
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import engine as engine_lib
from gan_jax import experiment as experiment_lib
from gan_jax.data import open_source
from gan_jax.engine import Engine
from gan_jax.mesh import one_device
from gan_jax.schemes.growth import Growth
from tests import small
from tests.networks import progan_run_test


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


# A run that grows: 4 px for 2 steps, 8 px, 16 px; see progan_run_test.


@pytest.fixture(name='growing', scope='module')
def _growing():
  """Its parts, and the states and metrics after each of its 10 steps."""
  config = progan_run_test.config(
    growth=dict(start=4, stable_images=8, fade_images=24),
    train=dict(steps=10),
  )
  source = open_source(config.data)
  made = experiment_lib.build(config, source.shape, 0)
  parts = config, made, source, one_device()
  return parts, steps(Engine(*parts), 10)


def steps(engine, until, state=None, begin=0):
  """What the steps from `begin` on give, by their number."""
  engine.enter(begin)
  state, found = state or engine.first(), {}
  engine.taken = begin
  for k in range(begin, until):
    state, metrics = engine.step(state)
    found[k + 1] = jax.tree.map(jnp.copy, (state, metrics))
  engine.close()
  return found


def test_who_compiles_a_stage_changes_no_bit(growing, monkeypatch):
  """Ahead in a thread, or when the run comes to it."""
  parts, found = growing
  monkeypatch.setattr(Engine, '_look_ahead', lambda self: None)
  here = steps(Engine(*parts), 10)
  assert all(small.identical(here[k], found[k]) for k in found)


@pytest.mark.slow
def test_later_stages_are_compiled_by_threads(growing, monkeypatch):
  """The next and the largest at once; none that the run does not come to."""
  parts, _ = growing
  compiled, ready = [], Engine.ready

  def spy(self, step):
    compiled.append((step, threading.current_thread().name))
    return ready(self, step)

  monkeypatch.setattr(Engine, 'ready', spy)
  steps(Engine(*parts), 10)
  by_main = [k for k, name in compiled if name.startswith('MainThread')]
  assert by_main == [0]
  assert sorted(k for k, _ in compiled) == [0, 2, 6]
  compiled.clear()
  config = parts[0].copy_and_resolve_references().unlock()
  config.train.steps = 5
  steps(Engine(config, *parts[1:]), 5)
  assert sorted(k for k, _ in compiled) == [0, 2]


def test_a_fault_ahead_ends_the_run_where_it_counts(growing, monkeypatch):
  """Not in a thread that nobody listens to, and not before."""
  parts, _ = growing
  ready = Engine.ready

  def broken(self, step):
    if step == 2:
      raise OSError('no room')
    return ready(self, step)

  monkeypatch.setattr(Engine, 'ready', broken)
  engine = Engine(*parts)
  engine.enter(0)
  state = engine.first()
  for _ in range(2):
    state, _ = engine.step(state)
  with pytest.raises(OSError, match='no room'):
    engine.step(state)
  engine.close()


def test_an_end_waits_for_no_stage_that_nobody_needs(growing, monkeypatch):
  """What has not begun to compile is dropped; no thread is left."""
  parts, _ = growing
  monkeypatch.setattr(engine_lib, 'tell_memory', lambda turn: time.sleep(0.1))
  engine = Engine(*parts)
  engine.enter(0)
  engine.step(engine.first())
  engine.close()
  names = [t.name for t in threading.enumerate() if t.name.startswith('comp')]
  assert not names


def test_optimisers_begin_anew_at_each_stretch(growing):
  """Adam's count says when: at steps 2, 4, 6 and 8 it begins at 0 again."""
  _, found = growing

  def count(state):
    leaves = jax.tree.leaves(state.pair.g.opt)
    return {int(x) for x in leaves if x.dtype == jnp.int32}

  assert [count(found[k][0]) for k in range(1, 11)] == [{1}, {2}] * 5


def test_what_a_stage_will_take_is_told(growing, monkeypatch, caplog):
  parts, _ = growing
  engine = Engine(*parts)
  turn = engine.ready(0)
  engine.close()
  assert engine_lib.peak_bytes(turn.compiled) > 10_000
  with caplog.at_level(logging.INFO, 'gan_jax'):
    engine_lib.tell_memory(turn)
  assert 'Steps of 4 px will take' in caplog.text
  assert 'will not fit' not in caplog.text
  monkeypatch.setattr(engine_lib, 'device_memory_gb', lambda: 1e-6)
  with caplog.at_level(logging.INFO, 'gan_jax'):
    engine_lib.tell_memory(turn)
  assert 'the stage of 4 px will not fit' in caplog.text
  alone = turn._replace(stage=turn.stage._replace(resolution=0))
  with caplog.at_level(logging.INFO, 'gan_jax'):
    engine_lib.tell_memory(alone)
  assert 'A step takes 0.0' in caplog.text
  assert 'a step will not fit. Stop the run, and begin one' in caplog.text
  assert 'growth' not in caplog.messages[-1]


def test_a_step_is_measured_on_a_state_of_its_own(growing):
  parts, _ = growing
  engine = Engine(*parts)
  turn, calls = engine.ready(0), []

  def compiled(state, *args):
    calls.append(int(state.step))
    return turn.compiled(state, *args)

  seconds = engine.seconds_of(turn._replace(compiled=compiled), 0)
  engine.close()
  assert calls == [0, 1, 2, 3] and 0 < seconds < 10 and engine.taken == 0


def test_a_table_on_the_devices_is_there_once(growing):
  """Stages share it, however many there are."""
  parts, _ = growing
  engine = Engine(*parts)
  engine.enter(0)
  first = engine.turn.feed.table
  later = engine.ready(6).feed.table
  engine.close()
  assert first['image'] is later['image']
  assert np.asarray(first['image']).dtype == np.uint8
