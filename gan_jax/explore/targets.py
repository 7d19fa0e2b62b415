"""Which pictures a tool works on: a run's own, or those of a folder."""

import dataclasses
from typing import Any

import numpy as np

from gan_jax import paths
from gan_jax.data import open_source, order
from gan_jax.data.files import near
from gan_jax.data.source import KINDS, to_float
from gan_jax.errors import UserError
from gan_jax.seeds import class_of
from gan_jax.settings import Setting

SETTINGS = {
  'pictures': Setting(
    '', "a folder or .zip of pictures; '': those of the run's data"
  ),
  'split': Setting(
    '',
    "which of them, such as train[90%:]; '': of the run's data those held out,"
    ' if there are any',
  ),
}


@dataclasses.dataclass(frozen=True)
class Targets:
  """The pictures that are wanted.

  Attributes:
    source: what they are from.
    rows: their numbers in it, int64 [N].
    labels: what the generator is asked for, int32 [N].
    words: which they are, for people.
  """

  source: Any
  rows: np.ndarray
  labels: np.ndarray
  words: str

  def pictures(self, part) -> np.ndarray:
    """Some of them, float32 [n, H, W, C] in [-1, 1]."""
    rows = self.rows[part]
    return to_float(np.stack([self.source[int(i)][0] for i in rows]))

  @property
  def short(self) -> str:
    """`words` in at most 47 characters: their end."""
    words = self.words
    return words if len(words) < 48 else f'...{words[-44:]}'

  def names(self) -> list[str | None]:
    """What the files are called, where they are known."""
    names = getattr(self.source, 'names', None)
    return [names[i] if names else None for i in self.rows]


def wanted(restored, settings, classes: int, tool: str) -> Targets:
  """The pictures that the settings name.

  Args:
    restored: the run.
    settings: of the tool: those of `SETTINGS`, `count` (0: all) and `label`.
    classes: that the generator takes.
    tool: its name, for sentences.

  Raises:
    UserError: if there are none, or they do not fit the run.
  """
  option = f'--tool={tool}'
  config = restored.config.data.copy_and_resolve_references().unlock()
  shape = tuple(restored.run.load_data()['shape'])
  if settings.pictures:
    path = paths.place(settings.pictures, f'{option}:pictures')
    if not path.exists():
      raise UserError(
        f'{option}:pictures={settings.pictures}: there is no folder or zip'
        f' archive {path}: give the path of one{near(path)}'
      )
    config.update(
      source=f'folder:{settings.pictures}',
      split=settings.split or 'train',
      conditional=False,
      held_out=0.0,
      resolution=shape[0] if shape[0] == shape[1] else config.resolution,
    )
  elif settings.split:
    config.update(split=settings.split, held_out=0.0)
  source = open_source(config)
  words = f'{source.name}, {config.split}'
  if not (settings.pictures or settings.split):
    words += ', trained on' if source.held_out is None else ', held out'
    source = source if source.held_out is None else source.held_out
  if source.shape != shape:
    kind = KINDS[len(source.shape)]
    raise UserError(
      f'{option}: {source.name} has {kind} of {_by(source.shape)}, and the'
      f' run makes pictures of {_by(shape)}: name its own data by'
      ' --config.data.source, or others by pictures=FOLDER.'
    )
  count = min(settings.count or len(source), len(source))
  # Of a folder that a person has put together the first, else any.
  rows = np.arange(count)
  rows = rows if settings.pictures else order.indices(0, rows, len(source))
  labels = np.zeros(count, np.int32)
  if settings.label:
    names = restored.run.load_data()['classes']
    labels += class_of(settings.label, names, classes, f'{option}:label')
  elif classes and settings.pictures:
    raise UserError(
      f'{option}:pictures: the run makes pictures of a class, and these'
      ' have none: choose it by label=NAME.'
    )
  elif classes:
    labels = np.array([source.label(int(i)) for i in rows], np.int32)
  return Targets(source, rows, labels, words)


def _by(shape) -> str:
  return ' x '.join(map(str, shape))
