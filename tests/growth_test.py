"""Time and growth: three clocks, and a pair that grows from 4 to 8 pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax import experiment
from gan_jax.data import open_source, order
from gan_jax.engine import Engine
from gan_jax.mesh import one_device
from gan_jax.nn.levels import double, faded, reduce_to
from gan_jax.sampler import Sampler
from gan_jax.schemes.growth import Growth, Phase, after
from gan_jax.state import Span, Stage, time_of
from tests import small, tiny

# 4 px for 3 steps of 8 images; 8 px, of 4: fading for 4 steps, then stable.
LOW, HIGH = Stage(4, 8, 1, 8), Stage(8, 4, 1, 4)
GROWN = Growth(
  spans=(
    Span(),
    Span(3, 24, 24, fade_from=24, fade_images=16),
    Span(7, 40, 40),
  ),
  stages=(LOW, HIGH, HIGH),
)
STEPS = 9


@settings(max_examples=200, deadline=None)
@given(
  first=st.integers(0, 2**20),
  image=st.integers(0, 2**30),
  steps=st.integers(0, 2**12),
  batch=st.integers(1, 2**10),
  fade=st.integers(0, 2**22),
)
def test_time_is_counted_exactly(first, image, steps, batch, fade):
  """Beyond 2^24 images too, where float32 stops counting."""
  span = Span(first, image, 0, fade_from=image, fade_images=fade)
  stage = Stage(0, batch, 1, batch)
  at = time_of(jnp.int32(first + steps), jax.tree.map(np.int32, span), stage)
  assert int(at.step) == first + steps
  assert int(at.images) == image + steps * batch
  share = min(steps * batch / fade, 1.0) if fade else 1.0
  assert float(at.alpha) == pytest.approx(share, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(
  st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 9)),
    min_size=1,
    max_size=4,
  )
)
def test_stretches_follow_each_other_on_all_clocks(lengths):
  """No image is counted twice, no sample of the data left out or repeated."""
  spans, stages, begin = [], [], (0, 0, 0)
  for steps, draws, batch in lengths:
    stage = Stage(0, batch, draws, draws * batch)
    spans.append(Span(*begin))
    stages.append(stage)
    used = steps * draws * batch
    begin = begin[0] + steps, begin[1] + used, begin[2] + used
  growth, positions = Growth(tuple(spans), tuple(stages)), []
  for step in range(begin[0]):
    stage = growth.stage(step)
    size = stage.draws * stage.batch
    start = growth.offset(step) + step * size
    assert growth.images(step) == start == int(growth.time(step).images)
    positions += range(start, start + size)
  assert positions == list(range(begin[2]))


def test_without_growth_images_are_steps_times_the_batch():
  growth = after((), (Phase(Stage(0, 64, 5, 320)),), 0)
  assert [growth.images(k) for k in (0, 1, 10**6)] == [0, 320, 320 * 10**6]
  assert not any(growth.begins(k) for k in range(5)) and not growth.offset(7)


@pytest.fixture(name='parts', scope='module')
def _parts():
  c = small.config(
    data=dict(source='digits', resolution=8, channels=1)
  ).unlock()
  c.latent.size = tiny.Z
  c.augment.mirror = True
  source = open_source(c.lock().data)
  some = {k: v for k, v in tiny.terms(False).items() if k != 'lead'}
  made = experiment.assemble(c, tiny.game(some), tiny.SHAPE, GROWN)
  return c, made, source, one_device()


def run(parts, until, state=None, begin=0):
  """The states after each step, by an engine that begins with one of them."""
  engine, states = Engine(*parts), {}
  engine.enter(begin)
  if state is None:
    state = engine.first()
  engine.taken = begin
  for _ in range(begin, until):
    state, _ = engine.step(state)
    states[int(state.step)] = jax.tree.map(jnp.copy, state)
  engine.close()
  return states


@pytest.fixture(name='states', scope='module')
def _states(parts):
  return run(parts, STEPS)


@pytest.mark.parametrize('begin', [2, 3, 5, 7])
def test_a_growing_run_goes_on_bit_for_bit_from_anywhere(parts, states, begin):
  """In a fade, before a change of stage, and at the very step of it."""
  before = jax.tree.map(jnp.copy, states[begin])
  again = run(parts, STEPS, before, begin)
  assert small.identical(again[STEPS], states[STEPS])


def test_levels_learn_when_they_are_passed_through_and_never_change_shape(
  states,
):
  d = {k: state.pair.d.params for k, state in states.items()}
  same = lambda name, a, b: small.identical(d[a][name], d[b][name])
  assert same('from_8', 1, 3) and not same('from_4', 1, 3)
  # At the first step of the fade alpha is 0: nothing comes through yet.
  assert same('from_8', 3, 4) and not same('from_8', 4, 5)
  forms = [jax.tree.structure(state) for state in states.values()]
  assert all(form == forms[0] for form in forms)


def test_optimisers_begin_anew_with_each_stretch(states):
  counts = [int(states[k].pair.g.opt[0].count) for k in range(1, STEPS + 1)]
  # Path length takes an update of its own at steps 0, 4 and 8.
  assert counts == [2, 3, 4, 1, 3, 4, 5, 1, 3]


def test_each_stage_is_given_its_part_of_the_data(parts, monkeypatch):
  """Positions go on where the stage before has stopped."""
  asked = []
  indices = order.indices
  monkeypatch.setattr(
    order,
    'indices',
    lambda seed, at, n: asked.append(at) or indices(seed, at, n),
  )
  run(parts, 4)
  seen = [at.ravel().tolist() for at in asked]
  for k, wanted in enumerate([(0, 8), (8, 16), (16, 24), (24, 28)]):
    assert list(range(*wanted)) in seen, k


def test_g_at_the_ends_of_a_fade_is_the_stage_before_and_the_one_after(states):
  variables = states[5].pair.g.variables
  z = jax.random.normal(jax.random.key(2), (3, tiny.Z))
  make = lambda side, alpha: tiny.Generator(resolution=side).apply(
    variables, z, train=False, alpha=alpha
  )
  np.testing.assert_array_equal(make(8, 0.0), double(make(4, 1.0)))
  halves = make(8, 0.0), make(8, 1.0)
  np.testing.assert_allclose(make(8, 0.5), sum(halves) / 2, atol=1e-6)
  assert np.abs(halves[0] - halves[1]).max() > 1e-3


def test_d_at_the_beginning_of_a_fade_is_the_stage_before(states):
  variables = states[5].pair.d.variables
  x = jax.random.normal(jax.random.key(3), (3, 8, 8, 1))
  judge = lambda x, alpha: tiny.Discriminator(resolution=x.shape[1]).apply(
    variables, x, train=False, alpha=alpha
  )
  small_ = judge(reduce_to(x, 4), 1.0).logits
  np.testing.assert_allclose(judge(x, 0.0).logits, small_, rtol=1e-6)
  assert not np.allclose(judge(x, 1.0).logits, small_)


def test_reals_are_area_averages_and_fade_as_the_fakes_do():
  x = np.random.default_rng(0).normal(size=(2, 3, 8, 8, 1)).astype(np.float32)
  blocks = x.reshape(2, 3, 4, 2, 4, 2, 1)
  np.testing.assert_allclose(
    reduce_to(x, 4), blocks.mean((3, 5)), rtol=1e-5, atol=1e-6
  )
  np.testing.assert_array_equal(faded(jnp.asarray(x), 1.0), x)
  low = np.asarray(faded(jnp.asarray(x), 0.0))
  np.testing.assert_array_equal(low[..., ::2, ::2, :], low[..., 1::2, 1::2, :])


def test_samples_are_those_of_the_checkpoints_stage_and_fade(parts, states):
  config, made, _, _ = parts
  sampler = Sampler(config, made)
  seeds = [3, 1]
  for step, side, alpha in ((2, 4, 1.0), (5, 8, 0.5), (8, 8, 1.0)):
    variables = sampler.variables(states[step])
    got = sampler.at(step)(variables, seeds)
    wanted = tiny.Generator(resolution=side).apply(
      variables, sampler.latents(seeds), train=False, alpha=alpha
    )
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


def test_the_mean_style_is_copied_into_the_average_and_weights_are_mixed(
  states,
):
  state = states[6]
  assert small.identical(
    state.ema.stats['mean_style'], state.pair.g.stats['mean_style']
  )
  assert not small.identical(state.ema.params, state.pair.g.params)


def test_a_changed_batch_counts_on_and_takes_the_next_samples():
  growth = after((), (Phase(Stage(0, 16, 1, 16)),), 0)
  for begin, batch in ((4, 8), (10, 8), (10, 2), (10, 4)):
    past = growth.stretches()
    growth = after(past, (Phase(Stage(0, batch, 1, batch)),), begin)
  assert [row[0] for row in growth.stretches()] == [0, 4, 10]
  assert [growth.images(k) for k in (4, 5, 10, 12)] == [64, 72, 112, 120]
  assert growth.offset(12) + 12 * 4 == 120
  assert not any(growth.begins(k) for k in range(20))  # nothing else changes
