"""Update rules against their formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax import optimizer
from gan_jax.errors import UserError
from gan_jax.state import Player
from gan_jax.validate import validate
from tests import small


def rules(d_steps=1, **player):
  """Both players under one rule; the batch is 8."""
  both = dict(generator=player, discriminator=player)
  return optimizer.build(
    small.config(optimizer=both, scheme=dict(d_steps=d_steps))
  )


def path(rule, gradients):
  """The parameter after each update, from 1.0."""
  params = {'w': jnp.ones(())}
  player = Player(params, {}, rule.init(params))
  for gradient in gradients:
    player = rule.update(player, {'w': jnp.float32(gradient)}, {})
    yield float(player.params['w'])


def test_the_learning_rate_decays_at_numbers_of_images():
  at = dict(name='sgd', lr=1.0, b1=0.0, decay=0.5, decay_at=(16, 40))
  both = rules(d_steps=2, **at)
  # D sees 8 images an update: full steps until 16, half until 40.
  moves = -np.diff([1.0, *path(both.d, [1.0] * 7)])
  np.testing.assert_allclose(moves, [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25])
  # G moves once for every 16 images.
  moves = -np.diff([1.0, *path(both.g, [1.0] * 4)])
  np.testing.assert_allclose(moves, [1, 0.5, 0.5, 0.25])


def test_weight_decay_is_l2():
  rule = rules(name='sgd', lr=0.1, b1=0.0, weight_decay=0.5).d
  (after,) = path(rule, [0.25])
  assert after == pytest.approx(1.0 - 0.1 * (0.25 + 0.5 * 1.0))


def test_without_decay_the_state_is_the_plain_rules():
  params = {'w': jnp.ones(3)}
  plain = rules(name='adam').d.init(params)
  decayed = rules(name='adam', decay_at=(8,)).d.init(params)
  leaves = lambda tree: len(jax.tree.leaves(tree))
  assert leaves(plain) == 3 and leaves(decayed) == 4  # count, mu, nu (+ count)


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
