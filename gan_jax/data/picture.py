"""One picture: from a file of any kind to uint8 [H, W, C] of one size.

The only place where pictures are decoded; plain.py converts and resizes them.
Every source goes through here.
"""

import dataclasses
import io
import struct
import warnings
import zlib
from typing import NamedTuple

import numpy as np
from PIL import (
  BmpImagePlugin,  # noqa: F401  each registers its format in Image.OPEN
  ExifTags,
  GifImagePlugin,  # noqa: F401
  Image,
  ImageOps,
  JpegImagePlugin,
  PngImagePlugin,  # noqa: F401
  TiffImagePlugin,
  WebPImagePlugin,  # noqa: F401
)

from gan_jax import limits
from gan_jax.data.plain import (
  BACKGROUNDS,
  FILTERS,
  BadPictureError,
  converter,
  fit,
  range_of,
)
from gan_jax.data.room import Room

__all__ = ['BACKGROUNDS', 'FILTERS', 'BadPictureError', 'fit']

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

_ROOM = Room(limits.DECODING_BYTES)
# What a pixel takes while it is decoded, in bytes: 4 each with Pillow, in the
# decoder (progressive JPEG, WebP, TIFF in one strip), and once more upright.
_PIXEL_BYTES = 12


class Decoded(NamedTuple):
  """A file's picture in its form, and what it was.

  Attributes:
    pixels: uint8 [H, W, C].
    stored: as in Picture.
    size: (width, height), upright, before it got its form.
    turned: as in Picture.
    several: as in Picture.
  """

  pixels: np.ndarray
  stored: str
  size: tuple[int, int]
  turned: bool
  several: bool


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
    plain = converter(image, self.channels, self.background)
    array = np.asarray(fit(image, self.resolution, self.filter, plain))
    return array.reshape(*array.shape[:2], self.channels)

  def decode(self, data: bytes) -> Decoded:
    """A file's bytes to uint8 [H, W, channels].

    Waits while other threads decode as much as limits.DECODING_BYTES allows.

    Raises:
      BadPictureError: as in `read`.
    """
    image = _open(data)
    with _ROOM.of(_PIXEL_BYTES * image.width * image.height):
      found = _load(image)
      try:
        pixels = self(found.image)
      except BadPictureError:
        raise
      except Exception as e:  # such as a palette that Pillow cannot convert
        raise BadPictureError(str(e) or type(e).__name__) from None
      upright = found.image.size
      return Decoded(pixels, found.stored, upright, found.turned, found.several)

  def of_mode(self, stored: str) -> str:
    """For reports: what happens to pictures of a `Picture.stored` kind."""
    steps = []
    if stored.startswith(NARROW):
      steps.append('taken for 8 bits')
    elif stored.startswith(('16-bit', '32-bit', '12-bit')):
      steps.append('scaled to 8 bits')
    if 'transparency' in stored or stored in ('RGBA', 'RGBa'):
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
    return f'short side resized to {self.resolution} ({self.filter})'


class Picture(NamedTuple):
  """A decoded file.

  Attributes:
    image: upright, of any mode; the first frame of several.
    stored: how it was stored, such as 'RGB' or 'palette with transparency'.
    turned: whether its EXIF data said to rotate or flip it.
    several: whether there are more frames or pages than the first.
  """

  image: Image.Image
  stored: str
  turned: bool
  several: bool


def read(data: bytes) -> Picture:
  """Decodes a whole file.

  Args:
    data: the file's bytes.

  Raises:
    BadPictureError: empty, truncated, broken, too large, or not a picture.
  """
  return _load(_open(data))


def size(data: bytes) -> tuple[int, int]:
  """(width, height) by a file's header, as stored: not yet turned upright.

  Raises:
    BadPictureError: as in `read`, of what the header tells.
  """
  return _open(data).size


def _open(data):
  """A file's picture before its pixels are read, within the limits."""
  if not data:
    raise BadPictureError('empty file (0 bytes)')
  try:
    _check_jpeg_head(data)
    image = _identify(_without_text(data))
    if image is not None:
      _mend_key(image, data)
  except BadPictureError:
    raise
  except Image.DecompressionBombError:  # WebP asks Pillow's own limit
    raise BadPictureError(
      f'more than {2 * Image.MAX_IMAGE_PIXELS // 10**6} megapixels, which'
      ' Pillow does not read in this format; save as PNG or JPEG'
    ) from None
  except Exception as e:  # Pillow's readers raise many types on bad bytes
    raise BadPictureError(str(e) or type(e).__name__) from None
  if image is None:
    raise BadPictureError('not a PNG, JPEG, WebP, BMP, GIF or TIFF file')
  if image.width * image.height > limits.PICTURE_PIXELS:
    raise BadPictureError(
      f'{image.width}x{image.height} pixels are more than the'
      f' {limits.PICTURE_PIXELS // 10**6} megapixels that one picture may have;'
      ' shrink it'
    )
  if isinstance(image, JpegImagePlugin.JpegImageFile):
    scans = data.count(b'\xff\xda')
    if scans * image.width * image.height > limits.JPEG_SCANNED_PIXELS:
      raise BadPictureError(f'{scans} scans are too many for its size')
  return image


def _identify(data):
  """Image.open, but for its limit on pixels, which scans exceed.

  Raising that limit, Image.MAX_IMAGE_PIXELS, would change it for all users of
  Pillow in the process; here limits.PICTURE_PIXELS is in force instead.
  """
  for kind in _FORMATS:
    factory, accept = Image.OPEN[kind]
    if accept(data[:16]) is True:
      try:
        return factory(io.BytesIO(data), '')
      except (SyntaxError, IndexError, TypeError, struct.error):
        pass  # as Image.open: a header that is none
  return None


def _load(image):
  try:
    several = _has_several(image)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
      # The memory that it would take itself, but after asking Pillow's limit.
      image.im = Image.core.new(image.mode, image._tile_size)  # pylint: disable=protected-access
    image.load()
    stored = _describe(image)
  except BadPictureError:
    raise
  except MemoryError:
    raise BadPictureError('needs more memory than there is') from None
  except Exception as e:  # Pillow's readers raise many types on bad bytes
    raise BadPictureError(str(e) or type(e).__name__) from None
  try:
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
    upright = ImageOps.exif_transpose(image) if turned else image
  except Exception:  # broken EXIF beside good pixels: keep them as they lie
    upright, turned = image, False
  return Picture(upright, stored, turned, several)


def _has_several(image):
  """Whether a picture that is not loaded yet has frames after its first."""
  try:
    return bool(getattr(image, 'is_animated', False))
  except Exception:  # what is broken behind the first frame does no harm
    return False


# What `Picture.stored` begins with where the values told the range.
NARROW = '32-bit grey within 0..255'

# Pillow's names for what people call otherwise.
_MODES = {
  '1': '1-bit',
  'L': 'grey',
  'LA': 'grey with transparency',
  'La': 'grey with transparency',
  'P': 'palette',
  'PA': 'palette with transparency',
}


def _describe(image):
  """`Picture.stored`; a picture of more than 8 bits gets info['white']."""
  name = _MODES.get(image.mode, image.mode)
  twelve = _tag(image, ExifTags.Base.BitsPerSample) == (12,)
  white = range_of(image, 4095 if twelve else 65535)
  if white:
    image.info['white'] = white
    name = '12-bit grey' if twelve else '16-bit grey'
    if image.mode == 'I':
      name = NARROW if white == 255 else '32-bit grey'
    elif _tag(image, ExifTags.Base.PhotometricInterpretation) == 0:
      image.info['inverted'] = True  # white is 0: Pillow minds it up to 8 bits
  if 'transparency' in image.info and 'transparency' not in name:
    name += ' with transparency'
  return name


def _tag(image, number):
  """A tag of a TIFF file; None of others."""
  if not isinstance(image, TiffImagePlugin.TiffImageFile):
    return None
  return image.tag_v2.get(number)


def _check_jpeg_head(data):
  """Refuses a JPEG whose head was erased to 0xFF, as lost flash memory is.

  Pillow would go over it byte by byte, a second for each megabyte. No segment
  is as long as this.
  """
  if data.startswith(b'\xff\xd8'):
    begin = data.find(b'\xff\xda')
    if data.find(b'\xff' * 2**17, 0, begin if begin > 0 else None) >= 0:
      raise BadPictureError('its head has been erased')


# PNG.

# The texts that Pillow looks for an orientation in.
_TURNS = (b'Raw profile type exif', b'XML:com.adobe.xmp')


def _without_text(data):
  """A PNG without its profile and texts, of which Pillow bears only short ones.

  Neither changes a pixel, save a text that says which way is up.
  """
  if not data.startswith(b'\x89PNG\r\n\x1a\n'):
    return data
  view, kept, start, at, count = memoryview(data), [], 0, 8, 0
  while at + 12 <= len(data):
    count += 1
    if count > limits.PNG_CHUNKS:
      raise BadPictureError(f'more than {limits.PNG_CHUNKS:,} chunks')
    length, kind = struct.unpack_from('>I4s', data, at)
    end = at + 12 + length
    if kind in (b'iCCP', b'tEXt', b'zTXt', b'iTXt'):
      if kind == b'iCCP' or not _turns(kind, view[at + 8 : end - 4]):
        kept.append(view[start:at])
        start = end
    at = end
  return b''.join([*kept, view[start:]]) if kept else data


def _turns(kind, text):
  """Whether a text may say which way is up, in bounded length."""
  if len(text) > limits.PNG_TEXT_BYTES:
    return False
  word, _, rest = bytes(text).partition(b'\0')
  if word not in _TURNS:
    return False
  if kind == b'zTXt':
    packed = rest[1:]
  elif kind == b'iTXt' and rest[:1] != b'\0':
    packed = rest[2:].split(b'\0', 2)[-1]
  else:
    return True
  unpack = zlib.decompressobj()
  try:
    unpack.decompress(packed, limits.PNG_TEXT_BYTES)
  except zlib.error:
    return False
  return unpack.eof


def _mend_key(image, data):
  """The colour that is transparent, in the values of Pillow's pixels.

  Pillow keeps it as the file has it, also where it spreads 2 or 4 bits over
  8, or keeps the upper 8 of 16.
  """
  key = image.info.get('transparency')
  if image.format != 'PNG' or image.mode not in ('L', 'RGB') or key is None:
    return
  depth = data[24]
  scale = 255 // (2 ** min(depth, 8) - 1)

  def mended(value):
    return (value % 2**depth >> max(0, depth - 8)) * scale

  image.info['transparency'] = (
    mended(key) if image.mode == 'L' else tuple(map(mended, key))
  )
