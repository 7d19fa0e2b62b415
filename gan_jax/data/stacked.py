"""stacked:SOURCE: three digits as the colour channels of a picture, MNIST-1K.

Metz et al. 2017 (Unrolled GANs) made a set of 1,000 modes so, and ProGAN's
appendix E counts how many of them a generator has.
"""

import numpy as np

from gan_jax.data import order
from gan_jax.data.source import Source, class_counts, report_text
from gan_jax.errors import UserError

_SEED = 1000  # of the three fixed orders, the same in every run
_DIGITS = 10


class Stacked(Source):
  """As many pictures as there are digits, each of three of them.

  A channel has every digit once, in an order of its own: which three meet is
  random, and each channel's digits are those of the data. Label 100a + 10b + c
  is the class of digits a, b and c in red, green and blue.
  """

  def __init__(self, name: str, digits: Source):
    """Takes the digits into memory.

    Args:
      name: the config's source string.
      digits: grey pictures of ten classes.

    Raises:
      UserError: they are not.
    """
    if len(digits.shape) != 3 or len(digits.classes) != _DIGITS:
      raise UserError(
        f'{name} stacks pictures of ten classes, and {digits.name} has'
        f' {len(digits.classes)}: write stacked:digits, stacked:tfds:mnist or'
        ' stacked:idx:PATH.'
      )
    self.name, self.dtype = name, np.dtype(np.uint8)
    self.shape = (*digits.shape[:2], 3)
    self.classes = tuple(f'{k:03}' for k in range(_DIGITS**3))
    images, labels = digits.arrays()
    self._images, self._digits = images[..., 0], labels
    orders = [order.epoch_order(_SEED, c, len(labels)) for c in range(3)]
    self._rows = np.stack(orders, 1)  # [n, 3]
    self.report = '\n'.join(
      [
        report_text(
          self, [('classes', class_counts(self.classes, self.labels))]
        ),
        digits.report,
      ]
    )

  @property
  def labels(self) -> np.ndarray:
    """The class of each picture, int32 [n]."""
    weights = np.int32([100, 10, 1])
    return self._digits[self._rows].astype(np.int32) @ weights

  def __len__(self):
    return len(self._rows)

  def __getitem__(self, i):
    return np.stack(self._images[self._rows[i]], -1), self.label(i)

  def label(self, i):
    """As in Source."""
    a, b, c = map(int, self._digits[self._rows[i]])
    return 100 * a + 10 * b + c

  def arrays(self):
    """As in Source."""
    return np.stack([self._images[r] for r in self._rows.T], -1), self.labels
