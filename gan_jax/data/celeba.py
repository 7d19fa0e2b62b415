"""CelebA as it is downloaded, and one picture of it made into CelebA-HQ's."""

import functools
import importlib
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from gan_jax.data import faces, picture
from gan_jax.data.files import Folder
from gan_jax.errors import UserError
from gan_jax.run.write import whole

PICTURES, LANDMARKS = 'img_celeba', 'list_landmarks_celeba.txt'


def find(celeba: pathlib.Path) -> tuple[pathlib.Path, dict[str, list]]:
  """CelebA's parts in its folder.

  Args:
    celeba: see --celeba.

  Returns:
    The folder of pictures, and the landmarks [5, 2] by file name.

  Raises:
    UserError: a part is not there, or the landmarks are none.
  """
  where = f'--celeba={celeba}'
  folders = [celeba / PICTURES, celeba / 'Img' / PICTURES]
  # As the archive unpacks, it may have a folder of its own name in it.
  folders += [folder / PICTURES for folder in folders]
  found = [folder for folder in folders if folder.is_dir()]
  if not found:
    raise UserError(
      f'{where}: there is no folder {PICTURES} in it; download CelebA "in the'
      f' wild" and unpack img_celeba.7z there.'
    )
  folder = max(found, key=lambda f: len(f.parts))
  files = [celeba / LANDMARKS, celeba / 'Anno' / LANDMARKS]
  file = next((f for f in files if f.is_file()), None)
  if file is None:
    raise UserError(
      f"{where}: there is no {LANDMARKS} in it; it is among CelebA's"
      ' annotations (not the landmarks of the aligned pictures).'
    )
  return folder, landmarks(file)


def landmarks(file: pathlib.Path) -> dict[str, list]:
  """Reads CelebA's list: a number, names, then a name and ten numbers a line.

  Returns:
    [[across, down], ...] of five points by file name.

  Raises:
    UserError: a line that is none, or no line at all.
  """
  found = {}
  with open(file, encoding='utf-8', errors='surrogateescape') as lines:
    for number, line in enumerate(lines, 1):
      words = line.split()
      if number <= 2 and len(words) != 11 or not words:
        continue
      try:
        values = [float(word) for word in words[1:]]
        if len(values) != 10 or not np.isfinite(values).all():
          raise ValueError
      except ValueError:
        raise UserError(
          f'{file}: line {number} is not the name of a picture and ten numbers;'
          ' get the file anew.'
        ) from None
      found[words[0]] = [values[i : i + 2] for i in range(0, 10, 2)]
  if not found:
    raise UserError(f'{file}: there are no landmarks in it; get it anew.')
  return found


class Maker(NamedTuple):
  """What a process needs to make a picture.

  Attributes:
    folder: of the pictures.
    size: pixels a side.
    restore: see --restore.
  """

  folder: pathlib.Path
  size: int
  restore: str

  def __call__(self, name: str, points, out: pathlib.Path | None):
    """Crops one picture.

    Args:
      name: of the file.
      points: its landmarks, [5, 2].
      out: the file to write it to; None to judge it.

    Returns:
      (Its Quality or None, why it cannot be used or '').

    Raises:
      UserError: a function of --restore has failed.
    """
    try:
      with Folder(self.folder).reading(name) as data:
        form = picture.Form(0, 3, 'box', 'white')
        image = form.decode(data).pixels
      points = np.asarray(points, np.float64)
      for function in functions(self.restore):
        image, factor = _restored(function, image, name)
        points = (points + 0.5) * factor - 0.5
      image = faces.cut(image, faces.crop_of(points), self.size)
    except picture.BadPictureError as error:
      return None, str(error)
    if out is None:
      return faces.quality(image), ''
    with whole(out) as scratch:
      Image.fromarray(image).save(scratch)
    return None, ''


def _restored(function: Callable, image: np.ndarray, name: str):
  """A picture as a user's function gives it, and how much larger it is."""
  try:
    new = np.asarray(function(image))
  except Exception as error:  # whatever the user's function raises
    raise UserError(
      f'--restore: {function.__name__} fails at {name}'
      f' ({type(error).__name__}: {error}).'
    ) from None
  factor = new.shape[0] // image.shape[0] if new.ndim == 3 else 0
  height, width, channels = image.shape
  if not factor or new.shape != (factor * height, factor * width, channels):
    raise UserError(
      f'--restore: {function.__name__} makes {list(new.shape)} of'
      f' {list(image.shape)}; it should give [k H, k W, 3] with a whole k.'
    )
  if new.dtype != np.uint8:
    raise UserError(
      f'--restore: {function.__name__} gives {new.dtype}; it should give uint8,'
      ' 0 to 255.'
    )
  return new, factor


@functools.cache
def functions(restore: str) -> tuple[Callable, ...]:
  """The functions that --restore names."""
  found = []
  for text in filter(None, restore.split(',')):
    module, _, name = text.partition(':')
    try:
      function = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the user's module raises
      raise UserError(
        f'--restore={text} cannot be imported ({error}); write MODULE:FUNCTION'
        ' of a Python module in this folder or installed.'
      ) from None
    if not callable(function):
      raise UserError(f'--restore={text} is no function.')
    found.append(function)
  return tuple(found)
