"""Disks that are full at every write, folders that vanish, two at once.

Each game ends in one sentence; and when there is room again the same command
ends as if nothing had happened.
"""

import contextlib
import pathlib
import random
import shutil
import subprocess
import time

from tests.campaign import kills

GAME = 'conditional'


def run(count: int, seed: int, folder: pathlib.Path) -> dict:
  """Makes `count` disturbances of each kind.

  Returns:
    'cases'; 'skipped': kinds that this machine cannot make; 'bad': [(kind,
    words)].
  """
  draw, bad, skipped, cases = random.Random(seed), [], [], 0
  whole = folder / 'whole'
  output, status = kills.end(kills.start(kills.command(GAME, folder, whole)))
  if status:
    return {'cases': 0, 'bad': [('undisturbed', output[-600:])]}
  for kind in (small_disk, small_files, vanished, two_at_once):
    if kind is small_disk and not can_mount(folder):
      skipped.append(kind.__name__)
      continue
    for k in range(count):
      place = folder / f'{kind.__name__}-{k}'
      place.mkdir()
      share = (k + draw.random()) / count
      for words in kind(draw, folder, place, whole, share):
        bad.append((kind.__name__, words))
      shutil.rmtree(place, ignore_errors=True)
      cases += 1
  return {'cases': cases, 'skipped': skipped, 'bad': bad}


def _size(folder) -> int:
  return sum(f.stat().st_size for f in folder.rglob('*') if f.is_file())


def _refused(output, status, *words):
  """Yields what is wrong with how a process ended that could not write."""
  said = [line for line in output.splitlines() if line.startswith('gan_jax: ')]
  if status != 1 or 'Traceback' in output or len(said) != 1:
    yield f'{status}: {output[-800:]}'
  elif not all(word in said[0] for word in words):
    yield f'it does not speak of {words}: {said[0]}'


def _again(argv, whole, workdir):
  """The same command, with room: it ends, and as if nothing had been."""
  output, status = kills.end(kills.start(argv))
  if status or 'Traceback' in output:
    yield f'again: {status}: {output[-800:]}'
    return
  yield from kills.differences(whole, workdir)


@contextlib.contextmanager
def _mounted(place, size):
  _mount(place, '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs')
  try:
    yield
  finally:
    subprocess.run(['umount', '-l', place], check=True)


def _mount(place, *how) -> bool:
  result = subprocess.run(['mount', *how, place], capture_output=True)
  return result.returncode == 0


def can_mount(folder) -> bool:
  """Whether a small disk can be had here."""
  place = folder / 'mount'
  place.mkdir()
  try:
    if not _mount(place, '-t', 'tmpfs', '-o', 'size=4k', 'tmpfs'):
      return False
    subprocess.run(['umount', place], check=True)
    return True
  except FileNotFoundError:
    return False


def small_disk(draw, folder, place, whole, share):
  """A disk with room for a share of what the run writes."""
  size = max(4096, int(share * _size(whole)))
  with _mounted(place, size):
    workdir = place / 'run'
    argv = kills.command(GAME, folder, workdir)
    output, status = kills.end(kills.start(argv))
    yield from _refused(output, status, 'the disk is full')
    if not _mount(place, '-o', 'remount,size=1g'):
      yield 'no larger disk'
      return
    yield from _again(argv, whole, workdir)


def small_files(draw, folder, place, whole, share):
  """No file may be larger than a part of the largest that the run writes."""
  largest = max(f.stat().st_size for f in whole.rglob('*') if f.is_file())
  limit = max(1, int(share * largest))
  argv = kills.command(GAME, folder, place / 'run')
  # Compiled programs are files as well: those of the undisturbed run are there.
  # Not by preexec_fn, which forks a process that has threads.
  limited = 'import os, resource, sys; ' + (
    f'resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, -1)); '
    'os.execv(sys.executable, [sys.executable, *sys.argv[1:]])'
  )
  process = kills.start([argv[0], '-c', limited, *argv[1:]])
  output, status = kills.end(process)
  if status != 0:  # some limits are larger than what is left to write
    yield from _refused(output, status)
  yield from _again(argv, whole, place / 'run')


def vanished(draw, folder, place, whole, share):
  """The run's folder is removed, or moved away, under it."""
  workdir = place / 'run'
  argv = kills.command(GAME, folder, workdir)
  process = kills.start(argv)
  log = workdir / 'log.txt'
  end = time.monotonic() + 120
  while not log.exists() and process.poll() is None and time.monotonic() < end:
    time.sleep(0.01)
  time.sleep(draw.uniform(0, 4))
  moved = draw.random() < 0.5
  if moved:
    workdir.rename(place / 'elsewhere')
  else:
    shutil.rmtree(workdir, ignore_errors=True)
  output, status = kills.end(process)
  if status != 0:  # it was done already
    yield from _refused(output, status)
  if moved:
    shutil.rmtree(workdir, ignore_errors=True)
    (place / 'elsewhere').rename(workdir)
  yield from _again(argv, whole, workdir)


def two_at_once(draw, folder, place, whole, share):
  """Three processes in one folder: one trains, the others are told who."""
  workdir = place / 'run'
  argv = kills.command(GAME, folder, workdir)
  processes = []
  for _ in range(3):
    processes.append(kills.start(argv))
    time.sleep(draw.choice((0, 0, draw.uniform(0, 5))))
  ends = [kills.end(process) for process in processes]
  for output, status in ends:
    if status != 0:
      yield from _refused(output, status, 'in use by')
  if not any(status == 0 for _, status in ends):
    yield 'nobody trained'
  yield from kills.differences(whole, workdir)
