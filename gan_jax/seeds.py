"""Which samples a person asks for: seeds and classes, as they are written."""

import re

from gan_jax import limits
from gan_jax.errors import UserError, did_you_mean


def parse_seeds(text: str, what: str = '--seeds') -> list[int]:
  """Reads '0-63' or '1,5,7-9'.

  Args:
    text: as the person wrote it.
    what: the flag or option that it is the value of, for sentences.

  Raises:
    UserError: if it is anything else.
  """
  seeds = []
  for part in text.replace(' ', '').split(','):
    match = re.fullmatch(r'([0-9]{1,10})(?:-([0-9]{1,10}))?', part)
    if not match:
      raise UserError(
        f'{what}={text[:80]} is not a list of seeds: write {what}=0-63 or'
        f' {what}=1,5,7-9; seeds are below 2^32.'
      )
    low, high = int(match[1]), int(match[2] or match[1])
    if high < low:
      raise UserError(
        f'{what}={text[:80]}: {part} runs backwards; write {high}-{low}.'
      )
    if high >= 2**32 or len(seeds) + high - low >= limits.MAX_SEEDS:
      raise UserError(
        f'{what}={text[:80]}: seeds are below 2^32, and at most'
        f' {limits.MAX_SEEDS:,} at a time.'
      )
    seeds.extend(range(low, high + 1))
  if len(seeds) != len(set(seeds)):
    raise UserError(f'{what}={text[:80]} names a seed twice.')
  return seeds


def class_of(
  text: str | int, names: list, classes: int, what: str = '--label'
) -> int:
  """The number of a class that a person names.

  A name wins over a number: of the classes '1' and '2', which are number 0 and
  1, the text 1 is the first.

  Args:
    text: as the person wrote it; an int, from Python, is a number.
    names: of the classes, in order.
    classes: that the generator takes; 0 without labels.
    what: see `parse_seeds`.

  Raises:
    UserError: if there is no such class, or several of that name.
  """
  if not classes:
    raise UserError(f'{what}={text}: this run was trained without labels.')
  if isinstance(text, int):
    found, text = [text] * (0 <= text < classes), str(text)
  else:
    found = [k for k, name in enumerate(names) if str(name) == text]
  if len(found) == 1:
    return found[0]
  if found:
    raise UserError(
      f'{what}={text}: the classes {", ".join(map(str, found))} have that'
      ' name; give the number of one.'
    )
  if re.fullmatch('[0-9]{1,9}', text) and int(text) < classes:
    return int(text)
  raise UserError(
    f'{what}={text}: this run has the classes 0 to {classes - 1}'
    + (f', called {_some(names)}' if names else '')
    + did_you_mean(text, names)
  )


def _some(names: list) -> str:
  """Names in a sentence, not all of a thousand."""
  more = [f'... ({len(names)} in all)'] if len(names) > 12 else []
  return ', '.join([*map(str, names[:12]), *more])
