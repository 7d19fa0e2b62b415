"""Sources whose pictures lie in memory: digits, npz and idx."""

import numpy as np
from PIL import Image

from gan_jax.data import picture
from gan_jax.data.source import (
  Source,
  class_counts,
  report_text,
  without_pictures,
)
from gan_jax.errors import UserError

_STORED = {1: 'grey', 2: 'grey with transparency', 3: 'RGB', 4: 'RGBA'}


class ArraySource(Source):
  """Pictures in one uint8 array, turned into their form when read."""

  def __init__(
    self,
    name: str,
    images: np.ndarray,
    labels: np.ndarray,
    classes: tuple[str, ...],
    form: picture.Form,
    note: str,
  ):
    """Takes pictures of one size.

    Args:
      name: the config's source string.
      images: uint8 [n, h, w] or [n, h, w, c] with c in 1 (grey), 2 (grey and
        alpha), 3 (RGB), 4 (RGBA).
      labels: int32 [n].
      classes: names; () if there are none.
      form: what to turn each picture into.
      note: for the report, where they come from and what was done to them.

    Raises:
      UserError: no pictures, or left at their size they are not square.
    """
    if images.ndim == 3:
      images = images[..., None]
    n, h, w, c = images.shape
    if not n:
      raise UserError(f'{name}: there are no pictures in it.')
    side = (form.resolution,) * 2 if form.resolution else (h, w)
    self.name = name
    self.classes = classes
    self.dtype = np.dtype(np.uint8)
    self.shape = (*side, form.channels)
    self._images = images
    self._labels = labels
    self._form = form
    # Already as wanted: no trip through Pillow.
    self._plain = self.shape == (h, w, c)
    self.report = report_text(
      self,
      [
        ('from', note),
        (
          'sizes',
          f'all {w}x{h}'
          if side == (h, w)
          else f'all {w}x{h}, {form.of_size()}',
        ),
        (
          'modes',
          ': '.join(
            filter(None, [f'all {_STORED[c]}', form.of_mode(_STORED[c])])
          ),
        ),
        (
          'classes',
          '\n'.join(
            filter(
              None,
              [
                class_counts(classes, labels),
                classes and without_pictures(classes, labels),
              ],
            )
          ),
        ),
      ],
    )

  @property
  def labels(self) -> np.ndarray:
    """The class of each picture, int32 [n]."""
    return self._labels

  def __len__(self):
    return len(self._images)

  def __getitem__(self, i):
    image = self._images[i]
    if not self._plain:
      image = self._form(
        Image.fromarray(image.squeeze(-1))
        if image.shape[-1] == 1
        else Image.fromarray(image)
      )
    return image, int(self._labels[i])

  def label(self, i):
    """As in Source."""
    return int(self._labels[i])

  def arrays(self):
    """As in Source; no copy where nothing has to be converted."""
    if self._plain:
      return self._images, self._labels
    return super().arrays()
