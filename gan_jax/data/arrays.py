"""Sources whose pictures lie in memory: digits, npz and idx."""

import numpy as np
from PIL import Image

from gan_jax.data import picture
from gan_jax.data.source import (
  Source,
  class_counts,
  report_text,
  to_bytes,
)
from gan_jax.errors import UserError

# Of [-1, 1]: sets of pictures reach further down. What does not may as well be
# [0, 1] with a little below 0, as a resize leaves it.
_DARK = -0.25

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
        ('classes', class_counts(classes, labels)),
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


def pictures_as_bytes(images, what):
  """Pictures of any type as uint8: the one place that knows their ranges.

  uint8 is taken as it is, bool as 0 and 255, float as [-1, 1] when it reaches
  below -0.25, else as [0, 1].

  Args:
    images: [N, H, W] or [N, H, W, C].
    what: to call them in messages.

  Returns:
    uint8, the same shape, and what was done, for a report.

  Raises:
    UserError: another shape or type, or a range that cannot be known.
  """
  _check_shape(images, what)
  if images.dtype == np.uint8:
    return images, ''
  if images.dtype == bool:
    return images * np.uint8(255), '; False, True taken as 0, 255'
  if images.dtype.kind == 'f':
    return _floats_as_bytes(images, what)
  raise UserError(
    f'{what} is of type {images.dtype}; save uint8 pictures, 0 to 255.'
  )


def _check_shape(images, what) -> None:
  shape = list(images.shape)
  if images.ndim not in (3, 4) or 0 in shape:
    raise UserError(
      f'{what} has shape {shape}; pictures are [N, H, W] or [N, H, W, C].'
    )
  if images.ndim == 3 and shape[2] <= 4 and shape[1] != shape[2]:
    raise UserError(
      f'{what} has shape {shape}, which is one picture, or {shape[0]}'
      f' grey ones {shape[2]} wide: save [N, H, W, C], for one picture'
      f' ARRAY[None].'
    )
  if images.ndim == 4 and shape[-1] not in (1, 2, 3, 4):
    hint = (
      ' It looks like [N, C, H, W]; save ARRAY.transpose(0, 2, 3, 1).'
      if shape[1] in (1, 3)
      else ''
    )
    raise UserError(
      f'{what} has shape {shape}; the last axis must be 1 to 4 channels.{hint}'
    )


def _floats_as_bytes(images, what):
  """See `pictures_as_bytes`: the range is [0, 1] or [-1, 1], or not known."""
  low, high = float(images.min()), float(images.max())
  if low >= 0 and high <= 1:
    return (
      np.round(images * 255).astype(np.uint8),
      f'; float from {low:.4g} to {high:.4g} taken as [0, 1]',
    )
  if -1 <= low < _DARK and high <= 1:
    return (
      to_bytes(images),
      f'; float from {low:.4g} to {high:.4g} taken as [-1, 1]',
    )
  if _DARK <= low and high <= 1:
    raise UserError(
      f'{what} is {images.dtype} from {low:.4g} to {high:.4g}, which'
      ' may be of [0, 1] and a little below, or of [-1, 1]: clip it to [0, 1]'
      ' (numpy.clip), or save uint8.'
    )
  raise UserError(
    f'{what} is {images.dtype} from {low:.4g} to {high:.4g};'
    ' float pictures must lie in [0, 1] or [-1, 1], or save uint8.'
  )
