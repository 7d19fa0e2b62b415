"""What tools have in common: a run's generator, and a place for results."""

import functools
import logging
import pathlib
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from gan_jax import limits, paths
from gan_jax.data.source import KINDS
from gan_jax.errors import UserError
from gan_jax.explore import latents
from gan_jax.restore import Restored
from gan_jax.run import draw
from gan_jax.run.write import make_folder
from gan_jax.sampler import (
  TRUNCATION,
  Chunks,
  Sampler,
  at_once,
)
from gan_jax.seeds import class_of, parse_seeds
from gan_jax.settings import Setting

log = logging.getLogger('gan_jax')

_TELL = 10.0  # seconds between two words on how far it is
CHUNK = 64  # pictures made at a time, at most

SEEDS = Setting('0-8', 'whose samples: 0-8, or 1,5,7-9')
LATENTS = Setting(
  '', 'an .npz of --tool=invert: seeds are then numbers of its pictures'
)
LABEL = Setting('', "class of all samples, a name or number; '': in turn")


class Some(NamedTuple):
  """Latent vectors that a person chose.

  Attributes:
    seeds: N whole numbers; of a file of inversions the numbers of its pictures.
    z: float32 [N, Z]; or w of each layer, [N, layers, numbers].
    labels: int32 [N].
  """

  seeds: list[int]
  z: np.ndarray
  labels: np.ndarray

  def of(self, rows) -> 'Some':
    """Those of some rows, int [M]."""
    return Some([self.seeds[i] for i in rows], self.z[rows], self.labels[rows])


class Asked:
  """A run's generator of pictures, asked for the samples of some seeds.

  Args:
    restored: the run.
    settings: of the tool: `seeds`, `label`, `latents` if it takes a file, and
      `truncation` if it can be asked for.
    tool: its name, for sentences.

  Attributes:
    seeds: whole numbers, N.
    labels: int32 [N].
    sampler: at the level and fade of the run's step, truncated as asked.

  Raises:
    UserError: if the run makes no pictures, or has no such class; or see
      `chosen`.
  """

  def __init__(self, restored: Restored, settings, tool: str):
    self._option = f'--tool={tool}:{{}}'.format
    check_pictures(restored, tool)
    sampler = Sampler(restored.config, restored.experiment)
    self.sampler = sampler.at(restored.step)
    psi = getattr(settings, 'truncation', TRUNCATION.default)
    if psi != TRUNCATION.default:
      what = self._option('truncation')
      self.sampler = self.sampler.truncated(psi, what=what)
    self._label, facts = None, restored.run.load_data()
    if settings.label:
      self._label = class_of(
        settings.label,
        facts['classes'],
        sampler.classes,
        self._option('label'),
      )
    self._chunks = Chunks(at_once(facts['shape'], CHUNK))
    self._variables = self._chunks.place(sampler.variables(restored.state))
    self._kept = None
    if getattr(settings, 'latents', ''):
      option, text = self._option('latents'), settings.latents
      self._kept = latents.load(
        paths.place(text, option),
        restored.config.latent.size,
        sampler.style_shape,
        f'{option}={text}',
      )
      self._kept.warn_of_others(self._variables)
    self.seeds = self.parsed(settings.seeds, 'seeds')
    self.labels = self._labels(self.seeds)

  def parsed(self, text: str, name: str) -> list[int]:
    """Seeds, or numbers of pictures that were inverted; see `chosen`."""
    seeds = parse_seeds(text, self._option(name))
    count = None if self._kept is None else len(self._kept.z)
    if count is not None and max(seeds) >= count:
      raise UserError(
        f'{self._option(name)}={text[:80]}: the file that latents= names has'
        f' {count:,} pictures, whose numbers are 0 to {count - 1}.'
      )
    return seeds

  def chosen(self, text: str, name: str) -> Some:
    """The latent vectors of seeds, or of pictures that were inverted.

    Args:
      text: as the person wrote it.
      name: of the setting, for sentences.

    Raises:
      UserError: see `parse_seeds`; or if a file has not so many.
    """
    seeds = self.parsed(text, name)
    if self._kept is None:
      z = np.asarray(self.sampler.latents(seeds))
    else:
      z = self._kept.z[seeds]
    return Some(seeds, z, self._labels(seeds))

  def _labels(self, seeds) -> np.ndarray:
    """The class of each, int32 [N]."""
    if self._kept is None or self._label is not None:
      return np.asarray(self.sampler.labels(seeds, self._label))
    return self._kept.labels[seeds]

  def pictures(self, z, labels, sampler=None) -> Iterator[np.ndarray]:
    """One by one what the generator makes, [H, W, C] about in [-1, 1].

    At the data's size, whatever the stage of a run that grows.

    Args:
      z: latent vectors, as `Some` has them, of however many: few are worked on
        at a time.
      labels: int32 [M].
      sampler: otherwise truncated; None for `self.sampler`.
    """
    sampler = sampler or self.sampler
    rows = zip(self._chunks.of(z), self._chunks.of(labels), strict=True)
    for some, kinds in rows:
      made = self._chunks(sampler.apply, self._variables, some, kinds)
      yield from sampler.enlarged(made)

  def made(self, some: Some):
    """What the generator makes of some, as D takes it: see `Sampler.made`."""
    columns = map(self._chunks.of, (some.z, some.labels))
    made = [
      self._chunks(self.sampler.made, self._variables, *rows)
      for rows in zip(*columns, strict=True)
    ]
    return jax.tree.map(lambda *parts: np.concatenate(parts), *made)

  def styles(self, some: Some) -> Some:
    """The same as w of each layer, of a generator with styles."""
    find, found = jax.jit(self.sampler.styles), []
    columns = map(self._chunks.of, (some.z, some.labels))
    for rows in zip(*columns, strict=True):
      found.append(self._chunks(find, self._variables, *rows))
    return some._replace(z=np.concatenate(found))

  def mixed(self, where, content: Some, style: Some) -> Iterator[np.ndarray]:
    """One by one the pictures of one in the style of another.

    Args:
      where: layers or gates, see `Sampler.mixed`.
      content: N latent vectors.
      style: N others.
    """
    mix = jax.jit(functools.partial(self.sampler.mixed, where))
    columns = (content.z, content.labels, style.z, style.labels)
    for rows in zip(*map(self._chunks.of, columns), strict=True):
      yield from self._chunks(mix, self._variables, *rows)


def counted(count: int, what: str) -> str:
  """'1 picture', '1,000 pictures'."""
  return f'{count:,} {what}' + ('' if count == 1 else 's')


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


def check_walk(frames: int, cells: int, size: int, tool: str) -> None:
  """Refuses films whose latent vectors, of `size` numbers, are too many."""
  if 4 * frames * cells * size > limits.WALK_BYTES:
    raise UserError(
      f'--tool={tool}: the latent vectors of {frames:,} frames of {cells:,}'
      f' seeds take more than {limits.WALK_BYTES // limits.MIB:,} MiB: ask for'
      ' fewer seconds, frames a second or seeds.'
    )


def check_grid(rows: int, columns: int, shape, tool: str, advice: str) -> None:
  """Refuses grids of so many pictures of a shape that nothing shows them.

  Args:
    rows: of pictures.
    columns: of pictures.
    shape: of a picture.
    tool: for the sentence.
    advice: the end of the sentence: what to do.
  """
  side = [max(n, draw.ZOOMED) for n in shape[:2]]
  if rows * columns * side[0] * side[1] > limits.PICTURE_PIXELS:
    raise UserError(
      f'--tool={tool}: a grid of {rows:,} x {columns:,} pictures has more than'
      f' {limits.PICTURE_PIXELS // 10**6:,} megapixels: {advice}.'
    )


def place(out: pathlib.Path, restored: Restored, tool: str) -> pathlib.Path:
  """Where a tool's result goes: a path without ending; its folder is made.

  Raises:
    UserError: if it cannot be.
  """
  try:
    make_folder(out)
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
