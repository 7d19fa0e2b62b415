"""Update rules against their formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax import config as config_lib
from gan_jax import optimizer
from gan_jax.errors import UserError
from gan_jax.state import START, Player
from gan_jax.validate import validate
from tests import small


def rules(d_steps=1, **player):
  """Both players under one rule; the batch is 8."""
  both = dict(generator=player, discriminator=player)
  return optimizer.build(
    small.config(optimizer=both, scheme=dict(d_steps=d_steps))
  )


def path(rule, gradients, images=8):
  """The parameter after each update, from 1.0; each takes so many images."""
  params = {'w': jnp.ones(())}
  player = Player(params, {}, rule.init(params))
  for k, gradient in enumerate(gradients):
    at = START.later(k * images)
    player = rule.update(player, {'w': jnp.float32(gradient)}, {}, at)
    yield float(player.params['w'])


def test_the_learning_rate_decays_at_numbers_of_images():
  at = dict(name='sgd', lr=1.0, b1=0.0, decay=0.5, decay_at=(16, 40))
  both = rules(d_steps=2, **at)
  # D sees 8 images an update: full steps until 16, half until 40.
  moves = -np.diff([1.0, *path(both.d, [1.0] * 7)])
  np.testing.assert_allclose(moves, [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25])
  # G moves once for every 16 images.
  moves = -np.diff([1.0, *path(both.g, [1.0] * 4, images=16)])
  np.testing.assert_allclose(moves, [1, 0.5, 0.5, 0.25])


def test_two_points_within_one_update_decay_twice():
  both = rules(name='sgd', lr=1.0, b1=0.0, decay=0.5, decay_at=(9, 12, 12))
  moves = -np.diff([1.0, *path(both.d, [1.0] * 3)])
  np.testing.assert_allclose(moves, [1, 1, 0.125])


def test_weight_decay_is_l2():
  rule = rules(name='sgd', lr=0.1, b1=0.0, weight_decay=0.5).d
  (after,) = path(rule, [0.25])
  assert after == pytest.approx(1.0 - 0.1 * (0.25 + 0.5 * 1.0))


@pytest.mark.parametrize('more', [{}, dict(decay_at=(8,))])
@pytest.mark.parametrize('name', ['adam', 'rmsprop', 'sgd'])
def test_the_state_is_that_of_optaxs_own_rule_with_a_constant_rate(name, more):
  """Older checkpoints have it, and a schedule puts nothing into it."""
  plain = dict(
    adam=optax.adam(0.1, 0.5, 0.999),
    rmsprop=optax.rmsprop(0.1, 0.999),
    sgd=optax.sgd(0.1, momentum=0.5),
  )[name]
  params = {'w': jnp.ones(3)}
  player = dict(name=name, lr=0.1, b1=0.5, b2=0.999, eps=1e-8)
  rule = rules(**player, **more).d
  assert jax.tree.structure(rule.init(params)) == jax.tree.structure(
    plain.init(params)
  )


def by_formula(name, gradients, lr, b1, b2, eps, weight_decay=0.0, limit=0.0):
  """The parameter after each update, from 1.0, in float64."""
  w, m, v, path = 1.0, 0.0, 0.0, []
  for t, gradient in enumerate(gradients, 1):
    g = float(np.float32(gradient)) + weight_decay * w
    if name == 'adam':  # Kingma and Ba 2015, Algorithm 1
      m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
      step = m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)
    elif name == 'rmsprop':  # Hinton's lecture 6e; PyTorch's place of eps
      v = b2 * v + (1 - b2) * g * g
      step = g / (np.sqrt(v) + eps)
    else:  # sgd with Polyak's momentum, as PyTorch writes it
      step = m = b1 * m + g
    w -= lr * step
    w = np.clip(w, -limit, limit) if limit else w
    path.append(w)
  return np.array(path)


# Both sides of eps, and of what float32 can square.
SIZES = (1.0, 1e-3, 1e-6, 1e-8, 1e-12, 1e-25, 0.0, 1e4)


@pytest.mark.parametrize('weight_decay, limit', [(0, 0), (0.3, 0), (0, 0.9)])
@pytest.mark.parametrize('b1', [0.0, 0.5])
@pytest.mark.parametrize('eps', [1e-8, 1e-3])
@pytest.mark.parametrize('name', optimizer.RULES)
def test_every_rule_is_its_formula(name, eps, b1, weight_decay, limit):
  constants = dict(lr=0.1, b1=b1, b2=0.99, eps=eps, weight_decay=weight_decay)
  config = small.config(penalties=dict(clip=dict(limit=limit)))
  config.optimizer.discriminator.update(name=name, **constants)
  rule = optimizer.build(config).d
  signs = np.random.default_rng(0).normal(size=6)
  gradients = np.float32([size * signs for size in SIZES])  # [sizes, steps]
  params = {'w': jnp.ones(len(SIZES))}
  player = Player(params, {}, rule.init(params))
  update = jax.jit(lambda player, g: rule.update(player, {'w': g}, {}, START))
  found = []
  for gradient in gradients.T:
    player = update(player, gradient)
    found.append(np.asarray(player.params['w']))
  for k, column in enumerate(np.transpose(found)):
    wanted = by_formula(name, gradients[k], limit=limit, **constants)
    np.testing.assert_allclose(
      column, wanted, rtol=3e-5, atol=3e-6, err_msg=f'|g| = {SIZES[k]}'
    )


def test_a_small_gradient_takes_the_step_of_the_papers_rmsprop():
  """g / (sqrt(0.01 g^2) + eps) = 10: an eps inside the root makes it 0.01."""
  rule = rules(name='rmsprop', lr=1e-3, b2=0.99, eps=1e-8).d
  (after,) = path(rule, [1e-6])
  assert 1 - after == pytest.approx(1e-3 * 1e-6 / (1e-7 + 1e-8), rel=1e-3)


@pytest.mark.parametrize('name', ['adam', 'sgd'])
def test_updates_are_those_of_optaxs_own_rule_to_the_bit(name):
  plain = dict(
    adam=optax.adam(0.1, 0.5, 0.999), sgd=optax.sgd(0.1, momentum=0.5)
  )[name]
  gradients = np.random.default_rng(0).normal(size=20).astype(np.float32)
  player = dict(name=name, lr=0.1, b1=0.5, b2=0.999, eps=1e-8)
  params = {'w': jnp.ones(())}
  opt, wanted = plain.init(params), []
  for gradient in gradients:
    moves, opt = plain.update({'w': gradient}, opt)
    params = optax.apply_updates(params, moves)
    wanted.append(float(params['w']))
  assert list(path(rules(**player).d, gradients)) == wanted


@pytest.mark.parametrize('bad', [(0,), ('soon',), (-5, 10)])
def test_decay_at_must_be_numbers_of_images(bad):
  config = small.config(optimizer=dict(generator=dict(decay_at=bad)))
  with pytest.raises(UserError, match='numbers of images'):
    validate(config)


def test_decay_at_from_the_command_line():
  spec = 'configs/quickstart.py:test'
  setting = ('optimizer.generator.decay_at', '100,200')
  config = config_lib.load(spec, [setting])
  assert config.optimizer.generator.decay_at == (100, 200)


def test_the_rate_rises_over_a_number_of_images():
  up = dict(name='sgd', lr=0.5, b1=0.0, ramp_up=32)
  moves = -np.diff([1.0, *path(rules(**up).d, [1.0] * 7)])
  np.testing.assert_allclose(moves, [0, 1 / 8, 1 / 4, 3 / 8, 0.5, 0.5, 0.5])
  # Together with a decay: each is a factor of its own.
  both = rules(**up, decay=0.5, decay_at=(16, 40)).d
  moves = -np.diff([1.0, *path(both, [1.0] * 6)])
  np.testing.assert_allclose(moves, [0, 1 / 8, 1 / 8, 3 / 16, 1 / 4, 1 / 8])
  validate(small.config(optimizer=dict(generator=dict(ramp_up=40_000))))


@settings(max_examples=50, deadline=None)
@given(
  ramp_up=st.integers(0, 2**31 - 1),
  images=st.integers(0, 2**31 - 1),
  lr=st.floats(2**-20, 1, width=32),
)
def test_the_rising_rate_is_its_formula_at_every_count(ramp_up, images, lr):
  section = small.config().optimizer.generator
  section.update(lr=lr, ramp_up=ramp_up)
  found = optimizer.learning_rate(section)(jnp.int32(images))
  wanted = lr * (min(1.0, images / ramp_up) if ramp_up else 1.0)
  np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_stages_own_rate_replaces_both_players():
  config = small.config(
    optimizer=dict(
      generator=dict(name='sgd', lr=0.5, b1=0.0),
      discriminator=dict(name='sgd', lr=0.25, b1=0.0, ramp_up=16),
    )
  )
  steps = lambda rule: -np.diff([1.0, *path(rule, [1.0] * 3)])
  own, stage = optimizer.build(config), optimizer.build(config, lr=0.125)
  np.testing.assert_allclose(steps(own.g), [0.5] * 3)
  np.testing.assert_allclose(steps(own.d), [0, 0.125, 0.25])
  np.testing.assert_allclose(steps(stage.g), [0.125] * 3)
  np.testing.assert_allclose(steps(stage.d), [0, 0.0625, 0.125])
