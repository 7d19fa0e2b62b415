"""Losses and penalties by the names that configs use.

`config.loss.name` chooses one adversarial loss; every entry of
`config.penalties` whose weight is not zero is added to D's loss.
"""

from gan_jax.losses import adversarial, penalties
from gan_jax.losses.adversarial import AdversarialLoss

__all__ = ['LOSSES', 'PENALTIES', 'AdversarialLoss']

LOSSES = {
  'minimax': adversarial.MINIMAX,
  'non_saturating': adversarial.NON_SATURATING,
  'least_squares': adversarial.LEAST_SQUARES,
  'hinge': adversarial.HINGE,
  'wasserstein': adversarial.WASSERSTEIN,
}

PENALTIES = {
  'wgan_gp': penalties.wgan_gp,
  'dragan': penalties.dragan,
  'r1': penalties.r1,
  'drift': penalties.drift,
}
