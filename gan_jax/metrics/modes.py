"""What a classifier's labels of generated samples say about missed modes.

SGAN (sections 4.2 and 5) judges digits by the entropy of their histogram and
its total variation from uniform; Metz et al. 2017 and ProGAN (section 6.4)
count the classes hit among the 1,000 of stacked digits (MNIST-1K), with the
divergence KL(generated || data).
"""

import numpy as np
import scipy.special

from gan_jax.errors import UserError

STACKED = 1000  # classes of three digits


def class_histogram(labels, classes: int) -> np.ndarray:
  """How often each class was hit; histograms of batches may be added.

  Args:
    labels: class numbers [N], 0 <= label < classes.
    classes: how many there are.

  Returns:
    [classes], int64.

  Raises:
    UserError: for a label out of range.
  """
  labels = np.asarray(labels)
  if labels.size and not (0 <= labels.min() and labels.max() < classes):
    raise UserError(
      f'labels must be below {classes} and not negative, got '
      f'{labels.min()} to {labels.max()}: check the number of classes'
    )
  return np.bincount(labels.reshape(-1).astype(np.int64), minlength=classes)


def stacked_labels(digits) -> np.ndarray:
  """Digits of the channels [N, 3], 0..9, as one of 1,000 classes [N]."""
  return np.asarray(digits).astype(np.int64) @ (100, 10, 1)


def histogram_scores(counts, reference=None) -> dict[str, float]:
  """How a histogram of classes differs from the data's.

  Args:
    counts: [classes], of generated samples.
    reference: [classes], counts or shares of the data; None for uniform.

  Returns:
    modes: classes hit at least once; kl: KL(generated || reference) in nats,
    inf if a class was hit that the data lacks; entropy: of the generated
    histogram, nats, at most log(classes); total_variation: half the sum of
    absolute differences, 0 to 1.

  Raises:
    UserError: without samples.
  """
  counts = np.asarray(counts, np.float64)
  if reference is None:
    reference = np.ones_like(counts)
  reference = np.asarray(reference, np.float64)
  if not counts.sum() > 0 or not reference.sum() > 0:
    raise UserError('a histogram without samples has no scores: make some')
  p, q = counts / counts.sum(), reference / reference.sum()
  return {
    'modes': int(np.count_nonzero(counts)),
    'kl': float(scipy.special.rel_entr(p, q).sum()),
    'entropy': float(scipy.special.entr(p).sum()),
    'total_variation': float(np.abs(p - q).sum() / 2),
  }
