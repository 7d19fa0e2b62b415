"""Optimisers, and the constraint that follows an update."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.settings import Setting
from gan_jax.state import Player

RULES = {
  'adam': lambda c, lr: optax.adam(lr, b1=c.b1, b2=c.b2, eps=c.eps),
  'rmsprop': lambda c, lr: optax.rmsprop(lr, decay=c.b2, eps=c.eps),
  'sgd': lambda c, lr: optax.sgd(lr, momentum=c.b1 or None),
}

SETTINGS = {  # of either player
  'name': Setting('adam', 'the update rule', choices=RULES),
  'lr': Setting(2e-4, 'learning rate', low=0.0),
  'b1': Setting(
    0.5,
    'momentum: memory of the gradients',
    low=0.0,
    below=1.0,
    when={'name': ('adam', 'sgd')},
  ),
  'b2': Setting(
    0.999,
    'memory of their squares',
    low=0.0,
    below=1.0,
    when={'name': ('adam', 'rmsprop')},
  ),
  'eps': Setting(
    1e-8,
    'what keeps the division by their root finite',
    above=0.0,
    when={'name': ('adam', 'rmsprop')},
  ),
  'weight_decay': Setting(
    0.0, 'L2: this share of the weights is added to the gradient', low=0.0
  ),
  'decay': Setting(
    0.1,
    'factor on the rate after each number of images in decay_at',
    low=0.0,
    high=1.0,
    when={'decay_at': True},
  ),
  'decay_at': Setting(
    (),
    'numbers of images after which the rate falls, such as 1000000,2000000',
    entry=int,
    low=1,
  ),
}
CLIP = {
  'limit': Setting(
    0.0, 'every weight of D stays in [-limit, limit]; 0.0: no clipping', low=0.0
  ),
}


class Optimizer(NamedTuple):
  """An update rule for one player.

  Attributes:
    rule: the optax transformation.
    constrain: maps updated parameters to admissible ones.
  """

  rule: optax.GradientTransformation
  constrain: Callable = lambda params: params

  def init(self, params):
    """The optimiser state for fresh parameters."""
    return self.rule.init(params)

  def update(self, player: Player, gradient, stats) -> Player:
    """The player after one update; `stats` replace the player's own."""
    updates, opt = self.rule.update(gradient, player.opt, player.params)
    params = self.constrain(optax.apply_updates(player.params, updates))
    return Player(params, stats, opt)


class Optimizers(NamedTuple):
  """The update rules of a pair."""

  g: Optimizer
  d: Optimizer


def clip_weights(params, limit: float):
  """Every parameter into [-limit, limit] (Arjovsky et al. 2017, Alg. 1).

  The released code clips the parameters of norm layers too, as this does.
  """
  return jax.tree.map(lambda x: jnp.clip(x, -limit, limit), params)


def learning_rate(section, images: int):
  """A player's learning rate: a number, or a function of its updates.

  Args:
    section: `config.optimizer.generator` or `.discriminator`. After each of
      the numbers of real images in `decay_at` the rate is `decay` times what
      it was.
    images: real images that one update of the player takes.
  """
  if not section.decay_at:
    return section.lr
  updates = [math.ceil(at / images) for at in section.decay_at]
  return optax.piecewise_constant_schedule(
    section.lr, dict.fromkeys(updates, section.decay)
  )


def build(config) -> Optimizers:
  """The update rules that a validated config describes."""

  def rule(section, images):
    made = RULES[section.name](section, learning_rate(section, images))
    if not section.weight_decay:
      return made
    # L2, as in PyTorch's SGD and Adam: added to the gradient.
    return optax.chain(optax.add_decayed_weights(section.weight_decay), made)

  limit = config.penalties.clip.limit
  clip = (lambda params: clip_weights(params, limit)) if limit else None
  generator, discriminator = (
    config.optimizer.generator,
    config.optimizer.discriminator,
  )
  batch = config.train.batch
  return Optimizers(
    g=Optimizer(rule(generator, batch * config.scheme.d_steps)),
    d=Optimizer(rule(discriminator, batch), *([clip] if clip else [])),
  )
