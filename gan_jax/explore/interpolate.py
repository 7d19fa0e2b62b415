"""The way from picture to picture through latent space: a strip, and a film.

Between seeds, or between pictures that --tool=invert has found (latents=FILE;
FastGAN, Figure 6). Normal vectors turn from one to the next at an even speed
while their lengths change evenly, for on the straight line between them they
would be shorter than any that G has met; uniform ones take that line. So do the
w of a generator with styles (stylegan2), between which lies no hole. The strip
has a row from each picture to the next; the film goes through all of them and
back to the first.
"""

import itertools
import logging
import math

import numpy as np

from gan_jax import limits
from gan_jax.data.source import to_bytes
from gan_jax.errors import UserError
from gan_jax.explore import asking, film
from gan_jax.explore.walk import PATHS, straight
from gan_jax.run import draw
from gan_jax.sampler import TRUNCATION
from gan_jax.settings import Setting

log = logging.getLogger('gan_jax')

# From a place in time to a place on the way, both in [0, 1].
EASING = {
  'linear': lambda t: t,
  'smooth': lambda t: (1 - np.cos(np.pi * t)) / 2,
}

SETTINGS = {
  'seeds': Setting('0-4', 'between whose samples: 0-4, or 1,5,7-9'),
  'latents': asking.LATENTS,
  'label': asking.LABEL,
  'truncation': TRUNCATION,
  'make': Setting(
    'both', 'a strip (.png), a film, or both', choices=('both', 'strip', 'film')
  ),
  'easing': Setting(
    'linear',
    'linear: at an even speed; smooth: slow near the pictures',
    choices=EASING,
  ),
  'columns': Setting(
    8, 'pictures of a row of the strip, both ends among them', low=2, high=64
  ),
  'seconds': Setting(
    2.0, 'of the film from each picture to the next', above=0.0, high=3600.0
  ),
  'fps': Setting(30, 'frames a second', low=1, high=240),
  'side': Setting(
    256,
    'pixels of the film: smaller pictures are enlarged to it, by whole'
    ' multiples',
    low=1,
    high=limits.FILM_SIDE,
  ),
  'format': film.FORMAT,
}


def run(restored, out, settings) -> None:
  """Writes <out>/interpolate_step_<step>.png, and .mp4 or .webp.

  Args:
    restored: a run that makes pictures.
    out: a folder; it need not exist.
    settings: see `SETTINGS`.

  Raises:
    UserError: for whatever the user can put right.
  """
  asked = asking.Asked(restored, settings, 'interpolate')
  count, latent = len(asked.seeds), restored.config.latent
  if count < 2:
    raise UserError(
      f'--tool=interpolate:seeds={settings.seeds} is one picture: name two or'
      ' more to go between.'
    )
  if asked.sampler.classes and len(set(asked.labels.tolist())) > 1:
    raise UserError(
      f'--tool=interpolate:seeds={settings.seeds[:80]} are of several classes,'
      ' and G knows nothing between classes: choose one by label=NAME.'
    )
  shape = restored.run.load_data()['shape']
  asking.check_grid(
    count - 1,
    settings.columns,
    shape,
    'interpolate',
    'ask for fewer seeds or columns',
  )
  frames = max(1, round(settings.seconds * settings.fps))
  w = asked.sampler.style_shape
  asking.check_walk(frames, count, math.prod(w or [latent.size]), 'interpolate')
  zoom = math.ceil(settings.side / min(shape[:2]))
  film.check_side(shape[0] * zoom, shape[1] * zoom, 'ask for a smaller side')
  form = film.chosen(settings.format) if settings.make != 'strip' else ''
  ends = asked.chosen(settings.seeds, 'seeds')
  path = straight if w else PATHS[latent.distribution]
  ends = asked.styles(ends) if w else ends
  stem = asking.place(out, restored, 'interpolate')
  if settings.make != 'film':
    _strip(asked, ends, path, settings, stem)
  if settings.make != 'strip':
    _film(asked, ends, path, settings, stem, frames, zoom, form)


def _strip(asked, ends, path, settings, stem) -> None:
  """Writes the rows from each picture to the next."""
  t = EASING[settings.easing](np.linspace(0, 1, settings.columns))
  z = [path(a, b, t) for a, b in itertools.pairwise(ends.z)]
  rows = asking.told(
    _shown(asked, ends, z), len(z) * len(t), 'pictures of the strip'
  )
  file = stem.with_name(f'{stem.name}.png')
  draw.save_grid(file, list(rows), settings.columns)
  log.info('From picture to picture: %s', file)


def _film(asked, ends, path, settings, stem, frames, zoom, form) -> None:
  """Writes the way through all pictures, `frames` from each to the next."""
  t = EASING[settings.easing](np.arange(frames) / frames)
  round_ = itertools.pairwise([*ends.z, ends.z[0]])
  z = [path(a, b, t) for a, b in round_]
  pictures = (
    to_bytes(x).repeat(zoom, 0).repeat(zoom, 1) for x in _shown(asked, ends, z)
  )
  total = len(z) * frames
  told = asking.told(pictures, total, 'frames')
  file = film.save(stem, told, total, settings.fps, form)
  log.info('%d frames, %g s: %s', total, total / settings.fps, file)


def _shown(asked, ends, z):
  """The pictures of M latent vectors a way, all of one class."""
  z = np.concatenate(z)
  return asked.pictures(z, np.full(len(z), ends.labels[0]))
