"""What every discriminator returns, and its answer in one number a sample."""

from collections.abc import Mapping
from typing import NamedTuple

import jax


class Judgement(NamedTuple):
  """A discriminator's answer to a batch of images.

  Attributes:
    logits: [N], or [N, P] for P judgements an image (patches), of which the
      adversarial loss takes each for a sample's, and everything else their
      mean, `per_sample`; larger is more real, but with the loss
      'inverted_least_squares'; no activation applied.
    features: inner maps by name, for tasks, metrics and attention pictures.
    class_logits: [N, K], which class it takes a sample for (AC-GAN, Odena et
      al. 2017); None of a discriminator that does not say, as one without
      classes, or one that is told the class.
  """

  logits: jax.Array
  features: Mapping[str, jax.Array]
  class_logits: jax.Array | None = None


def tells_classes(discriminator) -> bool:
  """Whether a discriminator, or its class, gives class logits for classes."""
  return getattr(discriminator, 'tells_classes', False)


def per_sample(logits):
  """[N] or [N, P] -> [N]: the mean of a sample's judgements.

  What terms, metrics and landscapes call a sample's score.
  """
  return logits.reshape(len(logits), -1).mean(axis=1)
