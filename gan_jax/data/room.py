"""Room in memory that threads share: who needs much waits for others."""

import contextlib
import threading
from collections.abc import Iterator


class Room:
  """So many bytes; each process has its own."""

  def __init__(self, total: int):
    self._total = total
    self._free = total
    self._changed = threading.Condition()
    self._next = threading.Lock()  # first come, first served: no large one
    # waits for ever while small ones pass it by

  @contextlib.contextmanager
  def of(self, wanted: int) -> Iterator[None]:
    """Holds `wanted` bytes, or all if they are more, once they are free."""
    wanted = min(wanted, self._total)
    with self._next, self._changed:
      self._changed.wait_for(lambda: self._free >= wanted)
      self._free -= wanted
    try:
      yield
    finally:
      with self._changed:
        self._free += wanted
        self._changed.notify()
