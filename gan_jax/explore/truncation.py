"""Samples between the mean w and themselves: a sweep of psi, as a grid.

StyleGAN, appendix B: w' = mean + psi (w - mean). A row is a sample, a column a
psi: at 1 it is the sample itself, at 0 what all samples have in common, below 0
its opposite. Less is less variety, and fewer samples that are odd. With cutoff
only the first layers are truncated, from 4 px upwards, two for each size (one
at 4 px, whose colours have the next): composition is moved to the mean, colours
and textures stay. For generators with styles (stylegan2); --mode=sample and
other tools take one psi by truncation.
"""

import logging

from gan_jax.errors import UserError
from gan_jax.explore import asking
from gan_jax.run import draw
from gan_jax.sampler import TRUNCATION
from gan_jax.settings import Setting

log = logging.getLogger('gan_jax')

SETTINGS = {
  'seeds': Setting('0-5', 'whose samples, a row each: 0-5, or 1,5,7-9'),
  'label': asking.LABEL,
  'psi': Setting(
    (1.0, 0.7, 0.5, 0.0, -0.5, -1.0),
    'a column each',
    entry=float,
    low=TRUNCATION.low,
    high=TRUNCATION.high,
    filled=True,
  ),
  'cutoff': Setting(0, 'layers that are truncated; 0: all', low=0, high=100),
}


def run(restored, out, settings) -> None:
  """Writes <out>/truncation_step_<step>.png.

  Args:
    restored: a run that makes pictures, by a generator with styles.
    out: a folder; it need not exist.
    settings: see `SETTINGS`.

  Raises:
    UserError: for whatever the user can put right.
  """
  asked = asking.Asked(restored, settings, 'truncation')
  cutoff = settings.cutoff or None
  samplers = [
    asked.sampler.truncated(psi, cutoff, '--tool=truncation:psi')
    for psi in settings.psi
  ]
  layers, _ = asked.sampler.style_shape
  if settings.cutoff > layers:
    raise UserError(
      f'--tool=truncation:cutoff={settings.cutoff}: the generator of this run'
      f' has {layers} layers.'
    )
  asking.check_grid(
    len(asked.seeds),
    len(samplers),
    restored.run.load_data()['shape'],
    'truncation',
    'ask for fewer seeds',
  )
  some = asked.chosen(settings.seeds, 'seeds')
  stem = asking.place(out, restored, 'truncation')
  made = [list(asked.pictures(some.z, some.labels, s)) for s in samplers]
  file = stem.with_name(f'{stem.name}.png')
  cells = [column[k] for k in range(len(asked.seeds)) for column in made]
  heads = [f'psi {psi:g}' for psi in settings.psi]
  draw.save_grid(file, cells, len(heads), heads)
  log.info('%d samples at %s: %s', len(made[0]), ', '.join(heads), file)
