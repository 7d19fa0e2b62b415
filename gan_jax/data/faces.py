"""How CelebA-HQ is made of CelebA's pictures: crop, and quality.

ProGAN, appendix C. What the paper leaves open is chosen here, and said.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from gan_jax.data.plain import BadPictureError

OVERSAMPLING = 4  # the paper goes through 4096 pixels to 1024

# Of the crop's side: where the picture ends it is continued by its mirror
# image, which passes into its blurred self over so wide a seam.
_BLUR, _SEAM = 0.02, 0.1
_FARTHEST = 4  # times the picture's two sides together: a crop is no larger
_BAND = 256  # rows that are mixed at once

_RINGS, _SECTORS = 32, 16  # of the power spectrum
_RING_WIDTH = 16  # at least this many frequencies over all rings for one ring
_NOTHING = 1e-9  # power of a ring, of its mean, that a sector has at least


class Crop(NamedTuple):
  """An oriented square: centre + a s/2 x + b s/2 y for a, b from -1 to 1.

  Attributes:
    centre: float64 [2], across and down, in pixels from the picture's corner:
      the middle of the first pixel is (0.5, 0.5).
    side: s, in pixels.
    x: float64 [2], of length 1: to the face's right, as the picture has it.
    y: float64 [2]: up.
  """

  centre: np.ndarray
  side: float
  x: np.ndarray
  y: np.ndarray


def _rotate90(vector):
  """A quarter turn to the left, as seen in a picture, whose y goes down."""
  return np.array([vector[1], -vector[0]])


def crop_of(landmarks) -> Crop:
  """Where the face is, and which way is up: appendix C's formulas.

  Args:
    landmarks: [5, 2], across and down in pixels, as CelebA has them: the eye on
      the left of the picture, the one on the right, the nose, and the left and
      the right corner of the mouth. A whole number is the middle of a pixel.

  Raises:
    BadPictureError: eyes and mouth in one place.
  """
  points = np.asarray(landmarks, np.float64) + 0.5
  e0, e1, _, m0, m1 = points
  across = e1 - e0
  up = (e0 + e1) / 2 - (m0 + m1) / 2
  x = across - _rotate90(up)
  side = max(4.0 * np.hypot(*across), 3.6 * np.hypot(*up))
  length = np.hypot(*x)
  if not length > 0:
    raise BadPictureError('its landmarks do not say which way is up')
  x = x / length
  return Crop((e0 + e1) / 2 - 0.1 * up, float(side), x, _rotate90(x))


def cut(image: np.ndarray, crop: Crop, size: int) -> np.ndarray:
  """The oriented square, upright.

  As in the paper it is taken bilinearly at 4 times the size, and reduced by a
  box filter. One of more than 4 times those pixels is first reduced by a whole
  number, by a box filter too: bilinear filtering would pass over pixels, and a
  worker's memory stays bounded.

  Args:
    image: uint8 [H, W, 3].
    crop: where; what lies outside of the picture is filled in by its mirror
      image, blurred (a standard deviation of 2% of the square's side, coming in
      over 10% of it; the paper gives no numbers). The picture itself is left as
      it is.
    size: pixels.

  Returns:
    uint8 [size, size, 3].

  Raises:
    BadPictureError: the square has next to nothing to do with the picture.
  """
  height, width, _ = image.shape
  largest = _FARTHEST * (height + width)
  outside = max(*-crop.centre, *(crop.centre - np.array([width, height])))
  if not crop.side <= largest or outside > crop.side / 2:
    raise BadPictureError('its landmarks lie far outside of it')
  half = crop.side / 2
  corner = crop.centre - half * crop.x + half * crop.y
  region, corner = _region(image, crop, corner)
  fine = OVERSAMPLING * size
  picture, scale = Image.fromarray(region), crop.side / fine
  factor = int(scale)
  if factor > 1:
    picture = picture.reduce(factor)
    corner, scale = corner / factor, scale / factor
  right, down = scale * crop.x, -scale * crop.y
  where = (right[0], down[0], corner[0], right[1], down[1], corner[1])
  picture = picture.transform(
    (fine, fine), Image.Transform.AFFINE, where, Image.Resampling.BILINEAR
  )
  return np.asarray(picture.reduce(OVERSAMPLING))


def _region(image, crop, corner):
  """The upright box around a crop, filled where there is no picture.

  Returns:
    uint8 [h, w, 3], and where `corner` lies in it.
  """
  across, down = crop.side * crop.x, -crop.side * crop.y
  corners = np.array([corner, corner + across, corner + down])
  corners = np.vstack([corners, corner + across + down])
  low = np.floor(corners.min(0)).astype(int) - 2
  high = np.ceil(corners.max(0)).astype(int) + 2
  pads, spans = [], []
  for first, last, size in zip(low, high, image.shape[1::-1], strict=True):
    before, after = max(0, -first), max(0, last - size)
    # Mirrored is what lies inside; as much is needed of it as lies outside.
    begin, end = max(0, first - after), min(size, last + before)
    spans.append((begin, end))
    pads.append((before, after))
  (left, right), (top, bottom) = spans
  region = image[top:bottom, left:right]
  if any(map(any, pads)):
    region = _extended(region, *pads, crop.side)
  inner = np.array([left - pads[0][0], top - pads[1][0]])
  x, y = low - inner
  w, h = high - low
  return region[y : y + h, x : x + w], corner - low


def _extended(image, across, down, side: float) -> np.ndarray:
  """A picture continued by its mirror image, the more blurred the farther."""
  wide = np.pad(image, (down, across, (0, 0)), 'reflect')
  blur = ImageFilter.GaussianBlur(_BLUR * side)
  soft = np.asarray(Image.fromarray(wide).filter(blur))
  reach = [
    np.concatenate([np.arange(a, 0, -1), np.zeros(n), np.arange(1, b + 1)])
    for (a, b), n in ((down, image.shape[0]), (across, image.shape[1]))
  ]
  rows, columns = (np.minimum(r / (_SEAM * side), 1) for r in reach)
  for top in range(0, len(wide), _BAND):
    band = slice(top, top + _BAND)
    share = np.maximum(rows[band, None], columns)[..., None].astype(np.float32)
    mixed = wide[band] * (1 - share) + soft[band] * share
    wide[band] = np.rint(mixed)
  return wide


class Quality(NamedTuple):
  """How much there is to see in a picture; each from 0 to 1.

  Attributes:
    value: what pictures are ranked by: the product of the two.
    breadth: how many frequencies the power spectrum has.
    symmetry: how much it is the same in all directions.
  """

  value: float
  breadth: float
  symmetry: float


def quality(image: np.ndarray) -> Quality:
  """Ranks blurred pictures low, and those with stripes, grids or halftone.

  The paper's metric "favors images whose power spectrum contains a broad range
  of frequencies and is approximately radially symmetric", and is not given. The
  one here: luma, its mean taken off, times a Hann window; its power times the
  frequency squared, which for natural pictures (power as 1/f^2) is about the
  same everywhere; the mean of that in rings from 2 cycles a picture up to
  Nyquist's frequency, and in 16 sectors of each. Breadth is the exponential of
  the entropy of the rings' shares, over the number of rings: how many of them
  count. Symmetry is the geometric over the arithmetic mean of a ring's sectors,
  averaged over rings with these shares or evenly, whichever is less: a pattern
  may lie where there is little else.

  Args:
    image: uint8 [side, side, 3], of at least 64 pixels.
  """
  luma = image @ np.array([0.299, 0.587, 0.114]) / 255
  side = len(luma)
  window = np.hanning(side + 2)[1:-1]
  luma = (luma - luma.mean()) * window[:, None] * window
  index, counts, squares = _polar(side)
  power = np.abs(np.fft.rfft2(luma)) ** 2 * squares
  sums = np.bincount(index.ravel(), power.ravel(), counts.size + 1)[:-1]
  sectors = sums.reshape(counts.shape) / counts
  means = sectors.mean(1)
  if not means.sum() > 1e-12 * side**2:  # one colour
    return Quality(0.0, 0.0, 0.0)
  weights = means / means.sum()
  logs = np.log(weights, where=weights > 0, out=np.zeros_like(weights))
  breadth = math.exp(-(weights * logs).sum()) / len(weights)
  least = _NOTHING * means[:, None] + 1e-300
  flat = np.exp(np.log(np.maximum(sectors, least)).mean(1)) / (means + 1e-300)
  symmetry = min((weights * flat).sum(), flat.mean())
  return Quality(*map(float, (breadth * symmetry, breadth, symmetry)))


@functools.cache
def _polar(side: int):
  """Which ring and sector each frequency of `rfft2` lies in.

  Returns:
    Numbers [side, side // 2 + 1], ring * sectors + sector, the last of all for
    none; how many there are of each [rings, sectors]; the square of each
    frequency, in cycles a pixel, as the numbers.
  """
  rings = min(_RINGS, side // _RING_WIDTH)
  y, x = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)
  radius = np.hypot(x, y)
  ring = (radius / 0.5 * rings).astype(int)
  turn = np.arctan2(y, x) / np.pi + 0.5  # half a circle is all there is
  sector = np.minimum((turn * _SECTORS).astype(int), _SECTORS - 1)
  # The window spreads each frequency, 0 with it, over its neighbours.
  outside = (radius * side < 2) | (ring >= rings)
  index = np.where(outside, rings * _SECTORS, ring * _SECTORS + sector)
  counts = np.bincount(index.ravel())[:-1].reshape(rings, _SECTORS)
  return index, counts, radius**2
