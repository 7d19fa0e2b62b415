"""A film of a walk through latent space, several seeds side by side.

ProGAN, section 4: latents drawn for each frame, blurred across time (a Gaussian
of 45 frames at 60 Hz), normalised to the hypersphere. The film begins anew
without a jump.
"""

import logging
import math

import numpy as np

from gan_jax import limits
from gan_jax.explore import asking, film
from gan_jax.explore.walk import walk
from gan_jax.run import draw
from gan_jax.sampler import TRUNCATION
from gan_jax.settings import Setting

log = logging.getLogger('gan_jax')

SETTINGS = {
  'seeds': asking.SEEDS,
  'label': asking.LABEL,
  'truncation': TRUNCATION,
  'columns': Setting(
    0, 'seeds in a row; 0: about square', low=0, high=limits.FILM_SIDE
  ),
  'seconds': Setting(
    10.0, 'until the film begins anew', above=0.0, high=3600.0
  ),
  'fps': Setting(60, 'frames a second', low=1, high=240),
  'smooth': Setting(
    0.75,
    'seconds, width (sigma) of the blur of the latents: more is slower',
    above=0.0,
    high=3600.0,
  ),
  'side': Setting(
    128,
    'pixels: smaller pictures are enlarged to it, by whole multiples',
    low=1,
    high=limits.FILM_SIDE,
  ),
  'format': film.FORMAT,
}

GAP = 2  # pixels between cells


def run(restored, out, settings) -> None:
  """Writes <out>/video_step_<step>.mp4, or .webp.

  Cell k shows the walk of seed k, of one class all the way.

  Args:
    restored: a run that makes pictures.
    out: a folder; it need not exist.
    settings: see `SETTINGS`.

  Raises:
    UserError: for whatever the user can put right.
  """
  asked = asking.Asked(restored, settings, 'video')
  frames = max(1, round(settings.seconds * settings.fps))
  cells, latent = len(asked.seeds), restored.config.latent
  asking.check_walk(frames, cells, latent.size, 'video')
  columns = min(settings.columns or math.ceil(math.sqrt(cells)), cells)
  height, width, _ = restored.run.load_data()['shape']
  zoom = math.ceil(settings.side / min(height, width))
  film.check_side(
    math.ceil(cells / columns) * (height * zoom + GAP) + GAP,
    columns * (width * zoom + GAP) + GAP,
    'ask for fewer seeds, another number of columns, or a smaller side',
  )
  form = film.chosen(settings.format)
  z = walk(
    asked.seeds,
    frames,
    latent.size,
    settings.smooth * settings.fps,
    latent.distribution,
  )
  pictures = asked.pictures(
    z.reshape(-1, latent.size), np.tile(asked.labels, frames)
  )
  grids = (
    draw.grid(np.stack(row).repeat(zoom, 1).repeat(zoom, 2), columns, GAP)
    for row in zip(*[pictures] * cells, strict=True)
  )
  stem = asking.place(out, restored, 'video')
  told = asking.told(grids, frames, 'frames')
  file = film.save(stem, told, frames, settings.fps, form)
  log.info(
    '%d frames of step %d, %g s: %s',
    frames,
    restored.step,
    frames / settings.fps,
    file,
  )
