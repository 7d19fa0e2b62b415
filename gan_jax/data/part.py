"""Parts of a split, in TFDS's notation: 'train[:90%]', 'train[90%:]'.

So that any set can be held out from training. TFDS cuts its own splits; every
other source is cut here, in a fixed random order: a folder's pictures lie
sorted by class, and its last tenth would be one class alone.
"""

import re

import numpy as np

from gan_jax.data import order
from gan_jax.data.source import Source
from gan_jax.errors import UserError

_SEED = 0  # of the fixed order, the same in every run


class Part(Source):
  """Some samples of another source.

  Args:
    whole: the other source.
    rows: which of its samples, int [n].
    title: what to call them in the report.
  """

  def __init__(self, whole: Source, rows: np.ndarray, title: str):
    self.name, self.shape, self.dtype = whole.name, whole.shape, whole.dtype
    self.classes, self.in_memory = whole.classes, whole.in_memory
    self.alphabet = whole.alphabet
    self._whole, self._rows = whole, rows
    self.report = f'{whole.report}\n  of these   {title}: {len(rows):,}'

  def __len__(self):
    return len(self._rows)

  def __getitem__(self, i):
    return self._whole[int(self._rows[i])]

  def label(self, i):
    """As in Source."""
    return self._whole.label(int(self._rows[i]))

  def content(self, i):
    """As in Source."""
    return self._whole.content(int(self._rows[i]))


def parse(split: str) -> tuple[str, str]:
  """'train[:90%]' -> ('train', ':90%'); 'train' -> ('train', '')."""
  match = re.fullmatch(r'([^\[\]]*)\[(\d*%?:\d*%?)\]', split)
  return match.groups() if match else (split, '')


def cut(source: Source, split: str) -> Source:
  """The part of a source that follows a split's name.

  Args:
    source: the whole split.
    split: 'train[FROM:TO]', each a number of samples, a percentage or empty.

  Raises:
    UserError: if the part is empty.
  """
  _, part = parse(split)
  if not part:
    return source

  def place(text, default):
    if text.endswith('%'):
      return int(text[:-1] or 0) * len(source) // 100
    return int(text) if text else default

  start, stop = part.split(':')
  chosen = slice(place(start, 0), place(stop, len(source)))
  rows = order.epoch_order(_SEED, 0, len(source))[chosen]
  if not len(rows):
    raise UserError(
      f"config.data: the part '{split}' of {source.name} is empty: it has"
      f' {len(source):,} samples.'
    )
  return Part(source, rows, split)
