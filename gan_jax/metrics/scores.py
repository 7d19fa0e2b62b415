"""How well a discriminator tells real from fake."""

import numpy as np


def ranked(real, fake) -> float:
  """The share of (real, fake) pairs in which the real one scores higher.

  Ties count one half: the area under the ROC curve. 0.5 is a discriminator
  that knows nothing, 1.0 one that is never wrong.

  Args:
    real: scores [N].
    fake: scores [M].
  """
  fake = np.sort(np.asarray(fake, np.float64))
  real = np.asarray(real, np.float64)
  below = np.searchsorted(fake, real, 'left')
  not_above = np.searchsorted(fake, real, 'right')
  return float(np.mean(below + not_above) / (2 * len(fake)))
