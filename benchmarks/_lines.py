"""Figures as lines of JSON: made by a process, kept in a file, with a stamp."""

import datetime
import functools
import importlib.metadata
import json
import pathlib
import platform
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
LIBRARIES = ('jax', 'jaxlib', 'flax', 'numpy', 'torch', 'torch-fidelity')


def stamp() -> dict:
  """What every line says: the machine, the day, the commit, the libraries."""
  return {
    'machine': _machine(),
    'date': datetime.date.today().isoformat(),
    'commit': _commit(),
    'versions': _versions(),
  }


@functools.cache
def _machine() -> str:
  """The device's name, by a process of its own: who asks JAX has the device."""
  ask = 'from _measure import device; print(device())'
  return subprocess.run(
    [sys.executable, '-c', ask],
    cwd=HERE,
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  ).stdout.splitlines()[-1]


def _versions() -> dict[str, str]:
  """Of Python and of the libraries that are here."""
  found = {'python': platform.python_version()}
  for name in LIBRARIES:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue
  return found


def _commit() -> str:
  """The commit that is measured, with a + where files differ from it.

  What a benchmark itself writes, to docs/, is no difference.
  """
  git = lambda *words: subprocess.run(
    ['git', *words],
    cwd=HERE.parent,
    capture_output=True,
    text=True,
    check=False,
  ).stdout.strip()
  changed = git('status', '--porcelain', '-uno', '--', '.', ':!docs')
  return git('rev-parse', '--short', 'HEAD') + ('+' if changed else '')


def in_a_process(script: str, name: str):
  """What a process of its own prints last, as JSON, for `--one=name`.

  Returns:
    The value; None, and why in words, if that has failed.
  """
  command = [sys.executable, script, f'--one={name}']
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode:
    print(f'{name} failed: {done.stderr[-2000:]}', flush=True)
    return None
  return json.loads(done.stdout.splitlines()[-1])


def read(file: pathlib.Path) -> list[dict]:
  """The lines of a file, which need not be there."""
  if not file.exists():
    return []
  return [json.loads(line) for line in file.read_text().splitlines()]


def measured_now(file: pathlib.Path) -> list[dict]:
  """Those of this commit, as it stands, on this machine."""
  now = stamp()
  if now['commit'].endswith('+'):
    return []
  same = ('machine', 'commit')
  return [x for x in read(file) if all(x[key] == now[key] for key in same)]


def add(file: pathlib.Path, line: dict) -> None:
  """Adds a line."""
  with file.open('a') as out:
    out.write(json.dumps(line) + '\n')
