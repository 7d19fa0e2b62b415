"""folder:PATH: picture files in a folder or a zip archive."""

import collections
import os
import statistics

import numpy as np

from gan_jax.data import layout, picture
from gan_jax.data.files import Files, open_files, printable
from gan_jax.data.scan import Scan, first_few, scan
from gan_jax.data.source import (
  DecodedSource,
  Source,
  class_counts,
  report_text,
  some_lines,
)
from gan_jax.errors import UserError

# Of pictures and films too, but in formats that are not read.
_UNREAD = frozenset(
  '.heic .heif .avif .jxl .jp2 .svg .psd .ai .eps .pdf .raw .dng .cr2 .cr3 .nef'
  ' .arw .orf .rw2 .exr .tga .mp4 .mov .avi .mkv .webm .zip .rar .7z'.split()
)


class FolderSource(DecodedSource):
  """The readable pictures of a folder or archive.

  Pictures that fit the device budget were kept by the scan; others are decoded
  each time they are read.
  """

  dtype = np.dtype(np.uint8)

  def __init__(
    self,
    name: str,
    files: Files,
    names: list[str],
    found: Scan,
    form: picture.Form,
    labels: layout.Labels | None,
  ):
    self.name = name
    self.shape = found.shape
    self.in_memory = found.pixels is not None
    self._files = files
    self._names = [names[i] for i in found.good]
    self._form = form
    self._pixels = found.pixels
    if labels:
      of = [labels.of.get(n, 0) for n in self._names]
      self.classes, self._labels = labels.classes, np.array(of, np.int32)
    else:
      folders, self._labels, _ = layout.by_folder(self._names)
      self.classes = tuple(map(printable, folders))

  @property
  def names(self) -> list[str]:
    """Paths of the pictures below the folder."""
    return self._names

  @property
  def labels(self) -> np.ndarray:
    """The class of each picture, int32 [n]."""
    return self._labels

  def __len__(self):
    return len(self._names)

  def __getitem__(self, i):
    if self._pixels is not None:
      return self._pixels[i], int(self._labels[i])
    return super().__getitem__(i)

  def label(self, i):
    """As in Source."""
    return int(self._labels[i])

  def content(self, i):
    """As in Source; the file as it is, since decoding takes ten times as long.

    A file that cannot be read stands for the one that takes its place.
    """
    if self._pixels is not None:
      return super().content(i)
    try:
      with self._files.reading(self._names[i]) as data:
        return repr(self._form).encode() + data
    except picture.BadPictureError:
      return super().content(i)

  def origin(self, i):
    """As in Source; the file as it is, or its name if it is gone."""
    try:
      with self._files.reading(self._names[i]) as data:
        return bytes(data)
    except picture.BadPictureError:
      return os.fsencode(self._names[i])

  def _decode(self, i):
    with self._files.reading(self._names[i]) as data:
      image = self._form.decode(data).pixels
    if image.shape != self.shape:
      raise picture.BadPictureError(
        f'its size has changed to {image.shape[1]}x{image.shape[0]}'
      )
    return image, int(self._labels[i])

  def _title(self, i):
    return printable(self._names[i])

  def arrays(self):
    """As in Source; no copy of what the scan has kept."""
    if self._pixels is not None:
      return self._pixels, self._labels
    return super().arrays()


def open_folder(name: str, where: str, config, form: picture.Form) -> Source:
  """The source 'folder:PATH', PATH being a folder or a zip archive.

  Each folder directly under PATH that holds pictures, at any depth, is a class.
  If some pictures lie beside those folders there are no classes. A single
  folder that wraps everything (as archives often have) is looked through.
  Folders train, val, test and the like with nothing beside them are splits, of
  which `config.split` chooses; classes are the folders in it. Where the set has
  StyleGAN's dataset.json, that says the classes.

  Raises:
    UserError: nothing there, no pictures, no such split, labels that cannot be
      used, or too many unreadable pictures.
  """
  files = open_files(name, where, config.about)
  listed, folders = files.listing()
  names, others = _sorted_out(listed)
  if not names:
    other = f'other files: {_counted(others)}' if others else 'it is empty'
    raise UserError(
      f'{name}: there are no pictures in it ({other}); pictures'
      f' are files named {", ".join(sorted(picture.SUFFIXES))}.'
    )
  names, split = layout.in_split(names, config.split, name)
  labels = layout.labels_file(files, listed, names, name)
  found = scan(files, names, form, config.device_budget_mb * 2**20, name)
  bad = len(found.skipped) / len(names)
  if bad > config.max_bad:
    raise UserError(
      f'{name}: {len(found.skipped)} of {len(names)} picture files'
      f' ({bad:.1%}) cannot be read, more than config.data.max_bad='
      f'{config.max_bad} tolerates; repair or remove them, or raise'
      f' config.data.max_bad:\n{first_few(found.skipped)}'
    )
  source = FolderSource(name, files, names, found, form, labels)
  rows = [('split', split)] if split else []
  rows += _found(found, config.max_bad, others)
  rows += _kinds(found, form)
  rows.append(
    ('classes', _classes(source, labels, listed + [f'{f}/' for f in folders]))
  )
  if found.skipped:
    rows.append(('skipped', first_few(found.skipped, len(found.skipped))))
  source.report = report_text(source, rows)
  return source


def glance(
  name: str, where: str, split: str, most: int
) -> tuple[int, list[int]]:
  """What the headers of picture files tell before the files are scanned.

  Args:
    name: see `open_folder`.
    where: the same.
    split: the same.
    most: files that are looked at, evenly spaced among more.

  Returns:
    The number of picture files, readable or not, and the shorter sides, in
    pixels, of those looked at that can be read.

  Raises:
    UserError: nothing there, or no such split.
  """
  files = open_files(name, where)
  names, _ = _sorted_out(files.listing()[0])
  if not names:
    return 0, []
  names, _ = layout.in_split(names, split, name)
  chosen = np.linspace(0, len(names) - 1, min(most, len(names))).astype(int)
  sides = []
  for i in chosen:
    try:
      with files.reading(names[i]) as data:
        sides.append(min(picture.size(data)))
    except picture.BadPictureError:
      continue  # the scan will name it
  return len(names), sides


def _sorted_out(listed: list[str]) -> tuple[list[str], collections.Counter]:
  """The picture files, and how many others there are by suffix."""
  names, others = [], collections.Counter()
  for file in listed:
    suffix = os.path.splitext(file)[1].lower()
    if suffix in picture.SUFFIXES:
      names.append(file)
    else:
      others[suffix or 'no suffix'] += 1
  return names, others


def _counted(others):
  """'.txt 3, .heic 1'."""
  shown = others.most_common(10)
  return ', '.join(f'{printable(suffix)} {k:,}' for suffix, k in shown)


def _found(found, max_bad, others):
  n, bad = len(found.good), len(found.skipped)
  skipped = (
    f'{n:,} used, {bad:,} skipped ({bad / (n + bad):.1%}; up to {max_bad:.1%}'
    ' are tolerated)'
  )
  rows = [
    ('found', f'{n + bad:,} picture files: {skipped if bad else "all used"}')
  ]
  if others:
    rows.append(('besides', f'other files, ignored: {_counted(others)}'))
    unread = sorted(_UNREAD & set(others))
    if unread:
      words = (
        f'{", ".join(unread)} are not read: save what pictures are in them as'
        ' PNG or JPEG'
      )
      rows[-1] = ('besides', f'{rows[-1][1]}\n{words}')
  return rows


def _kinds(found, form):
  rows = [('sizes', _sizes(found, form))]
  modes = []
  for stored, count in sorted(found.modes.items(), key=lambda m: (-m[1], m[0])):
    done = form.of_mode(stored)
    modes.append(f'{stored} {count:,}' + (f': {done}' if done else ''))
  rows.append(('modes', '\n'.join(modes)))
  if found.turned:
    rows.append(('turned', f'{found.turned:,} as their EXIF data say'))
  if found.several:
    rows.append(
      ('frames', f'of {found.several:,} with several frames the first is used')
    )
  return rows


def _classes(source, labels, listed):
  """What is said of the classes, with all that is odd about them."""
  text = class_counts(source.classes, source.labels)
  if labels:
    what = 'as in' if labels.classes else 'the set has none, says'
    text += f'\n{what} {printable(labels.path)}'
    if labels.absent:
      text += f'; {labels.absent:,} pictures that it names are not there'
    return text
  if not source.classes:
    if any('/' in name for name in source.names):
      text += ': pictures are not sorted into two or more sub-folders'
    return text
  folders, _, root = layout.by_folder(source.names)
  below = {layout.top(path, root) for path in listed if path.startswith(root)}
  empty = [
    f'{printable(folder)}: no picture in it can be read, so it is no class'
    for folder in sorted(below - {*folders, ''})
  ]
  return '\n'.join([text, *some_lines(empty), *layout.doubts(folders)])


def _sizes(found, form):
  if len(found.sizes) == 1:
    ((width, height),) = found.sizes
    text = f'all {width}x{height}'
    if width == height == form.resolution:
      return text
  else:
    widths, heights = zip(*found.sizes, strict=True)
    (w, h), count = min(
      found.sizes.items(), key=lambda item: (-item[1], item[0])
    )
    text = (
      f'width {min(widths)} to {max(widths)}, height {min(heights)} to'
      f' {max(heights)}, most common {w}x{h} ({count:,})'
    )
  small = sum(
    k for size, k in found.sizes.items() if min(size) < form.resolution
  )
  if small:
    text += (
      f'; {small:,} are smaller than {form.resolution} and are enlarged, which'
      ' blurs them'
    )
  cut = _cut(found.sizes) if form.resolution else ''
  return f'{text}\n{form.of_size()}{cut}'


def _cut(sizes):
  """What is said of pictures that are not square: what is lost of them."""
  lost = [
    1 - min(size) / max(size)
    for size, count in sizes.items()
    for _ in range(count)
    if size[0] != size[1]
  ]
  if not lost:
    return ''
  return (
    f'; of {len(lost):,} that are not square the middle is kept, and'
    f' {statistics.median(lost):.0%} cut off'
    + (' (the median)' if min(lost) < max(lost) else '')
  )
