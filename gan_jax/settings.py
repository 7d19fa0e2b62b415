"""What a setting of a config is: default, bounds, and what it means.

A room keeps its settings in a table beside the function that uses them,

  SETTINGS = {'noise': Setting(0.5, 'width of the noise', low=0.0)}

or, where they are the fields of a dataclass (a loss, a network), in the fields,

  width: int = field(Setting(64, 'channels nearest the picture', low=1))

and everything else follows from that one line: the config's default, what is
refused, what is said to have no effect, `--help=SECTION`, the tables in the
README, and what a run of an older version, which has not stored it, is filled
up with.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from gan_jax.errors import UserError, did_you_mean

# What the steps compute in is float32: a larger number is no number there.
LARGEST = 3.4e38
INT32 = 2**31 - 1  # steps and images are counted in this
_MACHINE = 2**20  # a limit from here on is of machines: no table mentions it

_KINDS = {
  bool: 'true or false',
  int: 'a whole number',
  float: 'a finite number',
  str: 'text',
}


@dataclasses.dataclass(frozen=True)
class Setting:
  """One key of a config.

  Attributes:
    default: its value unless a config or `--config.A.B=X` says otherwise; the
      setting takes values of this type, False, 0, 0.0, '' or ().
    text: what it means, in a line: units, what special values stand for.
    low: smallest value of a number; None for a number without bound, which
      still has to be finite.
    high: largest value of a number, or None.
    above: a number has to be larger than this, or None.
    below: a number has to be smaller than this, or None.
    choices: the values it takes, or () for any of its type. A registry is
      given as it is, so that what is added to it later counts.
    entry: of a tuple, the type of its entries: each is within the bounds, and
      one of the choices.
    filled: whether a tuple must have an entry.
    when: what makes it matter, by keys of its own section: the values that
      such a key must have one of (of 'folder:PATH' the part before the colon),
      or True for any but 0, False and ().
  """

  default: Any
  text: str
  low: float | None = None
  high: float | None = None
  above: float | None = None
  below: float | None = None
  choices: Collection = ()
  entry: type = str
  filled: bool = False
  when: Mapping[str, Collection | bool] = dataclasses.field(
    default_factory=dict
  )

  @property
  def kind(self) -> type:
    """The type of its value, or of a value's entries."""
    return self.entry if self.several else type(self.default)

  @property
  def several(self) -> bool:
    """Whether a value is a tuple."""
    return isinstance(self.default, tuple)

  def check(self, path: str, value, prefix: str = 'config.') -> None:
    """Refuses a value that this setting cannot have.

    Args:
      path: the setting's, such as 'penalties.r1.weight'.
      value: any.
      prefix: what stands before the path, for sentences.

    Raises:
      UserError: one sentence with the path, the value and what is allowed.
    """
    many = isinstance(value, tuple | list)
    entries = tuple(value) if many else (value,)
    shown = f'{prefix}{path} = {entries if many else value!r}'
    right = many == self.several and all(map(self._is_kind, entries))
    if right and self.choices:
      for entry in entries:
        if entry not in self.choices:
          raise UserError(
            f'{shown} is not {self.allowed()}'
            + did_you_mean(entry, self.choices)
          )
    elif not (right and all(map(self._is_inside, entries))):
      what = f' ({self.text})' if self.text else ''
      raise UserError(f'{shown} must be {self.allowed()}{what}.')
    if self.filled and not entries:
      raise UserError(f'{shown} is empty: it must be {self.allowed()}.')

  def _is_kind(self, value) -> bool:
    if self.kind is float:
      return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is self.kind

  def _is_inside(self, value) -> bool:
    if self.kind not in (int, float):
      return True
    return (
      (self.kind is int or abs(value) <= LARGEST)  # False for nan
      and (self.low is None or value >= self.low)
      and (self.high is None or value <= self.high)
      and (self.above is None or value > self.above)
      and (self.below is None or value < self.below)
    )

  def allowed(self) -> str:
    """What it may be, in words: 'a whole number, at least 1'."""
    if self.choices:
      first = 'one or more of' if self.several else 'one of'
      return f'{first} {", ".join(map(repr, self.choices))}'
    limits = ', '.join(self._limits())
    if self.several:
      every = {int: 'whole numbers', float: 'finite numbers'}
      kind = every.get(self.kind, 'words')
      return f'{kind}, each {limits}' if limits else kind
    return f'{_KINDS[self.kind]}, {limits}' if limits else _KINDS[self.kind]

  def _limits(self) -> list[str]:
    return [
      f'{word} {limit:,}'
      for word, limit in (
        ('at least', self.low),
        ('above', self.above),
        ('at most', self.high),
        ('below', self.below),
      )
      if limit is not None
    ]

  def bounds(self) -> str:
    """The same as briefly as a table wants it: '0 to 64', 'mean, sum'."""
    if self.choices:
      return ', '.join(map(str, self.choices))
    if self.kind is bool:
      return 'true, false'
    if self.low is None or self.high is None:
      return ', '.join(self._limits())
    if self.high >= _MACHINE:
      return f'at least {self.low:,}'
    return f'{self.low:,} to {self.high:,}'

  def parse(self, path: str, text: str, prefix: str = '--config.'):
    """A value from the command line.

    Args:
      path: the setting's.
      text: such as '0.5'; of a tuple '(1, 2)' or '1,2'.
      prefix: what stands before the path, for sentences.

    Raises:
      UserError: if the text is not of the setting's type. Bounds are left to
        `check`.
    """
    try:
      if not self.several:
        return _parsed(self.kind, text.strip())
      words = text.strip().strip('()').split(',')
      words = filter(None, (word.strip(' \'"') for word in words))
      return tuple(_parsed(self.kind, word) for word in words)
    except (ValueError, KeyError):
      kind = self.kind.__name__
      kind = f'a tuple of {kind}' if self.several else f'of type {kind}'
      raise UserError(
        f'{prefix}{path}={text}: must be {kind}: {self.allowed()}.'
      ) from None

  def stored(self, value):
    """A value as JSON gives it, in the setting's type if JSON lost that."""
    if self.several and isinstance(value, list):
      return tuple(value)
    if self.kind is float and type(value) is int:
      return float(value)
    return value


def _parsed(kind: type, text: str):
  if kind is bool:
    words = {'true': True, '1': True, 'false': False, '0': False}
    return words[text.lower()]
  if kind in (int, float) and ('_' in text or not text.isascii()):
    raise ValueError(text)  # Python takes 1_000, and digits of all scripts
  return kind(text)


Table = Mapping[str, 'Setting | Table']

_FIELD = 'setting'  # the key of a dataclass field's metadata


def field(setting: Setting):
  """A dataclass's field that is a setting; its default is the setting's."""
  return dataclasses.field(default=setting.default, metadata={_FIELD: setting})


def of(thing) -> dict[str, Setting]:
  """The settings among the fields of a dataclass or of an instance of one.

  A field that is not said to be a setting is one without bounds or text, if
  its default is a plain value.
  """
  if not dataclasses.is_dataclass(thing):
    return {}
  plain = (bool, int, float, str)
  return {
    f.name: f.metadata.get(_FIELD) or Setting(f.default, '')
    for f in dataclasses.fields(thing)
    if _FIELD in f.metadata or type(f.default) in plain
  }


def only_when(table: Table, **conditions) -> dict:
  """A table whose settings matter under more conditions; see `Setting.when`."""
  return {
    key: entry
    if key in conditions
    else dataclasses.replace(entry, when={**conditions, **entry.when})
    for key, entry in table.items()
  }


def by_choice(tables: Mapping[str, Table], key: str = 'name') -> dict:
  """One table of what the choices of a registry have as settings.

  Args:
    tables: of each choice. Choices may share a setting.
    key: of the setting that chooses.
  """
  merged, users = {}, {}
  for name, table in tables.items():
    for own, entry in table.items():
      merged.setdefault(own, entry)
      users.setdefault(own, []).append(name)
  return {
    own: only_when({own: entry}, **{key: tuple(users[own])})[own]
    for own, entry in merged.items()
  }


def join(path: str, key: str) -> str:
  """A key of the section at a path, which is '' for the whole config."""
  return f'{path}.{key}' if path else key


def walk(table: Table, path: str = '') -> Iterator[tuple[str, Setting]]:
  """Every setting of a table with its path."""
  for key, entry in table.items():
    if isinstance(entry, Setting):
      yield join(path, key), entry
    else:
      yield from walk(entry, join(path, key))


def sections(table: Table, path: str = '') -> Iterator[tuple[str, Table]]:
  """Every table in a table with its path."""
  for key, entry in table.items():
    if not isinstance(entry, Setting):
      yield join(path, key), entry
      yield from sections(entry, join(path, key))


def values(table: Table) -> dict:
  """The defaults of a table, in its form."""
  return {
    key: entry.default if isinstance(entry, Setting) else values(entry)
    for key, entry in table.items()
  }


def check(table: Table, section, path: str = '') -> None:
  """Checks each setting of a section of a config.

  Args:
    table: of the settings; a key that the section lacks is left out.
    section: of a config.
    path: the section's, such as 'penalties.r1'; '' for the whole config.

  Raises:
    UserError: for a key that the table lacks, or see `Setting.check`.
  """
  for key in section:
    if key not in table:
      have = f' It has: {", ".join(sorted(table))}.' if table else ''
      raise UserError(
        f'{f"config.{path}".rstrip(".")} has no setting {key!r}{_for(section)}'
        + did_you_mean(key, table)
        + have
      )
  for key, entry in table.items():
    if key not in section:
      continue
    if isinstance(entry, Setting):
      entry.check(join(path, key), section[key])
    elif not hasattr(section[key], 'keys'):
      raise UserError(
        f'config.{join(path, key)} = {section[key]!r} must be a section, with'
        f' the settings {", ".join(sorted(entry))}.'
      )
    else:
      check(entry, section[key], join(path, key))


def _for(section) -> str:
  """Whose settings a section has, where a name chooses it."""
  return f" for the name '{section['name']}'" if 'name' in section else ''


def changed(table: Table, section, path: str = '') -> list[str]:
  """The paths of the settings that are not at their defaults."""
  found = []
  for key, entry in table.items():
    if key not in section:
      continue
    if not isinstance(entry, Setting):
      found += changed(entry, section[key], join(path, key))
    elif entry.stored(section[key]) != entry.default:
      found.append(join(path, key))
  return found


def unused(table: Table, section, path: str = '') -> list[str]:
  """A sentence on each setting that was changed and has no effect."""
  found = []
  for key, entry in table.items():
    if key not in section:
      continue
    if not isinstance(entry, Setting):
      found += unused(entry, section[key], join(path, key))
    elif entry.stored(section[key]) != entry.default:
      for other, wanted in entry.when.items():
        now = section[other]
        if not _met(wanted, now):
          need = '' if wanted is True else f'; it is for {_either(wanted)}'
          found.append(
            f'config.{join(path, key)} = {section[key]!r} has no effect with'
            f' config.{join(path, other)} = {now!r}{need}.'
          )
          break
  return found


def _met(wanted, value) -> bool:
  if wanted is True:
    return bool(value)
  return value in wanted or str(value).partition(':')[0] in wanted


def _either(names) -> str:
  *most, last = map(str, names)
  return f'{", ".join(most)} and {last}' if most else last


def fill(table: Table, section, path: str = '') -> tuple[dict, list[str]]:
  """A section as this version has it, from one that another version stored.

  Args:
    table: of the settings.
    section: a mapping, as read from JSON.
    path: the section's.

  Returns:
    The values, defaults where the section has none; the paths of the keys that
    the table lacks, which are left out.

  Raises:
    TypeError: if a section is none.
  """
  if not hasattr(section, 'keys'):
    raise TypeError(f'{path} is no section')
  made, unknown = {}, [join(path, key) for key in section if key not in table]
  for key, entry in table.items():
    if isinstance(entry, Setting):
      there = key in section
      made[key] = entry.stored(section[key]) if there else entry.default
    else:
      made[key], more = fill(entry, section.get(key, {}), join(path, key))
      unknown += more
  return made, unknown
