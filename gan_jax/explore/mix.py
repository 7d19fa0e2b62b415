"""Style mixing through skip-layer excitations, as a grid (FastGAN, Figure 7).

A row has the maps of one sample, which say what is where; in each column
another one's low maps scale the channels of the high ones, which say in which
colours and textures. The first column and the first row are the samples
themselves. By default all gates take the style, that of 64 px among them. The
released script drives those of 128, 256 and 512 px and leaves the one at 64 px
out, so that its network is no longer the one that was trained; here a gate that
is not among gates=128,256,512 is driven by the content, as in training.
"""

import logging

import numpy as np

from gan_jax.errors import UserError
from gan_jax.explore import asking
from gan_jax.run import draw
from gan_jax.settings import Setting

log = logging.getLogger('gan_jax')

SETTINGS = {
  'seeds': Setting('0-5', 'whose content, a row each: 0-5, or 1,5,7-9'),
  'styles': Setting('10-15', 'whose style, a column each'),
  'latents': asking.LATENTS,
  'label': asking.LABEL,
  'gates': Setting(
    (),
    'sides of the maps that take the style; (): all that are excited',
    entry=int,
    low=4,
    high=4096,
  ),
}


def run(restored, out, settings) -> None:
  """Writes <out>/mix_step_<step>.png.

  Args:
    restored: a run that makes pictures, by a generator with gates.
    out: a folder; it need not exist.
    settings: see `SETTINGS`.

  Raises:
    UserError: for whatever the user can put right.
  """
  asked = asking.Asked(restored, settings, 'mix')
  there = asked.sampler.gates
  if not there:
    name = restored.config.generator.name
    raise UserError(
      f"--tool=mix: the generator of this run, '{name}', has no gates between"
      ' its maps: name a run of fastgan with generator.sle_from by --workdir.'
    )
  gates = tuple(settings.gates) or there
  if not set(gates) <= set(there):
    raise UserError(
      f'--tool=mix:gates={",".join(map(str, gates))}: the maps that this'
      f' generator excites have sides {", ".join(map(str, there))}.'
    )
  rows = len(asked.seeds)
  columns = len(asked.parsed(settings.styles, 'styles'))
  asking.check_grid(
    rows + 1,
    columns + 1,
    restored.run.load_data()['shape'],
    'mix',
    'ask for fewer seeds or styles',
  )
  contents = asked.chosen(settings.seeds, 'seeds')
  styles = asked.chosen(settings.styles, 'styles')
  stem = asking.place(out, restored, 'mix')
  head, side = (list(asked.pictures(s.z, s.labels)) for s in (styles, contents))
  row, column = np.indices((rows, columns)).reshape(2, -1)
  mixed = asked.mixed(gates, contents.of(row), styles.of(column))
  mixed = list(asking.told(mixed, rows * columns, 'pictures'))
  cells = [np.ones_like(head[0]), *head]  # a white corner
  for k, content in enumerate(side):
    cells += [content, *mixed[k * columns : (k + 1) * columns]]
  file = stem.with_name(f'{stem.name}.png')
  draw.save_grid(file, cells, columns + 1)
  log.info(
    '%d samples, each in the styles of %d, by gates at %s px: %s',
    rows,
    columns,
    ', '.join(map(str, gates)),
    file,
  )
