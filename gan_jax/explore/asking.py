"""What tools have in common: a run's generator, and a place for results."""

import logging
import pathlib
import time
from collections.abc import Iterator

import numpy as np

from gan_jax.data.source import KINDS
from gan_jax.errors import UserError
from gan_jax.restore import Restored
from gan_jax.sampler import (
  Chunks,
  Sampler,
  at_once,
  class_of,
  parse_seeds,
)
from gan_jax.settings import Setting

log = logging.getLogger('gan_jax')

_TELL = 10.0  # seconds between two words on how far it is
CHUNK = 64  # pictures made at a time, at most

SEEDS = Setting('0-8', 'whose samples: 0-8, or 1,5,7-9')
LABEL = Setting('', "class of all samples, a name or number; '': in turn")


class Asked:
  """A run's generator of pictures, asked for the samples of some seeds.

  Args:
    restored: the run.
    settings: of the tool: `seeds` and `label`.
    tool: its name, for sentences.

  Attributes:
    seeds: whole numbers, N.
    labels: int32 [N].
    sampler: at the level and fade of the run's step.

  Raises:
    UserError: if the run makes no pictures, or has no such class; or see
      `parse_seeds`.
  """

  def __init__(self, restored: Restored, settings, tool: str):
    option = f'--tool={tool}:{{}}'.format
    check_pictures(restored, tool)
    self.seeds = parse_seeds(settings.seeds, option('seeds'))
    sampler = Sampler(restored.config, restored.experiment)
    self.sampler = sampler.at(restored.step)
    kind, facts = None, restored.run.load_data()
    if settings.label:
      kind = class_of(
        settings.label, facts['classes'], sampler.classes, option('label')
      )
    self.labels = np.asarray(sampler.labels(self.seeds, kind))
    self._chunks = Chunks(at_once(facts['shape'], CHUNK))
    self._variables = self._chunks.place(sampler.variables(restored.state))

  def pictures(self, z, labels) -> Iterator[np.ndarray]:
    """One by one what the generator makes, [H, W, C] about in [-1, 1].

    At the data's size, whatever the stage of a run that grows.

    Args:
      z: latent vectors [M, Z], of however many: few are worked on at a time.
      labels: int32 [M].
    """
    rows = zip(self._chunks.of(z), self._chunks.of(labels), strict=True)
    for some, kinds in rows:
      made = self._chunks(self.sampler.apply, self._variables, some, kinds)
      yield from self.sampler.enlarged(made)


def check_pictures(restored: Restored, tool: str) -> None:
  """Raises UserError if a run makes anything but pictures."""
  kind = KINDS[len(restored.run.load_data()['shape'])]
  if restored.state.pair.g is None:
    kind = 'answers of a classifier'
  if kind != 'pictures':
    raise UserError(
      f'--tool={tool} is for runs that make pictures, and the run in'
      f' {restored.run.path} makes {kind}: name another by --workdir.'
    )


def place(out: pathlib.Path, restored: Restored, tool: str) -> pathlib.Path:
  """Where a tool's result goes: a path without ending; its folder is made.

  Raises:
    UserError: if it cannot be.
  """
  try:
    out.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f'{out} cannot be made ({error.strerror.lower()}): name a folder for the'
      ' results by --out=DIR.'
    ) from None
  return out / f'{tool}_step_{restored.step:09d}'


def told(items: Iterator, count: int, what: str) -> Iterator:
  """The same items; the log says now and then how many there have been."""
  last = time.monotonic()
  for done, item in enumerate(items):
    if time.monotonic() - last > _TELL:
      log.info('%d of %d %s.', done, count, what)
      last = time.monotonic()
    yield item
