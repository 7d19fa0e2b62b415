"""digits: the 1,797 handwritten digits that come with scikit-learn."""

import numpy as np

from gan_jax.data import part, picture
from gan_jax.data.arrays import ArraySource
from gan_jax.data.source import Source
from gan_jax.errors import UserError


def open_digits(name: str, where: str, config, form: picture.Form) -> Source:
  """The source 'digits': 8x8 grey, stored 0..16, scaled to 0..255.

  Raises:
    UserError: anything after the name, or a split that there is not.
  """
  if where:
    raise UserError(
      f"config.data.source is '{name}', but digits takes nothing after it;"
      " write 'digits'."
    )
  part.check_name(name, config.split, ('train',))
  from sklearn import datasets  # half a second, for this set only

  digits = datasets.load_digits()
  images = np.round(digits.images * (255 / 16)).astype(np.uint8)
  return ArraySource(
    name,
    images,
    digits.target.astype(np.int32),
    tuple(str(k) for k in range(10)),
    form,
    'scikit-learn, 0..16 scaled to 0..255',
  )
