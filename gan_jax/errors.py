"""What a user can put right: the one exception, its wording; the system's."""

import difflib
import errno
import os
import re
from collections.abc import Callable, Iterable

# Exit codes: before there was anything to save, as shells have it; and to be
# gone on with by the same command (EX_TEMPFAIL of sysexits.h).
INTERRUPTED, STOPPED = 130, 75


class UserError(Exception):
  """A user's mistake: its message says what is wrong and what to do.

  `top.run` prints the message alone, without a traceback, and exits with 1.
  """


# Libraries word it: "[os_error_code='28']", '[OS error 28: ...]', '[Errno 28]'.
_NUMBERED = re.compile(r"\[(?:os_error_code='|OS error |Errno )(\d+)")
# What is of the moment, and says nothing of what a file holds.
_PASSING = {
  getattr(errno, name, 0)
  for name in (
    'EACCES EPERM EIO ESTALE EMFILE ENFILE ENOMEM ETIMEDOUT EAGAIN EBUSY EINTR'
    ' EHOSTDOWN EHOSTUNREACH ENETDOWN ENETUNREACH ECONNRESET ECONNREFUSED'
    ' ENOTCONN ESHUTDOWN EREMOTEIO ENODEV ENXIO EDEADLK ENOLCK'
  ).split()
}


def system_error(error: BaseException | None) -> OSError | None:
  """The system's own word at the root of an exception, or None.

  Args:
    error: as it was caught; an OSError, or what a library made of one in
      another thread or in C++, where only its text is left.
  """
  if error is None:
    return None
  if isinstance(error, OSError):
    return error
  if isinstance(error, BaseExceptionGroup):
    return next(filter(None, map(system_error, error.exceptions)), None)
  number = _NUMBERED.search(str(error))
  if number:
    code = int(number[1])
    # Of what Orbax has not finished, the name that it would have had.
    file = re.search(r'"(/.*?)("|\.orbax-checkpoint-tmp)', str(error))
    return OSError(code, os.strerror(code), file and file[1])
  return system_error(error.__cause__)


# Packages between us and an object store.
_CLIENTS = {'gcsfs', 'aiohttp', 'requests', 'google'}
# TensorStore, which has a client of its own: what it says is in its text alone.
_REFUSED = re.compile(
  r'(ABORTED|CANCELLED|DEADLINE_EXCEEDED|INTERNAL|PERMISSION_DENIED|'
  r'RESOURCE_EXHAUSTED|UNAUTHENTICATED|UNAVAILABLE)\b.*(gs://|storage/v1)',
  re.DOTALL,
)


def store_error(error: BaseException | None) -> str | None:
  """What an object store, or the way to it, says at the root of an exception.

  Args:
    error: as it was caught, of whatever package.

  Returns:
    The start of it; None if it is of something else.
  """
  if error is None:
    return None
  text = str(error).strip()
  package = type(error).__module__.partition('.')[0]
  plain = isinstance(error, OSError) and error.errno is None
  if isinstance(error, FileNotFoundError) and plain:
    # gcsfs, by an address or its end; others have names of their own there.
    there = text.startswith(('http', 'b/', 'gs://'))
    return 'there is no such bucket or object' if there else None
  if plain and text.startswith('Forbidden'):  # gcsfs: an address, the reason
    return text.partition('\n')[2][:200] or text[:200]
  if package in _CLIENTS or _REFUSED.search(text):
    return text.partition('\n')[0][:200] or type(error).__name__
  return store_error(error.__cause__)


def is_passing(error: BaseException) -> bool:
  """Whether a file could not be asked, as opposed to: it holds what is wrong.

  No permission, a server that is gone, no memory, too many open files; a file
  that is not there or is a folder is damage.
  """
  if isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in str(error):
    return True
  if store_error(error) and not isinstance(error, FileNotFoundError):
    return True
  said = system_error(error)
  return bool(said and said.errno in _PASSING)


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
