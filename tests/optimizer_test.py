"""Update rules against their formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

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


@pytest.mark.parametrize('name', ['adam', 'rmsprop', 'sgd'])
def test_updates_are_those_of_optaxs_own_rule_to_the_bit(name):
  plain = dict(
    adam=optax.adam(0.1, 0.5, 0.999),
    rmsprop=optax.rmsprop(0.1, 0.999),
    sgd=optax.sgd(0.1, momentum=0.5),
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
