"""Gradient accumulation: the same update, by less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import experiment
from gan_jax.errors import UserError
from gan_jax.mesh import check_batch, make_mesh, one_device
from gan_jax.nn.norm import BatchNorm
from gan_jax.plan import hlo
from gan_jax.schemes import accumulation
from gan_jax.state import Span
from gan_jax.validate import validate
from tests import small
from tests.schemes.devices_test import on_mesh

QUICK = {'xla_backend_optimization_level': 0}
SGD = dict(name='sgd', lr=0.05, b1=0.0)
N = 16


def config(accumulate=1, **sections):
  c = small.config(
    optimizer=dict(generator=SGD, discriminator=SGD), **sections
  ).unlock()
  c.train.update(accumulate=accumulate, batch=N)
  validate(c)
  return c.lock()


def stepped(c, shape=small.SHAPE):
  """The state after a step on normal samples, and its metrics."""
  made = experiment.build(c, shape, 3)
  stage = made.growth.stages[0]
  state = jax.jit(made.init, compiler_options=QUICK)(jax.random.key(0))
  step = jax.jit(made.make_step(stage), compiler_options=QUICK)
  return step(state, {}, small.batch(stage.draws, N, shape=shape), Span())


WITH = [
  dict(scheme=dict(name='one_stage'), loss=dict(name='least_squares')),
  dict(scheme=dict(d_steps=2)),
  dict(scheme=dict(name='one_stage'), loss=dict(name='minimax')),
  dict(scheme=dict(name='simultaneous')),
  dict(penalties=dict(r1=dict(weight=2.0, phase='after'))),
  dict(ensemble=dict(pairs=2)),
  dict(ensemble=dict(pairs=2, real='shared', noise='shared')),
  dict(ensemble=dict(pairs=2, g_updates='each', memory=0.9)),
  dict(ensemble=dict(pairs=2, reduce='sum'), scheme=dict(name='one_stage')),
]


@pytest.mark.parametrize(
  'sections',
  [WITH[0], *(pytest.param(s, marks=pytest.mark.release) for s in WITH[1:])],
  ids=str,
)
def test_parts_move_players_as_the_whole_minibatch_does(sections):
  """Where each sample is judged by itself."""
  whole, on_whole = stepped(config(1, **sections))
  start = jax.jit(experiment.build(config(), small.SHAPE, 3).init)
  parts, on_parts = stepped(config(4, **sections))
  np.testing.assert_allclose(
    small.flat(parts), small.flat(whole), rtol=1e-4, atol=1e-6
  )
  assert on_parts.keys() == on_whole.keys()
  for name, value in on_whole.items():
    np.testing.assert_allclose(
      on_parts[name], value, rtol=1e-4, atol=1e-5, err_msg=name
    )
  before = start(jax.random.key(0)).pair
  moved = small.flat(before) - small.flat(whole.pair)
  assert np.abs(moved).max() > 1e-3


def test_each_part_has_its_own_key_and_goes_on_with_the_statistics():
  x = jnp.arange(12.0).reshape(6, 2)

  def part(stats, samples, key):
    drawn = jax.random.uniform(key)
    logged = dict(m=drawn, m_min=drawn, m_max=drawn, seen=stats)
    return jnp.sum(samples), stats + samples[0, 0], logged

  gradient, stats, metrics = jax.jit(
    lambda: accumulation.accumulate(
      3, part, jnp.float32(0), jnp.float32(0), x, jax.random.key(0)
    )
  )()
  # Samples 0 and 3, 1 and 4, 2 and 5.
  assert gradient == x.sum() / 3
  assert stats == x[0, 0] + x[1, 0] + x[2, 0]
  assert metrics['seen'] == (0 + 0 + 2) / 3
  assert metrics['m_min'] < metrics['m'] < metrics['m_max']


def test_batch_norm_sees_a_part_after_the_other():
  """Each by its own mean; the running ones move as in so many passes."""
  x = jax.random.normal(jax.random.key(0), (6, 4, 3))
  net = BatchNorm()
  first = net.init(jax.random.key(0), x, train=True)
  params, stats = first['params'], first['batch_stats']

  def part(stats, samples, key):
    def loss(params):
      y, new = net.apply(
        dict(params=params, batch_stats=stats),
        samples,
        train=True,
        mutable=['batch_stats'],
      )
      return jnp.mean(y**3), new['batch_stats']

    gradient, stats = jax.grad(loss, has_aux=True)(params)
    return gradient, stats, {}

  key = jax.random.key(0)
  found, after, _ = accumulation.accumulate(3, part, params, stats, x, key)
  gradients = []
  for i in range(3):
    gradient, stats, _ = part(stats, x[i::3], key)
    gradients.append(gradient)
  wanted = jax.tree.map(lambda *parts: sum(parts) / 3, *gradients)
  for a, b in ((found, wanted), (after, stats)):
    np.testing.assert_allclose(
      small.flat(a), small.flat(b), rtol=1e-5, atol=1e-6
    )


@pytest.mark.release
def test_on_devices_it_is_as_on_one_and_nothing_more_is_exchanged():
  mesh = make_mesh(config().mesh)
  passed = {}
  for accumulate in (1, 2):
    c = config(accumulate, scheme=dict(d_steps=2))
    many, found = on_mesh(c, mesh)
    passed[accumulate] = hlo.collectives(many.as_text())
    _, wanted = on_mesh(c, one_device())
    np.testing.assert_allclose(
      small.flat(found), small.flat(wanted), rtol=1e-4, atol=1e-6
    )
  assert set(passed[1]) == set(passed[2]) == {'all-reduce'}
  whole, parts = (of['all-reduce'] for of in passed.values())
  assert parts.count <= whole.count and parts.bytes <= whole.bytes


@pytest.mark.release
@pytest.mark.parametrize('scheme', ['two_stage', 'one_stage'])
def test_a_step_takes_less_memory(scheme):
  """By the compiler's count: what passes leave is that of a part."""
  wide = dict(name='dcgan', width=32, norm='group')
  taken = {}
  for accumulate in (1, 4):
    c = config(accumulate, scheme=dict(name=scheme)).unlock()
    c.generator = dict(name='mlp', width=8)
    c.discriminator = wide
    c.train.batch = 64
    made = experiment.build(c, (32, 32, 1), 3)
    shapes = jax.eval_shape(made.init, jax.random.key(0))
    stage = made.growth.stages[0]
    batch = small.batch(1, 64, shape=(32, 32, 1))
    step = jax.jit(made.make_step(stage), compiler_options=QUICK)
    compiled = step.lower(shapes, {}, batch, Span()).compile()
    taken[accumulate] = compiled.memory_analysis().temp_size_in_bytes
  assert taken[4] < 0.5 * taken[1], taken


@pytest.mark.parametrize(
  'sections, words',
  [
    (dict(scheme=dict(fakes='shared')), "config.scheme.fakes = 'shared'"),
    (
      dict(tasks=dict(autoencode=dict(weight=1.0, reduction='sum'))),
      "config.tasks.autoencode.reduction = 'sum'",
    ),
  ],
)
def test_what_does_not_fall_into_parts_is_refused(sections, words):
  config(1, **sections)
  with pytest.raises(UserError) as error:
    config(4, **sections)
  assert words in str(error.value) and 'accumulate = 4' in str(error.value)


def test_a_minibatch_that_does_not_fall_into_parts_is_refused():
  with pytest.raises(UserError, match='16 does not fall into .* 5 equal parts'):
    experiment.build(config(5), small.SHAPE, 3)
  with pytest.raises(UserError, match='accumulate = 4 parts: take a multiple'):
    check_batch(make_mesh(config().mesh), 16, 4)
  check_batch(make_mesh(config().mesh), 32, 4)
