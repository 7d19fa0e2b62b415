"""A classifier trained alone, on real samples: no generator, no game."""

import jax

from gan_jax.distill.losses import ClassifierLoss
from gan_jax.errors import UserError
from gan_jax.passes import Round
from gan_jax.schemes import accumulation, joint
from gan_jax.schemes.joint import d_steps, draws
from gan_jax.state import Pair

__all__ = ['check', 'd_steps', 'draws', 'make_step']


def check(settings, loss, discriminator, terms) -> None:
  """Refuses a loss that needs a generator.

  Raises:
    UserError: if the loss is not a classifier's, with data.
  """
  del discriminator, terms
  if not isinstance(loss, ClassifierLoss) or loss.data_free:
    raise UserError(
      "config.scheme.name = 'alone' trains a classifier without a generator:"
      " set config.loss.name = 'cross_entropy' or 'kd', or"
      " config.scheme.name = 'two_stage'."
    )
  joint.check_steps(settings, 'updates a classifier once a step')


def make_step(objective, optimizers, settings, parts: int = 1):
  """A training step of a classifier.

  Args:
    objective: a `Distillation` without a generator.
    optimizers: of which D's is used.
    settings: nothing in them concerns this scheme.
    parts: of a minibatch, see accumulation.py.

  Returns:
    step(pair, batch, at, key, constants) -> (pair, metrics), pure; `pair.g` is
    None.
  """
  del settings

  def step(pair: Pair, batch, at, key, constants):
    now = Round(batch.image[0], batch.label[0], at, key, constants)
    d = pair.d

    def part(stats, now, z):
      gradient, (stats, metrics) = jax.grad(objective.d_loss, has_aux=True)(
        d.params, stats, None, None, now
      )
      return gradient, stats, metrics

    gradient, stats, metrics = accumulation.of_round(
      parts, part, d.params, d.stats, now
    )
    return Pair(None, optimizers.d.update(d, gradient, stats, at)), metrics

  return step
