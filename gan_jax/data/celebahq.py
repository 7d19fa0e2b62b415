"""Makes CelebA-HQ of CelebA's pictures (ProGAN, appendix C).

  python -m gan_jax.data.celebahq --celeba=DIR --out=DIR

--celeba   CelebA "in the wild": a folder img_celeba of pictures (unpack
           img_celeba.7z), and list_landmarks_celeba.txt, beside it or in Anno
--out      where the best pictures go, as PNG: config.data.source=folder:DIR
--count    how many are kept; default 30000
--size     pixels a side; default 1024. Crops are taken at 4 times that
--restore  functions that improve a picture before it is cropped, in their
           order, as MODULE:FUNCTION,...: each takes a picture, uint8 [H, W, 3],
           and gives one, uint8 [k H, k W, 3] with any whole k. The paper has
           two networks there, which remove what JPEG left and make pictures 4
           times as large; none come with this program
--jobs     processes; default one a core. On a GPU --restore may want 1
--debug    show the traceback of whatever ends in a sentence

Each picture is cropped and judged, which is noted in DIR/quality.jsonl; then
the best are made and written. The same command goes on where it was stopped.
DIR/report.json says what was done, and which pictures could not be used. With
other pictures than the paper's networks would give, the best are not the
paper's 30,000: use it for the method, not to compare numbers with the paper's.
"""

import argparse
import concurrent.futures
import contextlib
import json
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from gan_jax import paths, top
from gan_jax.data import faces, picture
from gan_jax.data.celeba import LANDMARKS, Maker, find, functions
from gan_jax.data.files import Folder, printable
from gan_jax.data.source import Progress, some_lines
from gan_jax.errors import UserError
from gan_jax.run.lock import Lock
from gan_jax.run.write import append, clear, strict, whole

COUNT, SIZE = 30_000, 1024  # of the paper
_SMALLEST, _LARGEST = 64, 4096
_JOBS = 256
_SCORES, _REPORT = 'quality.jsonl', 'report.json'
_AHEAD = 4  # pictures a process is given before it has done the first


class Work:
  """One --out: what is known of it, and what remains to be done.

  Args:
    maker: of the pictures.
    out: the folder; it exists and is ours.
    known: landmarks by name.
    jobs: processes.
  """

  def __init__(self, maker: Maker, out: pathlib.Path, known: dict, jobs: int):
    self._maker, self._out = maker, out
    self._jobs, self._pool = jobs, _processes(jobs)
    there = [n for n in Folder(maker.folder).names() if _is_picture(n)]
    self._known = {n: known[n] for n in there if n in known}
    self.bad = {n: 'it has no landmarks' for n in there if n not in known}
    self.absent = len(known) - len(self._known)
    if not self._known:
      raise UserError(
        f'{maker.folder}: none of its {len(there)} pictures has landmarks in'
        f' {LANDMARKS}.'
      )

  def judge(self) -> dict[str, faces.Quality]:
    """The quality of every picture that can be used, noted down as it comes."""
    file, scores = self._out / _SCORES, self._scores()
    todo = [(n, None) for n in self._known if n not in scores]
    for name, quality, reason in self._each(todo, 'judging pictures'):
      if reason:
        self.bad[name] = reason
        continue
      scores[name] = quality
      append(file, strict({'name': name, **quality._asdict()}))
    return scores

  def _scores(self) -> dict[str, faces.Quality]:
    """What is noted already; a killed process leaves half a line."""
    found, file = {}, self._out / _SCORES
    text = file.read_bytes().decode('utf-8', 'replace') if file.exists() else ''
    for line in text.split('\n'):
      try:
        values = json.loads(line)
        name = values.pop('name')
        quality = faces.Quality(**values)
      except (ValueError, KeyError, TypeError, AttributeError):
        continue
      if name in self._known:
        found[name] = quality
    return found

  def write(self, scores: dict[str, faces.Quality], count: int) -> list[str]:
    """Makes the best pictures that are not there yet.

    Returns:
      Their names, from the best on. Where one cannot be read any more, the next
      takes its place.
    """
    ranked = sorted(scores, key=lambda name: (-scores[name].value, name))
    while True:
      best = [name for name in ranked if name not in self.bad][:count]
      files = {name: self._out / _png(name) for name in best}
      todo = [(n, f) for n, f in files.items() if not f.exists()]
      if not todo:
        break
      for name, _, reason in self._each(todo, 'writing pictures'):
        if reason:
          self.bad[name] = reason
    # Of an earlier start that kept more of them, or knew of fewer pictures.
    kept = {file.name for file in files.values()}
    for name in scores:
      if _png(name) not in kept:
        (self._out / _png(name)).unlink(missing_ok=True)
    return best

  def _each(self, todo: list, what: str) -> Iterator[tuple[str, Any, str]]:
    """Has the processes do all, a few ahead: (name, quality, reason)."""
    progress, waiting, rest = Progress(len(todo), what), {}, iter(todo)
    try:
      done = 0
      while done < len(todo):
        while len(waiting) < _AHEAD * self._jobs and (one := next(rest, None)):
          name, out = one
          points = self._known[name]
          waiting[self._pool.submit(self._maker, name, points, out)] = name
        ready, _ = concurrent.futures.wait(
          waiting, return_when=concurrent.futures.FIRST_COMPLETED
        )
        for future in ready:
          quality, reason = future.result()
          done += 1
          yield waiting.pop(future), quality, reason
        progress(done)
    except concurrent.futures.process.BrokenProcessPool:
      raise UserError(
        'A process of --jobs was killed, as the system does when memory is'
        ' short: run the same command again with fewer --jobs.'
      ) from None

  def close(self) -> None:
    """Ends the processes."""
    self._pool.shutdown(wait=True, cancel_futures=True)


def _processes(jobs: int) -> concurrent.futures.Executor:
  """They are started when they are first given something."""
  return concurrent.futures.ProcessPoolExecutor(
    jobs, multiprocessing.get_context('spawn'), _begin
  )


def _begin() -> None:
  """In each process: its end is the main one's affair."""
  # Ctrl-C reaches every process of a terminal.
  signal.signal(signal.SIGINT, signal.SIG_IGN)

  def watch():  # or it would wait for ever for work of one that was killed
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()


def _is_picture(name: str) -> bool:
  return os.path.splitext(name)[1].lower() in picture.SUFFIXES


def _png(name: str) -> str:
  return pathlib.PurePosixPath(name).stem + '.png'


def prepare(celeba, out, count: int, size: int, restore: str, jobs: int) -> str:
  """Makes the set, or goes on with it.

  Args: as the command's flags.

  Returns:
    What was done, for people.

  Raises:
    UserError: for whatever the user can put right.
  """
  celeba, out = paths.local(celeba, '--celeba'), paths.local(out, '--out')
  folder, known = find(celeba)
  functions(restore)
  settings = {'size': size, 'restore': restore}
  _check_out(out, settings)
  out.mkdir(parents=True, exist_ok=True)
  lock = Lock(out, '--out')
  lock.take()
  try:
    clear(out)
    work = Work(Maker(folder, size, restore), out, known, jobs)
    with contextlib.closing(work):
      _save(out, {'settings': settings, 'finished': False})
      scores = work.judge()
      best = work.write(scores, count)
    facts = {
      'settings': settings,
      'finished': True,
      'restoration': f'{restore} ran' if restore else 'none ran',
      'pictures': len(scores),
      'kept': len(best),
      'least quality kept': scores[best[-1]].value if best else None,
      'landmarks without a picture': work.absent,
      'not used': dict(sorted(work.bad.items())),
    }
    _save(out, facts)
  finally:
    lock.release()
  return _words(out, facts)


def _check_out(out: pathlib.Path, settings: dict) -> None:
  """Refuses a folder that holds anything but this very set."""
  try:
    report = json.loads((out / _REPORT).read_bytes())
    before = report['settings']
  except FileNotFoundError:
    if out.is_dir() and any(f for f in out.iterdir() if f.name[0] != '.'):
      raise UserError(
        f'--out={out} holds other files: name a folder that is empty or not'
        ' there yet.'
      ) from None
    return
  except (ValueError, KeyError, TypeError):
    raise UserError(
      f'{out / _REPORT} is damaged: delete the folder, or choose another --out.'
    ) from None
  if before != settings:
    raise UserError(
      f'--out={out} was begun with {before}, and this is {settings}: choose'
      ' another --out, or give the same flags.'
    )


def _save(out: pathlib.Path, facts: dict) -> None:
  with whole(out / _REPORT) as scratch:
    text = strict(facts, indent=2) + '\n'
    scratch.write_text(text, encoding='utf-8', errors='backslashreplace')


def _words(out: pathlib.Path, facts: dict) -> str:
  """The report for people."""
  bad = [f'{printable(n)}: {why}' for n, why in facts['not used'].items()]
  size, lines = facts['settings']['size'], []
  lines.append(
    f'{out}: the best {facts["kept"]:,} of {facts["pictures"]:,} pictures,'
    f' {size}x{size}; restoration: {facts["restoration"]}'
  )
  if bad:
    lines.append(f'{len(bad):,} could not be used:')
    lines += [f'  {line}' for line in some_lines(bad)]
  if facts['landmarks without a picture']:
    number = facts['landmarks without a picture']
    lines.append(f'{number:,} lines of landmarks are of no picture there')
  return '\n'.join(lines)


def main(argv=None) -> None:
  """Parses, makes, prints."""
  argv = sys.argv[1:] if argv is None else argv
  top.run(lambda: _main(argv), debug='--debug' in argv)


def _main(argv) -> None:
  parser = argparse.ArgumentParser(
    prog='python -m gan_jax.data.celebahq', add_help=False, allow_abbrev=False
  )
  parser.error = lambda message: sys.exit(f'gan_jax: {message}; see --help.')
  parser.add_argument('-h', '--help', action='store_true')
  for name in ('celeba', 'out', 'restore'):
    parser.add_argument(f'--{name}', default='')
  parser.add_argument('--count', type=int, default=COUNT)
  parser.add_argument('--size', type=int, default=SIZE)
  parser.add_argument('--jobs', type=int, default=os.cpu_count() or 1)
  parser.add_argument('--debug', action='store_true')
  flags = vars(parser.parse_args(argv))
  if flags.pop('help'):
    print(__doc__)
    return
  del flags['debug']
  if not (flags['celeba'] and flags['out']):
    parser.error('--celeba=DIR and --out=DIR are needed')
  ranges = {
    'count': (1, 10**7),
    'size': (_SMALLEST, _LARGEST),
    'jobs': (1, _JOBS),
  }
  for name, (low, high) in ranges.items():
    if not low <= flags[name] <= high:
      parser.error(f'--{name}={flags[name]} is not within {low} to {high}')
  print(prepare(**flags))


if __name__ == '__main__':
  top.restart_in_utf8()
  main()
