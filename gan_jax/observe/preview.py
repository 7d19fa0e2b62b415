"""Samples side by side, as a run goes on: pictures as a grid, text as lines."""

import numpy as np

from gan_jax.observe.occasional import Occasional, is_drawn
from gan_jax.sampler import Sampler
from gan_jax.state import TrainState

ROWS = 8


def columns_of(experiment) -> int:
  """Columns of a grid: one a class, where there are classes and room."""
  generator = experiment.objective.generator
  classes = generator.classes if generator else 0
  return classes if 0 < classes <= 16 else 8


class Preview(Occasional):
  """Draws the samples of the first seeds; a row a local generator beside them.

  A row of locals shows what the first row of the global generator's grid does,
  at the same state. Of a run that grows there is also a grid at the end of each
  stretch, so that every stage has one. Args: as of `observe.build`.
  """

  @staticmethod
  def wanted(config, experiment, source) -> bool:
    """Runs on points have a `landscape.Landscape` instead."""
    return bool(experiment.objective.generator) and len(source.shape) > 1

  def __init__(self, config, run, experiment, source, mesh):
    total = experiment.growth.total(config.train)
    super().__init__(config.train.image_every, total)
    self._run = run
    self._columns = columns_of(experiment)
    self._sampler = Sampler(config, experiment)
    self._ends = experiment.growth.ends()
    self._names = ('fakes', 'locals') if config.ensemble.pairs else ('fakes',)

  def due(self, step: int) -> bool:
    """See `Observer`."""
    return super().due(step) or step in self._ends

  def done(self, step: int) -> bool:
    """See `Observer`."""
    return all(is_drawn(self._run, name, step) for name in self._names)

  def __call__(self, step: int, images: int, state: TrainState) -> dict:
    """See `Observer`."""
    seeds = range(ROWS * self._columns)
    sampler = self._sampler.at(step)
    fakes = sampler(sampler.variables(state), seeds)
    self._run.images('fakes', np.asarray(fakes), self._columns, step)
    if state.local_pairs is not None:
      rows = np.asarray(sampler.local(state, range(self._columns)))
      rows = rows.reshape(-1, *rows.shape[2:])
      self._run.images('locals', rows, self._columns, step)
    return {}
