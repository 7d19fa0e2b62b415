"""Parts of a split, in TFDS's notation: 'train[:90%]', 'train[-10%:]'.

So that any set can be held out from training. The numbers are TFDS's, to the
last sample; which samples they are is TFDS's affair for its own sets. Every
other source is cut here, in a fixed random order: a folder's pictures lie
sorted by class, and its last tenth would be one class alone.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from gan_jax.data import order
from gan_jax.data.source import Source, without_pictures
from gan_jax.errors import UserError

_SEED = 0  # of the fixed order, the same in every run

# A number of samples or a percentage, counted from the end if below 0. ASCII
# alone: the digits of \\d are those of all scripts, ² among them.
_PLACE = r'(-?[0-9_.]+)(%?)'
_SPLIT = re.compile(rf'([^\[\]+]*)\[(?:{_PLACE})?:(?:{_PLACE})?\]', re.ASCII)
_LONGEST = 30  # characters of a number


class Part(Source):
  """Some samples of another source.

  Args:
    whole: the other source.
    rows: which of its samples, int [n].
    title: the split as it was written, for the report.
  """

  def __init__(self, whole: Source, rows: np.ndarray, title: str):
    self.name, self.shape, self.dtype = whole.name, whole.shape, whole.dtype
    self.classes, self.in_memory = whole.classes, whole.in_memory
    self.alphabet = whole.alphabet
    self.report = f'{whole.report}\n  of these   {title}: {len(rows):,}'
    if isinstance(whole, Part):  # so that parts of parts know what they share
      whole, rows = whole._whole, whole._rows[rows]
    self._whole, self._rows = whole, rows
    self._split, _ = parse(title)
    labels = getattr(whole, 'labels', None)  # not known of all before reading
    if self.classes and labels is not None:
      lacking = without_pictures(self.classes, labels[rows])
      self.report += f'; {lacking}' if lacking else ''

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

  def origin(self, i):
    """As in Source."""
    return self._whole.origin(int(self._rows[i]))

  def shares_with(self, other: Source) -> bool:
    """Whether another part, of the same split, has samples of this one."""
    return (
      isinstance(other, Part)
      and (other.name, other._split) == (self.name, self._split)
      and bool(np.isin(self._rows, other._rows).any())
    )


class Slice(NamedTuple):
  """What stands in the brackets: None for an end that is left open.

  Attributes:
    start: number of the first sample, or a percentage; below 0 from the end.
    stop: of the first that is left out.
    percent: whether they are percentages.
    text: as it was written, with the split's name.
  """

  start: float | None
  stop: float | None
  percent: bool
  text: str

  def bounds(self, n: int) -> tuple[int, int]:
    """First and last sample (which is left out) in a set of n.

    Percentages are rounded to the closest, as TFDS does. In one case it gives
    what nobody means: of 20 samples 'train[-1%:]', which is none of them, is
    all of them there.

    Raises:
      UserError: they lie outside, or nothing is between them.
    """

    def place(value, default):
      if value is None:
        return default
      number = round(value * n / 100) if self.percent else int(value)
      return number if value >= 0 else n + number

    start, stop = place(self.start, 0), place(self.stop, n)
    if not 0 <= start <= n or not 0 <= stop <= n:
      raise UserError(
        f"config.data: the part '{self.text}' reaches beyond the {n:,} samples"
        ' that there are.'
      )
    if start >= stop:
      raise UserError(
        f"config.data: the part '{self.text}' is empty: it has {n:,} samples."
      )
    return start, stop


def parse(split: str) -> tuple[str, Slice | None]:
  """A split's name, and what part of it is meant.

  Args:
    split: 'train', or 'train[FROM:TO]'.

  Returns:
    The name and None for the whole. What is no part in this notation is a name
    as it stands: only TFDS knows more ('train+test', 'train[:3shard]').

  Raises:
    UserError: a part whose ends are of two units or out of range.
  """
  match = _SPLIT.fullmatch(split)
  if not match or split.endswith('[:]'):
    return split, None
  name, *ends = match.groups()
  texts = ends[::2]
  # 0 is 0 of either.
  units = {u for t, u in zip(texts, ends[1::2], strict=True) if t and t != '0'}
  try:
    percent = '%' in units
    if len(units) > 1:
      raise ValueError('its ends are of two kinds')
    if any(len(text or '') > _LONGEST for text in texts):
      raise ValueError('a number in it is too long')
    # Percentages may have a fraction, numbers of samples may not.
    number = float if percent else int
    start, stop = (None if text is None else number(text) for text in texts)
    if percent and max(abs(start or 0), abs(stop or 0)) > 100:
      raise ValueError('it goes beyond 100 %')
  except ValueError as error:
    reason = str(error)
    if 'literal' in reason or 'could not' in reason:
      reason = 'one of its ends is no number'
    raise UserError(
      f"config.data: '{split[:80]}' is no part of a split ({reason}); write"
      " two numbers of samples, 'train[:500]', or two percentages,"
      " 'train[10%:90%]'."
    ) from None
  return name, Slice(start, stop, percent, split)


def check_name(name: str, split: str, known: Collection) -> None:
  """Refuses the split that a source has not.

  Args:
    name: of the source.
    split: the name of the split, with everything that `parse` left in it.
    known: the names that there are.

  Raises:
    UserError: it is none of them.
  """
  if split in known:
    return
  names = ', '.join(f"'{k}'" for k in known)
  one = next(iter(known))
  raise UserError(
    f"config.data: {name} has no split '{split[:80]}', but {names}; some can be"
    f" held out by taking '{one}[:90%]' here and '{one}[90%:]' there."
  )


def cut(source: Source, wanted: Slice | None) -> Source:
  """The part of a source that is wanted.

  Args:
    source: the whole split.
    wanted: what `parse` gave; None for all of it.

  Raises:
    UserError: if the part is empty, or outside.
  """
  if wanted is None:
    return source
  start, stop = wanted.bounds(len(source))
  rows = order.epoch_order(_SEED, 0, len(source))[start:stop]
  return Part(source, rows, wanted.text)
