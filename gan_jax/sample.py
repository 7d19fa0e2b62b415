"""Samples from a checkpoint, one a seed."""

import logging
import re
import time

import jax
import numpy as np

from gan_jax import limits, paths
from gan_jax.errors import UserError, did_you_mean
from gan_jax.mesh import one_device
from gan_jax.restore import restore
from gan_jax.run import draw
from gan_jax.sampler import Sampler

log = logging.getLogger('gan_jax')

_TELL = 10.0  # seconds between two words on how far it is


def parse_seeds(text: str) -> list[int]:
  """Reads '0-63' or '1,5,7-9'.

  Raises:
    UserError: if it is anything else.
  """
  seeds = []
  for part in text.replace(' ', '').split(','):
    match = re.fullmatch(r'([0-9]{1,10})(?:-([0-9]{1,10}))?', part)
    if not match:
      raise UserError(
        f'--seeds={text[:80]} is not a list of seeds: write --seeds=0-63 or'
        ' --seeds=1,5,7-9; seeds are below 2^32.'
      )
    low, high = int(match[1]), int(match[2] or match[1])
    if high < low:
      raise UserError(
        f'--seeds={text[:80]}: {part} runs backwards; write {high}-{low}.'
      )
    if high >= 2**32 or len(seeds) + high - low >= limits.MAX_SEEDS:
      raise UserError(
        f'--seeds={text[:80]}: seeds are below 2^32, and at most'
        f' {limits.MAX_SEEDS:,} at a time.'
      )
    seeds.extend(range(low, high + 1))
  if len(seeds) != len(set(seeds)):
    raise UserError(f'--seeds={text[:80]} names a seed twice.')
  return seeds


def class_of(text: str | int, names: list, classes: int) -> int:
  """The number of a class that --label names.

  A name wins over a number: of the classes '1' and '2', which are number 0 and
  1, the text 1 is the first.

  Args:
    text: as the person wrote it; an int, from Python, is a number.
    names: of the classes, in order.
    classes: that the generator takes; 0 without labels.

  Raises:
    UserError: if there is no such class, or several of that name.
  """
  if not classes:
    raise UserError(f'--label={text}: this run was trained without labels.')
  if isinstance(text, int):
    found, text = [text] * (0 <= text < classes), str(text)
  else:
    found = [k for k, name in enumerate(names) if str(name) == text]
  if len(found) == 1:
    return found[0]
  if found:
    raise UserError(
      f'--label={text}: the classes {", ".join(map(str, found))} have that'
      ' name; give the number of one.'
    )
  if re.fullmatch('[0-9]{1,9}', text) and int(text) < classes:
    return int(text)
  raise UserError(
    f'--label={text}: this run has the classes 0 to {classes - 1}'
    + (f', called {_some(names)}' if names else '')
    + did_you_mean(text, names)
  )


def _some(names: list) -> str:
  """Names in a sentence, not all of a thousand."""
  more = [f'... ({len(names)} in all)'] if len(names) > 12 else []
  return ', '.join([*map(str, names[:12]), *more])


def sample(
  workdir,
  seeds: str,
  step: int | str | None,
  label: str | int | None,
  out=None,
) -> None:
  """Writes one PNG a seed, and a grid of the first, to <workdir>/samples.

  Of text it is one file with a line a seed. Every sample is made on its own:
  seed k gives the same bytes whatever else is asked for and however many
  devices there are. Each is written as it is made: a million take no more
  memory than one.

  Args:
    workdir: of a run; nothing else in it is written to.
    seeds: see `parse_seeds`.
    step: of the checkpoint, or 'best'; None for the newest.
    label: class of all samples, see `class_of`; None for the classes in turn.
    out: a folder to write to instead; the run is only read then.

  Raises:
    UserError: for whatever the user can put right.
  """
  numbers = parse_seeds(seeds)
  out = None if out is None else paths.local(out, '--out')
  run, config, experiment, step, state = restore(workdir, one_device(), step)
  if state.pair.g is None:
    raise UserError(
      f'--workdir={workdir} is the run of a classifier, which makes no'
      ' samples: use --mode=evaluate for its accuracy.'
    )
  sampler = Sampler(config, experiment).at(step)
  kind = None
  if label is not None:
    kind = class_of(label, run.load_data()['classes'], sampler.classes)
  folder = out or run.path / 'samples' / f'step_{step:09d}'
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f'{folder} cannot be made ({error.strerror.lower()}): name a folder for'
      ' the samples by --out=DIR.'
    ) from None
  variables, told = sampler.variables(state), time.monotonic()
  with draw.Seeds(folder, run.alphabet) as seen:
    for count, seed in enumerate(numbers):
      if time.monotonic() - told > _TELL:
        log.info('%d of %d samples.', count, len(numbers))
        told = time.monotonic()
      # One at a time: a batch of another size may have other bits.
      made = sampler(variables, [seed], kind)
      seen.add(seed, np.asarray(jax.device_get(made))[0])
  log.info('%d samples of step %d: %s', len(numbers), step, folder)
