"""Pixels of any kind to 8-bit grey or RGB of one size.

A picture is converted, and a large one shrunk, in bands of its rows, so that it
lies in memory as it was decoded and not once more for each step. The pixels of
a large one are those of Pillow's resize where that goes across first, rounds,
and then goes down; of some, tall ones mostly, Pillow 13 does it the other way
round.
"""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

FILTERS = {
  'lanczos': Image.Resampling.LANCZOS,
  'bicubic': Image.Resampling.BICUBIC,
  'bilinear': Image.Resampling.BILINEAR,
  'box': Image.Resampling.BOX,
}
BACKGROUNDS = {'white': 255, 'black': 0}

# Pixels that a filter reaches to either side of where it stands, at most; it
# is stretched by the factor when it shrinks.
_REACH = 3
_BAND = 2**20  # pixels converted at once
_LARGE = 2**24  # a picture of more pixels is shrunk in bands, too
# Up to this many times as long as wide a picture is resized whole and then
# cropped. Of longer ones only what the crop keeps is resized: the rest, of a
# line of pixels, would be gigabytes. Pillow takes a box in single precision,
# and may choose another order of the two directions: values differ in
# rounding, hence not for all.
_WHOLE = 4


class BadPictureError(Exception):
  """The file cannot be read as a picture; the message is a short reason."""


def fit(
  image: Image.Image,
  resolution: int,
  filter: str,  # pylint: disable=redefined-builtin
  plain: Callable[[Image.Image], Image.Image] = lambda band: band,
) -> Image.Image:
  """Resizes so that the short side is `resolution`, then crops the centre.

  Pillow's resize is antialiased: when it shrinks, the filter is widened by the
  factor. The long side is rounded to the nearest pixel; an odd remainder of
  the crop goes to the right and the bottom.

  Args:
    image: picture of any size and mode.
    resolution: side of the square result in pixels; 0 keeps the size.
    filter: a key of FILTERS.
    plain: takes rows of `image` to mode L or RGB.

  Returns:
    Picture of resolution x resolution pixels, of the mode that `plain` gives.
  """
  if not resolution:
    return _across(image, image.width, (0, image.width), filter, plain)
  short = min(image.size)
  width, height = (round(s * resolution / short) for s in image.size)
  left, top = (width - resolution) // 2, (height - resolution) // 2
  x, y = (0, image.width), (0, image.height)
  if max(width, height) > _WHOLE * resolution:
    image, x = _near_crop(image, 0, width, left, resolution)
    image, y = _near_crop(image, 1, height, top, resolution)
    width, height, left, top = resolution, resolution, 0, 0
  if image.width * image.height > _LARGE:
    image, x = _across(image, width, x, filter, plain), (0, width)
  else:
    image = _across(image, image.width, (0, image.width), filter, plain)
  box = (x[0], y[0], x[1], y[1])
  image = image.resize((width, height), FILTERS[filter], box)
  if image.size == (resolution, resolution):
    return image
  return image.crop((left, top, left + resolution, top + resolution))


def _near_crop(image, axis, size, start, resolution):
  """What of an axis the crop depends on, and where the crop lies in it."""
  scale = image.size[axis] / size
  low, high = start * scale, (start + resolution) * scale
  reach = _REACH * max(scale, 1) + 2
  first = max(0, math.floor(low - reach))
  last = min(image.size[axis], math.ceil(high + reach))
  if axis == 0:
    image = image.crop((first, 0, last, image.height))
  else:
    image = image.crop((0, first, image.width, last))
  return image, (low - first, min(high - first, last - first))


def _across(image, width, span, filter, plain):  # pylint: disable=redefined-builtin
  """The plain picture, `width` wide; as high as before."""
  whole = None
  for top, band in _bands(image):
    band = plain(band)
    box = (span[0], 0, span[1], band.height)
    band = band.resize((width, band.height), FILTERS[filter], box)
    if band.height == image.height:
      return band
    whole = whole or Image.new(band.mode, (width, image.height))
    whole.paste(band, (0, top))
  return whole


def _bands(image):
  """(Number of the first row, some rows); the whole of all but large ones."""
  rows = max(1, _BAND // image.width)
  if rows >= image.height:
    yield 0, image
    return
  for top in range(0, image.height, rows):
    bottom = min(top + rows, image.height)
    yield top, image.crop((0, top, image.width, bottom))


def converter(
  image: Image.Image, channels: int, background: str
) -> Callable[[Image.Image], Image.Image]:
  """What takes rows of a picture of any mode to 8-bit grey or RGB.

  16-bit grey is scaled by 255/65535 and rounded. (Pillow itself keeps the high
  byte of 16-bit colour.) Transparency is composed onto the background. Colour
  becomes grey by ITU-R 601 luma. Colour profiles are not applied.

  Args:
    image: the whole picture: its largest value may tell its range.
    channels: 1 or 3.
    background: a key of BACKGROUNDS.

  Returns:
    Function of a picture, to one of mode L or RGB.

  Raises:
    BadPictureError: values without a fixed range, or of none of 8 bits.
  """
  white = image.info.get('white') or range_of(image)
  grey = BACKGROUNDS[background]
  mode = {1: 'L', 3: 'RGB'}[channels]

  def convert(band: Image.Image) -> Image.Image:
    if white:
      band = _eight_bits(band, white)
    if band.mode == 'La':
      band = band.convert('LA')  # Pillow's way to RGBA would drop the alpha
    if band.has_transparency_data:
      band = band.convert('RGBA')
      ground = Image.new('RGBA', band.size, (grey, grey, grey, 255))
      band = Image.alpha_composite(ground, band)
    if band.mode not in ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', mode):
      band = band.convert('RGB')  # Lab, HSV, CMYK, ... only convert to RGB
    return band if band.mode == mode else band.convert(mode)

  return convert


def range_of(image: Image.Image, full: int = 65535) -> int:
  """The value of white in a picture of more than 8 bits; 0 of any other.

  A 16-bit file says so. One of 32-bit whole numbers does not: it is taken for
  8 bits if all values fit, else for 16.

  Args:
    image: of any mode.
    full: white of a 16-bit mode: 65535, or 4095 of TIFF's 12 bits.

  Raises:
    BadPictureError: values that do not tell their range.
  """
  if image.mode != 'F' and not image.mode.startswith('I'):
    return 0
  # Not getextrema: it does not know of the mode I;16B.
  ends = []
  for _, band in _bands(image):
    values = np.asarray(band)
    ends += [values.min().item(), values.max().item()]
  low, high = min(ends), max(ends)
  if image.mode == 'F':
    raise BadPictureError(
      f'32-bit float picture with values {low:g} to {high:g}: they have no'
      ' fixed range; save as 8-bit'
    )
  if low < 0 or high > 65535:
    raise BadPictureError(
      f'32-bit picture with values {low} to {high}; save as 8-bit or 16-bit'
    )
  if image.mode == 'I':
    return 255 if high <= 255 else 65535
  if 0 < high <= full // 257:
    raise BadPictureError(
      f'16-bit picture with no value above {high}: where white is {full} that'
      ' is black; save as 8-bit if its values are those of 8 bits'
    )
  return full


def _eight_bits(band, white):
  values = np.asarray(band).astype(np.uint32)
  grey = ((values * 255 + white // 2) // white).astype(np.uint8)
  if band.info.get('inverted'):
    grey = 255 - grey
  key = band.info.get('transparency')
  if key is None:
    return Image.fromarray(grey)
  alpha = np.where(values == key, 0, 255).astype(np.uint8)
  return Image.fromarray(np.stack([grey, alpha], -1))
