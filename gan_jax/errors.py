"""The one exception for what a user can put right, and its wording."""

import difflib
from collections.abc import Callable, Iterable


class UserError(Exception):
  """A user's mistake: its message says what is wrong and what to do.

  `main` prints the message alone, without a traceback, and exits with 1.
  """


def nearest(word, known: Iterable) -> str | None:
  """What somebody who wrote `word` probably meant, or None.

  Args:
    word: as the user wrote it.
    known: what there is.
  """
  near = difflib.get_close_matches(str(word), [str(k) for k in known], 1)
  return near[0] if near else None


def did_you_mean(word, known: Iterable, show: Callable = repr) -> str:
  """The end of a sentence on a word nobody knows: '; did you mean 'adam'?'.

  Args:
    word: as the user wrote it.
    known: what there is.
    show: one of `known` as the user should write it.

  Returns:
    '.' where nothing is near.
  """
  near = nearest(word, known)
  return '.' if near is None else f'; did you mean {show(near)}?'
