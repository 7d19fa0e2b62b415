"""Optimisers, and the constraint that follows an update."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.mesh import gather, share_out
from gan_jax.settings import INT32, Setting
from gan_jax.state import At, Player
from gan_jax.terms import TERMS, keep_idle, lazy, network_only, of


def _adam(c) -> optax.GradientTransformation:
  """Adam (Kingma and Ba 2015), of rate 1.

  XLA turns 0.5 mean + 0.5 gradient into half of a sum, which it then takes
  twice, for the new mean and for the new weights: of every kernel's mean it
  keeps a copy in memory through the whole step. So it must not see the 0.5.
  Without momentum the mean is the gradient itself and is not kept: as much
  memory as the parameters take.
  """
  if not c.b1:
    rule = optax.scale_by_rms(
      c.b2, c.eps, eps_in_sqrt=False, bias_correction=True
    )
    return optax.chain(rule, optax.scale(-1.0))
  rule = functools.partial(optax.scale_by_adam, b2=c.b2, eps=c.eps)

  def update(gradient, state, params=None):
    b1 = jax.lax.optimization_barrier(jnp.float32(0.5))
    exact = rule(b1=b1 if c.b1 == 0.5 else c.b1)
    return exact.update(gradient, state, params)

  adam = optax.GradientTransformation(rule(b1=c.b1).init, update)
  return optax.chain(adam, optax.scale(-1.0))


# Rules of rate 1: the rate is a function of images, outside their state.
RULES = {
  'adam': _adam,
  'rmsprop': lambda c: optax.chain(
    # Outside of the root, as Hinton and PyTorch have it: inside, optax's
    # default, an eps of 1e-8 would act as one of 1e-4.
    optax.scale_by_rms(decay=c.b2, eps=c.eps, eps_in_sqrt=False),
    optax.scale(-1.0),
    optax.identity(),
  ),
  'sgd': lambda c: optax.chain(
    optax.trace(decay=c.b1) if c.b1 else optax.identity(), optax.scale(-1.0)
  ),
}

SETTINGS = {  # of either player
  'name': Setting('adam', 'the update rule', choices=RULES),
  'lr': Setting(2e-4, 'learning rate', low=0.0),
  'ramp_up': Setting(
    0,
    'images over which the rate rises from 0 to lr; 0: lr from the start',
    low=0,
    high=INT32,
  ),
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
    'added to their root, so that the division by it stays finite',
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
    rule: the optax transformation, of learning rate 1.
    rate: images shown before an update -> its learning rate.
    constrain: maps a network's updated parameters to admissible ones.
    main: names of the terms whose own parameters move with the main loss.
    shared: whether devices along `data` have a share of its state each.
  """

  rule: optax.GradientTransformation
  rate: Callable
  constrain: Callable = lambda params: params
  main: frozenset[str] = frozenset()
  shared: bool = False

  def init(self, params):
    """The optimiser state for fresh parameters."""
    return self.rule.init(params)

  def update(
    self, player: Player, gradient, stats, at: At, term: str = ''
  ) -> Player:
    """The player after one update.

    Args:
      player: before it.
      gradient: of all its parameters.
      stats: replace the player's own.
      at: the time of the update.
      term: the term that this update is of, if it is not the main loss's.
    """
    if self.shared:
      # Summed first, then cut: passes stay as they are, and an all-reduce of
      # which only a share is looked at is a reduce-scatter.
      gradient = share_out(gather(gradient))
    moves, opt = self.rule.update(gradient, player.opt, player.params)
    rate = self.rate(at.images)
    moves = jax.tree.map(lambda x: rate * x, moves)
    if self.shared:
      moves = gather(share_out(moves))
    params = optax.apply_updates(player.params, moves)
    own = {name: x for name, x in params.items() if name == TERMS}
    params = self.constrain(network_only(params)) | own
    active = frozenset([term]) if term else self.main
    params, opt = keep_idle((params, opt), (player.params, player.opt), active)
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


def learning_rate(
  section, lr: float = 0.0, correction: float = 1.0
) -> Callable:
  """A player's learning rate as a function of the images shown before.

  Args:
    section: `config.optimizer.generator` or `.discriminator`. Over the first
      `ramp_up` images the rate rises linearly from 0, as in ProGAN's released
      code; the paper does not mention it. From each of the numbers of real
      images in `decay_at` on, it is `decay` times what it was.
    lr: a stage's own rate; 0.0: the section's.
    correction: a factor on the rate.
  """

  def rate(images):
    value = jnp.float32((lr or section.lr) * correction)
    if section.ramp_up:
      # A minimum of whole numbers: float32 stops counting at 2^24.
      shown = jnp.minimum(images, section.ramp_up).astype(jnp.float32)
      value *= shown / jnp.float32(section.ramp_up)
    for point in section.decay_at:
      value = jnp.where(images >= point, section.decay * value, value)
    return value

  return rate


def build(config, terms=None, lr: float = 0.0) -> Optimizers:
  """The update rules that a validated config describes.

  Args:
    config: of the whole run.
    terms: of both players, by name.
    lr: the rate of both players at a stage that has its own; 0.0: each
      section's.

  Raises:
    UserError: see `terms.lazy`.
  """
  terms = terms or {}

  def optimizer(section, player, constrain=lambda params: params):
    # StyleGAN2, appendix B: a term with an update of its own every k steps
    # makes k + 1 updates of k; Adam keeps its memory in steps all the same.
    k = lazy(terms, player)
    correct = section.name == 'adam' and of(terms, player, 'after')
    share = k / (k + 1) if correct else 1.0
    section = section.copy_and_resolve_references()
    with section.unlocked():
      section.update(b1=section.b1**share, b2=section.b2**share)
    rule = RULES[section.name](section)
    if section.weight_decay:
      # L2, as in PyTorch's SGD and Adam: added to the gradient.
      decayed = optax.add_decayed_weights(section.weight_decay)
      rule = optax.chain(decayed, rule)
    return Optimizer(
      rule,
      learning_rate(section, lr, share),
      constrain,
      frozenset(of(terms, player, 'with')),
      config.mesh.shard_optimizer,
    )

  limit = config.penalties.clip.limit
  clip = [lambda params: clip_weights(params, limit)] if limit else []
  return Optimizers(
    g=optimizer(config.optimizer.generator, 'g'),
    d=optimizer(config.optimizer.discriminator, 'd', *clip),
  )
