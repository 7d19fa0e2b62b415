"""Writing files so that a kill or a full disk leaves no half of one."""

import os
import pathlib
from collections.abc import Callable


def write_whole(file: pathlib.Path, content: str | bytes | Callable) -> None:
  """Writes a file, whole or not at all; what was there stays until then.

  Args:
    file: in a folder that exists.
    content: bytes; text, written as UTF-8; or a function that writes to the
      open binary file it is given.
  """
  scratch = file.with_name(f'.{file.name}.{os.getpid()}')
  try:
    with open(scratch, 'wb') as stream:
      if callable(content):
        content(stream)
      else:
        text = isinstance(content, str)
        stream.write(content.encode('utf-8') if text else content)
    os.replace(scratch, file)
  except BaseException:
    scratch.unlink(missing_ok=True)
    raise


def append_line(file: pathlib.Path, line: str) -> None:
  """Adds a line at the end of a file, in one write.

  Two processes may do so at once. Where a killed one left half a line, the new
  one begins on a line of its own.
  """
  descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
  try:
    size = os.fstat(descriptor).st_size
    torn = size and os.pread(descriptor, 1, size - 1) != b'\n'
    os.write(descriptor, ('\n' * bool(torn) + line + '\n').encode('utf-8'))
  finally:
    os.close(descriptor)
