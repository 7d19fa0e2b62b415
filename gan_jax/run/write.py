"""Files that are written whole or not at all."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def whole(path) -> Iterator[pathlib.Path]:
  """A scratch file that takes a file's place when the block has ended.

  Whoever reads `path` meanwhile, or after a kill, finds the old file or the new
  one. If the block fails nothing stays of it, and the old file is untouched.

  Args:
    path: of the file to write; its folder exists.

  Yields:
    The path to write to, beside it and with the same ending; hidden, and one
    for each process.
  """
  path = pathlib.Path(path)
  scratch = path.with_name(f'.{path.stem}.{os.getpid()}{path.suffix}')
  try:
    yield scratch
    scratch.replace(path)
  except BaseException:
    scratch.unlink(missing_ok=True)
    raise
