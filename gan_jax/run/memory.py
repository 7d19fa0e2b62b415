"""What a program that runs on the CPU asks of the system's memory."""

import contextlib
import ctypes
import os
import platform
import sys


def restart_with_huge_pages() -> None:
  """Starts this very command again, with memory in pages of 2 MB.

  A training step on the CPU takes and gives back its whole working memory,
  hundreds of megabytes, and the system zeroes and maps it 4 kB at a time: a
  tenth of a DCGAN-64 step (docs/results.md). glibc asks for large pages only
  when an environment variable says so before the process starts; hence the
  restart, which costs a few hundredths of a second and keeps the process's
  number. Nothing happens on other systems, or if GLIBC_TUNABLES is set.

  Call it first thing under `if __name__ == '__main__'`.
  """
  if platform.libc_ver()[0] == 'glibc' and 'GLIBC_TUNABLES' not in os.environ:
    os.environ['GLIBC_TUNABLES'] = 'glibc.malloc.hugetlb=1'
    with contextlib.suppress(OSError):  # it is faster with, and works without
      os.execv(sys.executable, sys.orig_argv)


def give_back_freed_memory() -> None:
  """Returns what this process has freed to the system.

  glibc keeps it: after compiling a DCGAN-64 step 0.3 GB, which the step's own
  arrays, too large for the gaps, then come on top of.
  """
  if platform.libc_ver()[0] == 'glibc':
    ctypes.CDLL(None).malloc_trim(0)
