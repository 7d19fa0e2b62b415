"""Looks at every picture file once before training.

Decoding is the only way to find a truncated file, and to find it now costs less
than to lose a run to it later.
"""

import collections
import dataclasses

import numpy as np

from gan_jax.data import picture
from gan_jax.data.files import Files, printable
from gan_jax.data.source import in_threads, some_lines
from gan_jax.errors import UserError


@dataclasses.dataclass
class Scan:
  """What was found.

  Attributes:
    good: numbers of the files that can be read, ascending.
    skipped: (name, reason) of the others, in their order.
    modes: how many good pictures are stored how.
    sizes: how many good pictures are (width, height) large, upright.
    turned: how many were turned by their EXIF data.
    several: of how many, with several frames or pages, the first is used.
    shape: (H, W, C) of the pictures in their form.
    pixels: the good pictures uint8 [n, H, W, C], or None if they are too many.
  """

  good: list[int]
  skipped: list[tuple[str, str]]
  modes: collections.Counter
  sizes: collections.Counter
  turned: int
  several: int
  shape: tuple[int, int, int]
  pixels: np.ndarray | None


def scan(
  files: Files,
  names: list[str],
  form: picture.Form,
  keep_bytes: float,
  source: str,
) -> Scan:
  """Decodes all files.

  Args:
    files: where they are.
    names: which, at least one.
    form: what to turn them into.
    keep_bytes: the decoded pictures are kept if all fit into this.
    source: the config's source string, for messages.

  Raises:
    UserError: no file can be read, or the sizes differ although they are to be
      left as they are.
  """
  shape = _shape(files, names, form)
  keep = len(names) * int(np.prod(shape)) <= keep_bytes
  pixels = np.empty((len(names) if keep else 0, *shape), np.uint8)
  found = [None] * len(names)  # a list item is set without a lock

  def look(run):
    for i in run:
      try:
        with files.reading(names[i]) as data:
          one = form.decode(data)
      except picture.BadPictureError as e:
        found[i] = str(e)
        continue
      found[i] = (one.stored, one.size, one.turned, one.several)
      if keep and one.pixels.shape == shape:
        pixels[i] = one.pixels

  in_threads(look, len(names), f'scanning {source}')
  _part_ranges(found)
  good = [i for i, f in enumerate(found) if not isinstance(f, str)]
  skipped = [
    (printable(names[i]), f) for i, f in enumerate(found) if isinstance(f, str)
  ]
  sizes = collections.Counter(found[i][1] for i in good)
  _check(source, form, skipped, sizes)
  if keep and skipped:
    pixels = pixels[good]
  return Scan(
    good,
    skipped,
    collections.Counter(found[i][0] for i in good),
    sizes,
    sum(found[i][2] for i in good),
    sum(found[i][3] for i in good),
    shape,
    pixels if keep else None,
  )


def _part_ranges(found) -> None:
  """Takes out what was taken for 8 bits if others of its kind have more.

  Among 32-bit pictures of a wider range one that holds no value above 255 is
  more likely dark than of another range.
  """
  wide = any(
    one[0].startswith('32-bit') and not one[0].startswith(picture.NARROW)
    for one in found
    if not isinstance(one, str)
  )
  for i, one in enumerate(found):
    if wide and not isinstance(one, str) and one[0].startswith(picture.NARROW):
      found[i] = (
        '32-bit picture with no value above 255, among others with larger ones;'
        ' save all as 8-bit or all as 16-bit'
      )


def first_few(skipped: list[tuple[str, str]], n: int = 10) -> str:
  """Lines that name the first skipped files, with their reasons."""
  lines = [f'{name}: {reason}' for name, reason in skipped]
  return '\n'.join(some_lines(lines, n))


def _shape(files, names, form):
  """(H, W, C) in the form; the first readable file tells it if it must."""
  if form.resolution:
    return form.resolution, form.resolution, form.channels
  for name in names:
    try:
      with files.reading(name) as data:
        return form.decode(data).pixels.shape
    except picture.BadPictureError:
      continue
  return 0, 0, form.channels  # none is readable; the scan will say so


def _check(source: str, form: picture.Form, skipped, sizes) -> None:
  """Raises UserError if the pictures found cannot make a set."""
  if not sizes:
    raise UserError(
      f'{source}: none of the {len(skipped)} picture files can be read:\n'
      f'{first_few(skipped)}'
    )
  if not form.resolution and len(sizes) > 1:
    common = ', '.join(f'{w}x{h} ({k})' for (w, h), k in sizes.most_common(3))
    raise UserError(
      f'{source}: config.data.resolution=0 leaves pictures at their size, but'
      f' there are {len(sizes)} different sizes ({common}, ...); set'
      ' config.data.resolution to the side you want, in pixels.'
    )
