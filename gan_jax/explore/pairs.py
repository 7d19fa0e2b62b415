"""A figure of pictures side by side with what was made of them."""

import math

import numpy as np

from gan_jax.data.source import to_bytes
from gan_jax.run import draw

_MOST = 64  # pairs of a figure
_PIXELS = 2**25  # of all its pictures, of which matplotlib makes copies
SIDE = 96  # pixels: smaller pictures are enlarged, by whole multiples
DPI = 100

_LABEL, _GAP, _APART, _TOP = 16, 2, 12, 56  # pixels


def most(shape) -> int:
  """Pairs that a figure has room for, of pictures of a shape."""
  return max(1, min(_MOST, _PIXELS // (2 * shape[0] * shape[1])))


def figure_of(left, right, words: list[str], title: str):
  """The figure: pairs in rows, words below each.

  Args:
    left: [N, H, W, C] in [-1, 1], C in {1, 3}; N at most `most` of them.
    right: of the same shape.
    words: below each pair, N.
    title: above all.

  Returns:
    matplotlib's Figure, in which a picture's pixels are whole pixels.
  """
  two = to_bytes(np.stack([left, right], 1))
  zoom = -(-SIDE // min(two.shape[2:4]))
  two = two.repeat(zoom, 2).repeat(zoom, 3)
  count, _, height, width, channels = two.shape
  wide, high = 2 * width + _GAP + _APART, height + _LABEL
  # About as wide as high.
  columns = min(count, max(1, round(math.sqrt(count * high / wide))))
  rows = math.ceil(count / columns)
  size = (_TOP + rows * high, max(columns * wide + _APART, 480))
  page = np.full((*size, channels), 255, np.uint8)
  figure = draw.new_figure(None, figsize=(size[1] / DPI, size[0] / DPI))
  axes = figure.add_axes((0, 0, 1, 1))
  axes.set_axis_off()
  axes.text(_APART, _TOP / 2, title, fontsize=7, va='center')
  for k, (pair, text) in enumerate(zip(two, words, strict=True)):
    row, column = divmod(k, columns)
    y, x = _TOP + row * high, _APART + column * wide
    for picture in pair:
      page[y : y + height, x : x + width] = picture
      x += width + _GAP
    middle, below = x - width - 1.5 * _GAP, y + height + _LABEL / 2
    axes.text(middle, below, text, fontsize=7, va='center', ha='center')
  page = page.repeat(3, -1) if channels == 1 else page
  axes.imshow(page, interpolation='nearest', aspect='auto')
  return figure
