"""Optimisers, and the constraint that follows an update."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.state import Player

RULES = {
  'adam': lambda c: optax.adam(c.lr, b1=c.b1, b2=c.b2, eps=c.eps),
  'rmsprop': lambda c: optax.rmsprop(c.lr, decay=c.b2, eps=c.eps),
  'sgd': lambda c: optax.sgd(c.lr, momentum=c.b1 or None),
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


def build(config) -> Optimizers:
  """The update rules that a validated config describes."""
  rule = lambda section: RULES[section.name](section)
  limit = config.penalties.clip.limit
  clip = (lambda params: clip_weights(params, limit)) if limit else None
  return Optimizers(
    g=Optimizer(rule(config.optimizer.generator)),
    d=Optimizer(
      rule(config.optimizer.discriminator), *([clip] if clip else [])
    ),
  )
