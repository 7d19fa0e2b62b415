"""A film of how a run has learned: the grids that it drew, one after the other.

Those of a run that grows are of several sizes: each is enlarged to the largest.
"""

import logging
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gan_jax.errors import UserError
from gan_jax.explore import asking, film
from gan_jax.settings import Setting

log = logging.getLogger('gan_jax')

SETTINGS = {
  'name': Setting(
    'fakes',
    'which grids: images/<name>_<step>.png; locals: those of an ensemble',
    choices=('fakes', 'locals'),
  ),
  'fps': Setting(8, 'grids a second', low=1, high=60),
  'hold': Setting(2.0, 'seconds that the last one is seen', low=0.0, high=60.0),
  'format': film.FORMAT,
}

STRIP = 24  # pixels below a grid, for its step


def run(restored, out, settings) -> None:
  """Writes <out>/progress_step_<step>.mp4, or .webp.

  Args:
    restored: a run that makes pictures; grids of later steps are left out.
    out: a folder; it need not exist.
    settings: see `SETTINGS`.

  Raises:
    UserError: for whatever the user can put right.
  """
  asking.check_pictures(restored, 'progress')
  folder = restored.run.path / 'images'
  grids = {
    int(file.stem[-9:]): file
    for file in sorted(folder.glob(f'{settings.name}_{"[0-9]" * 9}.png'))
  }
  grids = {step: file for step, file in grids.items() if step <= restored.step}
  if not grids:
    raise UserError(
      f'{folder} has no {settings.name}_<step>.png up to step {restored.step}:'
      ' train on, with a smaller --config.train.image_every, or choose another'
      ' --tool=progress:name=.'
    )
  sizes = [_size(file) for file in grids.values()]
  width, height = np.max(sizes, 0).tolist()
  film.check_side(height + STRIP, width, 'they cannot be made a film of')
  form = film.chosen(settings.format)
  held = round(settings.hold * settings.fps)
  count = len(grids) + held

  def frames():
    for step, file in grids.items():
      frame = _frame(file, (width, height), step)
      yield frame
    for _ in range(held):
      yield frame

  stem = asking.place(out, restored, 'progress')
  told = asking.told(frames(), count, 'frames')
  file = film.save(stem, told, count, settings.fps, form)
  log.info('%d grids up to step %d: %s', len(grids), max(grids), file)


def _size(file: pathlib.Path) -> tuple[int, int]:
  """Width and height of a grid."""
  try:
    with file.open('rb') as stream, Image.open(stream) as picture:
      return picture.size
  except OSError as error:
    raise _damaged(file, error) from None


def _frame(file: pathlib.Path, size, step: int) -> np.ndarray:
  """A grid at a size, and its step below, uint8 [H + STRIP, W, 3]."""
  try:
    with file.open('rb') as stream, Image.open(stream) as picture:
      grid = picture.convert('RGB').resize(size, Image.Resampling.NEAREST)
  except OSError as error:
    raise _damaged(file, error) from None
  whole = Image.new('RGB', (size[0], size[1] + STRIP), 'white')
  whole.paste(grid)
  ImageDraw.Draw(whole).text(
    (4, size[1] + STRIP // 2),
    f'step {step:,}',
    fill='black',
    anchor='lm',
    font=ImageFont.load_default(14),
  )
  return np.asarray(whole)


def _damaged(file: pathlib.Path, error: OSError) -> UserError:
  reason = error.strerror or str(error).partition('\n')[0]
  return UserError(
    f'{file} cannot be read ({reason}): delete it, and the film is made without'
    ' it.'
  )
