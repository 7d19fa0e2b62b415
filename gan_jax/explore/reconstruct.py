"""Pictures beside what D and G together make of them: GLeaD's reconstructions.

Figure 5 of its paper, for runs with tasks.lead. D tells of a picture in one
pass what G goes on from: an encoder that was learned with the game, of real
pictures that neither network has seen (those held out, split=..., or
pictures=FOLDER) and of samples. --tool=invert looks for the same by many steps,
and for what G makes from its beginning. G is the one that D was trained with,
not its average, whose samples they are.
"""

import logging

import jax
import numpy as np

from gan_jax.errors import UserError
from gan_jax.explore import asking, likeness, pairs, shown
from gan_jax.explore.invert import SETTINGS as OF_INVERT
from gan_jax.observe.reconstructions import rebuilt
from gan_jax.run.write import strict, whole
from gan_jax.tasks import lead
from gan_jax.tasks.perceptual import squared

log = logging.getLogger('gan_jax')

SETTINGS = {**shown.SETTINGS, 'distance': OF_INVERT['distance']}


def run(restored, out, settings) -> None:
  """Writes <out>/reconstruct_step_<step>.png, and .json with the errors.

  Args:
    restored: a run that makes pictures, with tasks.lead.
    out: a folder; it need not exist.
    settings: see `SETTINGS`.

  Raises:
    UserError: for whatever the user can put right.
  """
  both = shown.Shown(restored, settings, 'reconstruct')
  config, run = restored.config, restored.run
  task = lead.of_config(config)
  if task is None:
    raise UserError(
      '--tool=reconstruct: D of this run has not learned to tell G how to'
      ' rebuild a picture: train with --config.tasks.lead.weight=1, or use'
      ' --tool=invert.'
    )
  shape = run.load_data()['shape']
  near = likeness.open_likeness(
    settings.distance, config.metrics.weights, shape
  )
  game = restored.experiment.objective.at_resolution(both.side)
  pair = restored.state.pair
  rebuild = jax.jit(lambda g, d, *x: rebuilt(game, task, both.alpha, g, d, *x))
  stem = asking.place(out, restored, 'reconstruct')
  pictures, made = both(
    lambda *x: rebuild(pair.g.variables, pair.d.variables, *x)
  )
  zoom = shape[0] // made.shape[1]
  made = made.repeat(zoom, 1).repeat(zoom, 2).clip(-1, 1)
  errors = np.stack(
    [
      jax.jit(near.function)(near.variables, pictures, made),
      squared(pictures - made),
    ],
    1,
  )
  _save(stem, restored, both, near, errors)
  words = [
    f'{name}: {a:.3g}, {b:.3g}'
    for name, (a, b) in zip(both.names, errors, strict=True)
  ]
  title = (
    f'step {restored.step:,}: picture and reconstruction, {near.name} and mean'
    f' squared error below each\n{both.words}'
  )
  figure = pairs.figure_of(pictures, made, words, title)
  with whole(stem.with_name(f'{stem.name}.png')) as scratch:
    figure.savefig(scratch, dpi=pairs.DPI)
  log.info(
    'Rebuilt: mean %s of pictures %.4g, of samples %.4g: %s.png',
    near.name,
    *(part[:, 0].mean() for part in np.split(errors, [both.reals])),
    stem,
  )


def _save(stem, restored, both, near, errors) -> None:
  """Writes the errors [N, 2], and what they are of, as JSON."""
  named = lambda row: dict(zip(('distance', 'mse'), row.tolist(), strict=True))
  reals, samples = np.split(errors, [both.reals])
  numbers = {
    'step': restored.step,
    'shown': both.words,
    'distance': {'name': near.name, 'how': near.about},
    'mean': {
      'pictures': named(reals.mean(0)),
      'samples': named(samples.mean(0)),
    },
    'each': [
      {'name': name, **named(row)}
      for name, row in zip(both.names, errors, strict=True)
    ],
  }
  with whole(stem.with_name(f'{stem.name}.json')) as scratch:
    scratch.write_text(strict(numbers, 2) + '\n', encoding='utf-8')
