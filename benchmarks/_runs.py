"""Runs side by side, a process each."""

import concurrent.futures
import os
import pathlib
import sys


def share_compiled() -> None:
  """Lets the processes that are started compile what is the same only once."""
  cache = pathlib.Path.home() / '.cache' / 'gan_jax' / 'xla'
  os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(cache))
  # Several on one GPU: each takes what it needs, not three quarters.
  os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')


def keep_to(core: int) -> None:
  """Keeps this process to a core, -1: to none; call it before JAX counts."""
  if core >= 0:
    os.sched_setaffinity(0, {core})


def side_by_side(todo, run, workers: int = 0) -> None:
  """Does what there is to do, in order; the first failure ends it.

  Args:
    todo: of each run what `run` needs.
    run: (one of todo, core for `keep_to`) starts the process, waits for it, and
      returns why it failed, or None.
    workers: how many at a time, on whatever is free; 0: one a core.
  """
  todo = list(todo)

  def work(core):
    while todo:
      if failed := run(todo.pop(0), core):
        todo.clear()
        sys.exit(failed)

  cores = [-1] * workers or sorted(os.sched_getaffinity(0))
  with concurrent.futures.ThreadPoolExecutor(len(cores)) as pool:
    list(pool.map(work, cores))
