"""Samples from a checkpoint, one a seed."""

import logging
import re

import jax
import numpy as np

from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.restore import restore
from gan_jax.run import draw
from gan_jax.sampler import Sampler

log = logging.getLogger('gan_jax')

MAX_SEEDS = 1_000_000


def parse_seeds(text: str) -> list[int]:
  """Reads '0-63' or '1,5,7-9'.

  Raises:
    UserError: if it is anything else.
  """
  seeds = []
  for part in text.replace(' ', '').split(','):
    match = re.fullmatch(r'(\d+)(?:-(\d+))?', part)
    if not match:
      raise UserError(
        f'--seeds={text} is not a list of seeds: write --seeds=0-63 or'
        ' --seeds=1,5,7-9.'
      )
    low, high = int(match[1]), int(match[2] or match[1])
    if high >= 2**32 or high - low >= MAX_SEEDS:
      raise UserError(
        f'--seeds={text}: seeds are below 2^32, and at most'
        f' {MAX_SEEDS:,} at a time.'
      )
    seeds.extend(range(low, high + 1))
  if not seeds or len(seeds) != len(set(seeds)):
    raise UserError(f'--seeds={text} is empty or names a seed twice.')
  return seeds


def sample(workdir, seeds: str, step: int | None, label: int | None) -> None:
  """Writes one PNG a seed, and a grid of them all, to <workdir>/samples.

  Of text it is one file with a line a seed. Every sample is made on its own:
  seed k gives the same bytes whatever else is asked for and however many
  devices there are.

  Args:
    workdir: of a run.
    seeds: see `parse_seeds`.
    step: of the checkpoint; None for the newest.
    label: class of all samples; None for the classes in turn.

  Raises:
    UserError: for whatever the user can put right.
  """
  numbers = parse_seeds(seeds)
  run, config, experiment, step, state = restore(workdir, one_device(), step)
  if state.pair.g is None:
    raise UserError(
      f'--workdir={workdir} is the run of a classifier, which makes no'
      ' samples: use --mode=evaluate for its accuracy.'
    )
  sampler = Sampler(config, experiment).at(step)
  classes = sampler.classes
  if label is not None and not 0 <= label < classes:
    raise UserError(
      f'--label={label}: '
      + (
        f'this run has the classes 0 to {classes - 1}.'
        if classes
        else 'this run was trained without labels.'
      )
    )
  variables = sampler.variables(state)
  # One at a time: a batch of another size may have other bits.
  samples = [sampler(variables, [seed], label) for seed in numbers]
  samples = np.concatenate(jax.device_get(samples))
  folder = run.path / 'samples' / f'step_{step:09d}'
  folder.mkdir(parents=True, exist_ok=True)
  draw.save_seeds(folder, numbers, samples, run.alphabet)
  log.info('%d samples of step %d: %s', len(numbers), step, folder)
