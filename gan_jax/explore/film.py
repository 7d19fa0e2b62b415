"""Frames to a film, as they come: MP4, or WebP where no encoder is installed.

MP4 is H.264 in 4:2:0, which everything plays, by the ffmpeg that comes with the
package imageio-ffmpeg (the extra `video`). WebP is Pillow's: browsers and most
viewers play it; it takes more room.
"""

import contextlib
import importlib.util
import itertools
import logging
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator

import numpy as np
from PIL import Image

from gan_jax import limits
from gan_jax.errors import UserError
from gan_jax.run.write import whole
from gan_jax.settings import Setting

log = logging.getLogger('gan_jax')

ENCODER = 'imageio_ffmpeg'
INSTALL = 'pip install imageio-ffmpeg'
_CRF = '16'  # x264's measure of loss, 0 to 51: here it is hardly seen


def save(
  stem: pathlib.Path,
  frames: Iterator[np.ndarray],
  count: int,
  fps: int,
  form: str = 'auto',
) -> pathlib.Path:
  """Writes a film, whole or not at all; it holds one frame in memory.

  Args:
    stem: of the file, without ending.
    frames: uint8 [H, W, C] of one size, C in {1, 3}; `count` of them, at least
      one.
    count: see above.
    fps: frames a second.
    form: a key of `FORMS`, or 'auto'.

  Returns:
    The file.

  Raises:
    UserError: if there is no encoder for MP4, or it has failed.
  """
  form = chosen(form)
  file = stem.with_name(f'{stem.name}.{form}')
  with whole(file) as scratch:
    FORMS[form](scratch, map(_coloured, frames), count, fps)
  return file


def chosen(form: str) -> str:
  """The format that is written: MP4 if nothing else is said and it can be.

  Raises:
    UserError: for MP4 without an encoder.
  """
  there = importlib.util.find_spec(ENCODER) is not None
  if form == 'mp4' and not there:
    raise UserError(
      f'To write MP4 an encoder is missing: {INSTALL}, or choose format=webp.'
    )
  if form != 'auto':
    return form
  if not there:
    log.info('The film will be a WebP; for MP4: %s', INSTALL)
  return 'mp4' if there else 'webp'


def check_side(height: int, width: int, advice: str) -> None:
  """Refuses frames that players do not take.

  Args:
    height: in pixels.
    width: in pixels.
    advice: the end of the sentence: what to do.
  """
  if max(height, width) > limits.FILM_SIDE:
    raise UserError(
      f'Frames of {width:,} x {height:,} pixels are larger than films can be'
      f' ({limits.FILM_SIDE:,} a side): {advice}.'
    )


def _coloured(frame: np.ndarray) -> np.ndarray:
  return frame.repeat(3, -1) if frame.shape[-1] == 1 else frame


def _mp4(scratch: pathlib.Path, frames, count: int, fps: int) -> None:
  first = next(frames)
  # Colours are kept for 2 x 2 pixels: sides are even.
  odd = [(0, side % 2) for side in first.shape[:2]] + [(0, 0)]
  height, width = (side + side % 2 for side in first.shape[:2])
  with tempfile.TemporaryFile() as said:
    # The package's own writer forks, which may hang beside JAX's threads.
    process = subprocess.Popen(
      [
        *(_ffmpeg(), '-y', '-loglevel', 'error'),
        *('-f', 'rawvideo', '-pix_fmt', 'rgb24'),
        *('-s', f'{width}x{height}', '-r', str(fps), '-i', '-'),
        *('-c:v', 'libx264', '-crf', _CRF, '-pix_fmt', 'yuv420p'),
        *('-movflags', '+faststart', f'file:{scratch}'),
      ],
      stdin=subprocess.PIPE,
      stdout=subprocess.DEVNULL,
      stderr=said,
    )
    try:
      with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        for frame in itertools.chain([first], frames):
          pipe.write(np.pad(frame, odd, 'edge').tobytes())
      failed = process.wait()
    finally:
      process.kill()
      process.wait()
    said.seek(0)
    lines = said.read().decode('utf-8', 'replace').strip().splitlines()
  if failed:
    why = f' ({lines[-1]})' if lines else ''
    raise UserError(
      f'ffmpeg could not write the film to {scratch.parent}{why}: make room on'
      ' the disk, or choose format=webp.'
    )


def _ffmpeg() -> str:
  """The path of the encoder.

  Raises:
    UserError: if its package has come without one.
  """
  import imageio_ffmpeg

  try:
    return imageio_ffmpeg.get_ffmpeg_exe()
  except RuntimeError:
    raise UserError(
      'imageio-ffmpeg is here without its ffmpeg: name one by the environment'
      ' variable IMAGEIO_FFMPEG_EXE, or choose format=webp.'
    ) from None


def _webp(scratch: pathlib.Path, frames, count: int, fps: int) -> None:
  first = next(frames)
  # Pillow asks an animated picture for its frames one after the other, and
  # would take a list of them whole.
  canvas = Image.fromarray(first)
  canvas.n_frames = count

  def seek(k):
    if 0 < k:
      canvas.paste(Image.fromarray(next(frames)))

  canvas.seek = seek
  # In whole milliseconds, without drift.
  ends = np.rint(1000 * np.arange(count + 1) / fps).astype(int)
  canvas.save(
    scratch,
    format='WEBP',
    save_all=True,
    duration=np.diff(ends).tolist(),
    loop=0,
    quality=90,
  )


FORMS = {'mp4': _mp4, 'webp': _webp}

FORMAT = Setting(
  'auto',
  'auto: mp4 if imageio-ffmpeg is installed, else webp',
  choices=('auto', *FORMS),
)
