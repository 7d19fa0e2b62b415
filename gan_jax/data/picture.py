"""One picture: from a file of any kind to uint8 [H, W, C] of one size.

The only place where pictures are decoded, converted and resized; every source
goes through here.
"""

import dataclasses
import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

FILTERS = {
  'lanczos': Image.Resampling.LANCZOS,
  'bicubic': Image.Resampling.BICUBIC,
  'bilinear': Image.Resampling.BILINEAR,
  'box': Image.Resampling.BOX,
}
BACKGROUNDS = {'white': 255, 'black': 0}
SUFFIXES = frozenset(
  '.png .jpg .jpeg .jpe .jfif .webp .bmp .gif .tif .tiff'.split()
)
# Pillow warns of harmless flaws (odd metadata, a large size); what it cannot
# read it raises. A filter in force for the whole process, because
# `catch_warnings` is not safe among threads.
warnings.filterwarnings('ignore', category=UserWarning, module=r'PIL\.')
warnings.filterwarnings('ignore', category=Image.DecompressionBombWarning)

# A file that is something else behind its name (PostScript, say) is not run
# through Pillow's more exotic readers.
_FORMATS = ('PNG', 'JPEG', 'WEBP', 'BMP', 'GIF', 'TIFF')


class BadPictureError(Exception):
  """The file cannot be read as a picture; the message is a short reason."""


@dataclasses.dataclass(frozen=True)
class Form:
  """What pictures are turned into.

  Attributes:
    resolution: side of the square result in pixels; 0 keeps the size.
    channels: 1 or 3.
    filter: a key of FILTERS.
    background: a key of BACKGROUNDS, what transparency is composed onto.
  """

  resolution: int
  channels: int
  filter: str
  background: str

  def __call__(self, image: Image.Image) -> np.ndarray:
    """An 8-bit or 16-bit picture of any mode to uint8 [H, W, channels]."""
    plain = to_plain(image, self.channels, self.background)
    array = np.asarray(fit(plain, self.resolution, self.filter))
    return array.reshape(*array.shape[:2], self.channels)

  def of_mode(self, stored: str) -> str:
    """For reports: what happens to pictures of a `Picture.stored` kind."""
    steps = []
    if stored.startswith('16-bit'):
      steps.append('scaled to 8 bits')
    if 'transparency' in stored or stored == 'RGBA':
      steps.append(f'composed onto {self.background}')
    if self.channels == 3 and not stored.startswith('RGB'):
      steps.append('to RGB')
    if self.channels == 1 and '1-bit' not in stored and 'grey' not in stored:
      steps.append('to grey')
    return ', '.join(steps)

  def of_size(self) -> str:
    """For reports: what happens to the size."""
    if not self.resolution:
      return 'left at their size'
    return (
      f'short side resized to {self.resolution} ({self.filter}), then'
      ' centre crop'
    )


def fit(image: Image.Image, resolution: int, filter: str) -> Image.Image:  # pylint: disable=redefined-builtin
  """Resizes so that the short side is `resolution`, then crops the centre.

  Pillow's resize is antialiased: when it shrinks, the filter is widened by the
  factor. The long side is rounded to the nearest pixel; an odd remainder of
  the crop goes to the right and the bottom.

  Args:
    image: 8-bit picture of any size.
    resolution: side of the square result in pixels; 0 gives `image` back.
    filter: a key of FILTERS.

  Returns:
    Picture of resolution x resolution pixels, same mode.
  """
  if not resolution:
    return image
  width, height = image.size
  short = min(width, height)
  if short != resolution:
    width = round(width * resolution / short)
    height = round(height * resolution / short)
    image = image.resize((width, height), FILTERS[filter])
  if image.size == (resolution, resolution):
    return image
  left = (width - resolution) // 2
  top = (height - resolution) // 2
  return image.crop((left, top, left + resolution, top + resolution))


def to_plain(image: Image.Image, channels: int, background: str) -> Image.Image:
  """Any mode to 8-bit grey or RGB.

  16-bit grey is scaled by 255/65535 and rounded. (Pillow itself keeps the high
  byte of 16-bit colour.) Transparency is composed onto the background. Colour
  becomes grey by ITU-R 601 luma. Colour profiles are not applied.

  Args:
    image: a Pillow picture.
    channels: 1 or 3.
    background: a key of BACKGROUNDS.

  Returns:
    Picture of mode L or RGB.

  Raises:
    BadPictureError: a mode that has no fixed range (32-bit float or integer).
  """
  if image.mode.startswith('I'):
    image = Image.fromarray(_scale_16_bit(np.asarray(image)))
  elif image.mode == 'F':
    raise BadPictureError(
      '32-bit float pictures have no fixed range; save as 8-bit'
    )
  if image.has_transparency_data:
    grey = BACKGROUNDS[background]
    image = image.convert('RGBA')
    ground = Image.new('RGBA', image.size, (grey, grey, grey, 255))
    image = Image.alpha_composite(ground, image)
  mode = {1: 'L', 3: 'RGB'}[channels]
  if image.mode not in ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', mode):
    image = image.convert('RGB')  # Lab, HSV, CMYK, ... only convert to RGB
  return image if image.mode == mode else image.convert(mode)


def _scale_16_bit(values):
  if values.dtype != np.uint16 and (values.min() < 0 or values.max() > 65535):
    raise BadPictureError(
      f'32-bit picture with values {values.min()} to {values.max()}; save as'
      ' 8-bit or 16-bit'
    )
  return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


class Picture(NamedTuple):
  """A decoded file.

  Attributes:
    image: upright, of any mode; the first frame of several.
    stored: how it was stored, such as 'RGB' or 'palette with transparency'.
    turned: whether its EXIF data said to rotate or flip it.
  """

  image: Image.Image
  stored: str
  turned: bool


def read(data: bytes) -> Picture:
  """Decodes a whole file.

  Args:
    data: the file's bytes.

  Raises:
    BadPictureError: empty, truncated, broken, or not a picture.
  """
  if not data:
    raise BadPictureError('empty file (0 bytes)')
  try:
    image = Image.open(io.BytesIO(data), formats=_FORMATS)
    stored = _describe(image)
    image.load()
  except UnidentifiedImageError:
    raise BadPictureError(
      'not a PNG, JPEG, WebP, BMP, GIF or TIFF file'
    ) from None
  except MemoryError:
    raise
  except Exception as e:  # Pillow's readers raise many types on bad bytes
    raise BadPictureError(str(e) or type(e).__name__) from None
  try:
    upright = ImageOps.exif_transpose(image)
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
  except Exception:  # broken EXIF beside good pixels: keep them as they lie
    upright, turned = image, False
  return Picture(upright, stored, turned)


# Pillow's names for what people call otherwise.
_MODES = {
  '1': '1-bit',
  'L': 'grey',
  'LA': 'grey with transparency',
  'P': 'palette',
  'PA': 'palette with transparency',
}


def _describe(image):
  if image.mode.startswith('I'):
    return '16-bit grey'
  name = _MODES.get(image.mode, image.mode)
  if 'transparency' in image.info and 'transparency' not in name:
    name += ' with transparency'
  return name
