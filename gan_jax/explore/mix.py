"""Style mixing as a grid: samples, a row each, in the styles of others.

The first column and the first row are the samples themselves. Which part of a
generator takes the style is chosen by its kind.

Of generators with styles (stylegan2; StyleGAN, Figure 3) some layers take the w
of the column, the others that of the row: layers=coarse those at 4 and 8 px
(pose, shape), middle those at 16 and 32 px, fine the others (colours), or by
number, layers=0-3,6. Layers are counted from 0 at 4 px, two for each size, one
at 4 px; the picture of a size takes the w of the next layer.

Of FastGAN (Figure 7) a row has the maps of one sample, which say what is where;
in each column another one's low maps scale the channels of the high ones, which
say in which colours and textures. By default all gates take the style, that of
64 px among them. The released script drives those of 128, 256 and 512 px and
leaves the one at 64 px out, so that its network is no longer the one that was
trained; here a gate that is not among gates=128,256,512 is driven by the
content, as in training.
"""

import logging

import numpy as np

from gan_jax.errors import UserError
from gan_jax.explore import asking
from gan_jax.run import draw
from gan_jax.sampler import TRUNCATION
from gan_jax.seeds import parse_seeds
from gan_jax.settings import Setting

log = logging.getLogger('gan_jax')

# Layers by what they are like in the paper; the last ends with the generator.
BANDS = {'coarse': (0, 4), 'middle': (4, 8), 'fine': (8, None)}

SETTINGS = {
  'seeds': Setting('0-5', 'whose content, a row each: 0-5, or 1,5,7-9'),
  'styles': Setting('10-15', 'whose style, a column each'),
  'latents': asking.LATENTS,
  'label': asking.LABEL,
  'truncation': TRUNCATION,
  'layers': Setting(
    '',
    "layers that take the style: coarse, middle, fine, or 0-3,6; '': middle"
    ' (stylegan2)',
  ),
  'gates': Setting(
    (),
    'sides of the maps that take the style; (): all that are excited (fastgan)',
    entry=int,
    low=4,
    high=4096,
  ),
}


def run(restored, out, settings) -> None:
  """Writes <out>/mix_step_<step>.png.

  Args:
    restored: a run that makes pictures, by a generator with styles or gates.
    out: a folder; it need not exist.
    settings: see `SETTINGS`.

  Raises:
    UserError: for whatever the user can put right.
  """
  asked = asking.Asked(restored, settings, 'mix')
  where, words = _where(asked.sampler, settings, restored.config.generator.name)
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
  mixed = asked.mixed(where, contents.of(row), styles.of(column))
  mixed = list(asking.told(mixed, rows * columns, 'pictures'))
  cells = [np.ones_like(head[0]), *head]  # a white corner
  for k, content in enumerate(side):
    cells += [content, *mixed[k * columns : (k + 1) * columns]]
  file = stem.with_name(f'{stem.name}.png')
  draw.save_grid(file, cells, columns + 1)
  log.info(
    '%d samples, each in the styles of %d, by %s: %s',
    rows,
    columns,
    words,
    file,
  )


def _where(sampler, settings, name: str) -> tuple[tuple[int, ...], str]:
  """What takes the style, see `Sampler.mixed`, and the same in words.

  Args:
    sampler: of the run.
    settings: of the tool.
    name: of the generator, for sentences.
  """
  option, styled = '--tool=mix', bool(sampler.style_shape)
  if not (styled or sampler.gates):
    raise UserError(
      f"{option}: the generator of this run, '{name}', has no gates between its"
      ' maps, and no styles: name a run of stylegan2, or one of fastgan with'
      ' generator.sle_from, by --workdir.'
    )
  wrong, right = ('gates', 'layers') if styled else ('layers', 'gates')
  if getattr(settings, wrong):
    raise UserError(
      f"{option}:{wrong} mean nothing to the generator of this run, '{name}':"
      f' say {right}= instead.'
    )
  if styled:
    layers = layers_of(settings.layers or 'middle', sampler.style_shape[0])
    return layers, f'the w of layers {", ".join(map(str, layers))}'
  there = sampler.gates
  gates = tuple(settings.gates) or there
  if not set(gates) <= set(there):
    raise UserError(
      f'{option}:gates={",".join(map(str, gates))}: the maps that this'
      f' generator excites have sides {", ".join(map(str, there))}.'
    )
  return gates, f'gates at {", ".join(map(str, gates))} px'


def layers_of(text: str, count: int) -> tuple[int, ...]:
  """Layers that a person names, in order.

  Args:
    text: names of `BANDS`, numbers and ranges of them, a comma between.
    count: layers of the generator.

  Raises:
    UserError: for anything else, or if the generator has none of these.
  """
  option, found = '--tool=mix:layers', set()
  for word in text.split(','):
    if word.strip() in BANDS:
      some = range(count)[slice(*BANDS[word.strip()])]
    else:
      some = parse_seeds(word, option)
    if not some or max(some) >= count:
      raise UserError(
        f'{option}={text[:80]}: the generator of this run has the layers 0 to'
        f' {count - 1} (coarse 0 to 3, middle 4 to 7, fine from 8): name some'
        ' of them.'
      )
    found |= set(some)
  return tuple(sorted(found))
