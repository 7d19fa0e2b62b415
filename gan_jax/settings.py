"""What a setting of a config is: default, bounds, and what it means.

A room keeps its settings in a table beside the function that uses them,

  SETTINGS = {'noise': Setting(0.5, 'width of the noise', low=0.0)}

and everything else follows from that one line: the config's default, what is
refused, `--help=SECTION`, the tables in the README, and what a run of an older
version, which has not stored it, is filled up with.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from gan_jax.errors import UserError, did_you_mean


@dataclasses.dataclass(frozen=True)
class Setting:
  """One key of a config.

  Attributes:
    default: its value unless a config or `--config.A.B=X` says otherwise; the
      setting takes values of this type.
    text: what it means, in a line: units, what special values stand for.
    low: smallest value of a number; None for a number without bound, which
      still has to be finite.
    high: largest value of a number, or None.
    above: a number has to be larger than this, or None.
    below: a number has to be smaller than this, or None.
    choices: the values it takes, or () for any of its type.
  """

  default: Any
  text: str
  low: float | None = None
  high: float | None = None
  above: float | None = None
  below: float | None = None
  choices: tuple = ()

  def check(self, path: str, value) -> None:
    """Refuses a value that this setting cannot have.

    Args:
      path: the setting's, such as 'penalties.r1.weight'.
      value: of the default's type.

    Raises:
      UserError: one sentence with the path, the value and what is allowed.
    """
    if self.choices and value not in self.choices:
      raise UserError(
        f'config.{path} = {value!r} is not one of'
        f' {", ".join(map(repr, self.choices))}'
        + did_you_mean(value, self.choices)
      )
    if isinstance(value, bool) or not isinstance(value, int | float):
      return
    inside = (
      math.isfinite(value)
      and (self.low is None or value >= self.low)
      and (self.high is None or value <= self.high)
      and (self.above is None or value > self.above)
      and (self.below is None or value < self.below)
    )
    if not inside:
      raise UserError(f'config.{path} = {value} must be {self.bounds()}.')

  def bounds(self) -> str:
    """What is allowed, in words: 'at least 0, below 1', or 'one of ...'."""
    if self.choices:
      return f'one of {", ".join(map(str, self.choices))}'
    words = [
      f'{word} {limit:,}'
      for word, limit in (
        ('at least', self.low),
        ('above', self.above),
        ('at most', self.high),
        ('below', self.below),
      )
      if limit is not None
    ]
    return ', '.join(words) or 'a finite number'


Table = Mapping[str, 'Setting | Table']


def values(table: Table) -> dict:
  """The defaults of a table, in its form."""
  return {
    key: entry.default if isinstance(entry, Setting) else values(entry)
    for key, entry in table.items()
  }


def check(table: Table, section, path: str) -> None:
  """Checks each setting of a section of a config.

  Args:
    table: of the settings; a key that the section lacks is left out.
    section: of a config.
    path: the section's, such as 'penalties.r1'.

  Raises:
    UserError: see `Setting.check`.
  """
  for key, entry in table.items():
    if key not in section:
      continue
    if isinstance(entry, Setting):
      entry.check(f'{path}.{key}', section[key])
    else:
      check(entry, section[key], f'{path}.{key}')
