"""Samples from a checkpoint, one a seed."""

import logging
import time

import jax
import numpy as np

from gan_jax import paths
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.restore import restore
from gan_jax.run import draw
from gan_jax.run.write import make_folder
from gan_jax.sampler import Sampler
from gan_jax.seeds import class_of, parse_seeds

log = logging.getLogger('gan_jax')

_TELL = 10.0  # seconds between two words on how far it is


def sample(
  workdir,
  seeds: str,
  step: int | str | None,
  label: str | int | None,
  out=None,
  truncation: float | None = None,
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
    truncation: psi, see `sampler.TRUNCATION`; None for all of w.

  Raises:
    UserError: for whatever the user can put right.
  """
  numbers = parse_seeds(seeds)
  out = None if out is None else paths.place(out, '--out')
  run, config, experiment, step, state = restore(workdir, one_device(), step)
  if state.pair.g is None:
    raise UserError(
      f'--workdir={workdir} is the run of a classifier, which makes no'
      ' samples: use --mode=evaluate for its accuracy.'
    )
  sampler = Sampler(config, experiment).at(step)
  if truncation is not None:
    sampler = sampler.truncated(truncation)
  kind = None
  if label is not None:
    kind = class_of(label, run.load_data()['classes'], sampler.classes)
  folder = out or run.path / 'samples' / f'step_{step:09d}'
  try:
    make_folder(folder)
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
