"""Losses and penalties by the names that configs use.

`config.loss.name` chooses one adversarial loss (or one of a classifier, see
gan_jax/distill); every entry of `config.penalties` whose weight is not zero is
added to D's loss.
"""

import dataclasses

from gan_jax import settings
from gan_jax.losses import adversarial
from gan_jax.losses.adversarial import AdversarialLoss
from gan_jax.losses.penalties import PENALTIES

__all__ = [
  'LOSSES',
  'PENALTIES',
  'AdversarialLoss',
  'build_loss',
]

LOSSES = {
  'minimax': adversarial.MINIMAX,
  'non_saturating': adversarial.NON_SATURATING,
  'least_squares': adversarial.LEAST_SQUARES,
  'inverted_least_squares': adversarial.INVERTED_LEAST_SQUARES,
  'hinge': adversarial.Hinge(),
  'wasserstein': adversarial.WASSERSTEIN,
  'boundary_seeking': adversarial.BOUNDARY_SEEKING,
  'relativistic_paired': adversarial.RelativisticPaired(),
  'relativistic_average': adversarial.RelativisticAverage(),
  'fisher': adversarial.Fisher(),
}


def build_loss(section) -> AdversarialLoss:
  """The loss of `config.loss`: its name and the settings it has."""
  loss = LOSSES[section.name]
  own = {key: section[key] for key in settings.of(loss)}
  return dataclasses.replace(loss, **own) if own else loss
