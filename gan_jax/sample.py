"""Samples from a checkpoint, one a seed."""

import logging
import re

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import experiment as experiment_lib
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.nn import latent
from gan_jax.restore import restore
from gan_jax.run import draw
from gan_jax.state import TrainState

log = logging.getLogger('gan_jax')

MAX_SEEDS = 1_000_000


def in_use(state: TrainState) -> dict:
  """The variables that samples are made with: the average's, if there is."""
  return (state.ema or state.pair.g).variables


def labels_of(seeds, classes: int, label: int | None = None) -> jax.Array:
  """The class of each seed: `label`, or the classes in turn. int32 [N]."""
  if label is not None:
    return jnp.full(len(seeds), label, jnp.int32)
  return jnp.asarray(np.asarray(seeds) % max(classes, 1), jnp.int32)


class Preview:
  """The samples that show a run's progress: those of the first seeds.

  Points are shown by a `landscape.Landscape` instead.

  Args:
    config: of the run.
    experiment: what it means.
  """

  def __init__(self, config, experiment: experiment_lib.Experiment):
    generator = experiment.objective.generator
    # One column a class, where there are classes and room for them.
    self.columns = generator.classes if 0 < generator.classes <= 16 else 8
    self.count = 8 * self.columns
    self._config = config.latent
    self._sampler = experiment_lib.make_sampler(experiment)
    self._local_sampler = experiment_lib.make_local_sampler(experiment)
    self._classes = generator.classes

  def __call__(self, state: TrainState) -> np.ndarray:
    """Samples [count, ...] as they are at this state."""
    seeds = range(self.count)
    z = latent.by_seed(seeds, self._config.size, self._config.distribution)
    samples = self._sampler(in_use(state), z, labels_of(seeds, self._classes))
    return np.asarray(samples)

  def locals(self, state: TrainState) -> np.ndarray:
    """Samples of the local generators, a row of `columns` each.

    They are those of the first seeds, so a row shows what the first row of the
    global generator's grid does, at the same state.
    """
    seeds = range(self.columns)
    z = latent.by_seed(seeds, self._config.size, self._config.distribution)
    samples = self._local_sampler(
      state.local_pairs.g.variables, z, labels_of(seeds, self._classes)
    )
    return np.asarray(samples).reshape(-1, *samples.shape[2:])


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
  classes = experiment.objective.generator.classes
  if label is not None and not 0 <= label < classes:
    raise UserError(
      f'--label={label}: '
      + (
        f'this run has the classes 0 to {classes - 1}.'
        if classes
        else 'this run was trained without labels.'
      )
    )
  sampler = experiment_lib.make_sampler(experiment)
  variables = in_use(state)
  samples = []
  for seed in numbers:
    z = latent.by_seed([seed], config.latent.size, config.latent.distribution)
    samples.append(sampler(variables, z, labels_of([seed], classes, label)))
  samples = np.concatenate(jax.device_get(samples))
  folder = run.path / 'samples' / f'step_{step:09d}'
  folder.mkdir(parents=True, exist_ok=True)
  draw.save_seeds(folder, numbers, samples, run.alphabet)
  log.info('%d samples of step %d: %s', len(numbers), step, folder)
