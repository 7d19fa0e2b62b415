"""Makes cases in processes of their own, with limits on time and memory.

A worker says before each case that it begins it, and afterwards what became of
it. One that says nothing for too long is killed, and another goes on with the
next case.
"""

import collections
import importlib
import json
import os
import pathlib
import random
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).parent.parent.parent
SECONDS = 10.0  # a case may take
LONGER = {'runs': 90.0}  # where it compiles and trains
STARTUP = 180.0  # and a worker, until its first case
MEMORY = 2**31  # bytes that a worker may take beyond what it starts with
GOOD = ('result', 'sentence')


class WrongError(AssertionError):
  """A result that is not right."""


def run(part: str, count: int, seed: int) -> dict:
  """Makes cases 0 to count - 1 of a part.

  Args:
    part: a module of this package with `prepare(folder)` and `case(draw,
      folder)`, which raises what the program raises, or WrongError.
    count: of cases.
    seed: of all of them.

  Returns:
    Counts of outcomes by name; 'bad': [(case, outcome, words)]; 'peak_mb':
    what a worker took at most beyond its start.
  """
  outcomes, bad, peak, k = collections.Counter(), [], 0.0, 0
  while k < count:
    with tempfile.TemporaryDirectory(prefix='campaign-') as folder:
      for found in _watched(part, seed, k, count, folder):
        case, outcome, words, taken = found
        outcomes[outcome] += 1
        peak = max(peak, taken)
        if outcome not in GOOD:
          bad.append((case, outcome, words))
      k = case + 1
  return {'cases': count, **outcomes, 'bad': bad, 'peak_mb': round(peak)}


def _watched(part, seed, first, count, folder):
  """(case, outcome, words, MB) of one worker's cases, until it ends."""
  # Imported by its name: as __main__ it would have classes of its own.
  work = 'from tests.campaign import pool; pool.work()'
  command = [sys.executable, '-c', work]
  words = [part, str(seed), str(first), str(count), folder]
  quiet = {'TF_CPP_MIN_LOG_LEVEL': '3', 'JAX_PLATFORMS': 'cpu'}
  worker = subprocess.Popen(
    [*command, *words],
    cwd=ROOT,
    env=os.environ | quiet,
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
  )
  case, patience, done = first, STARTUP, False
  try:
    while True:
      if not select.select([worker.stdout], [], [], patience)[0]:
        yield case, 'hang', f'{patience:.0f} s', 0.0
        return
      line = worker.stdout.readline()
      if not line:
        if not done:
          yield case, 'died', f'exit status {worker.wait()}', 0.0
        return
      found = json.loads(line)
      case, patience = found['case'], LONGER.get(part, SECONDS)
      done = 'outcome' in found
      if done:
        yield case, found['outcome'], found['words'], found['mb']
        done = case + 1 == count
  finally:
    worker.kill()
    worker.wait()
    worker.stdout.close()


def make(module, seed: int, case: int, folder: pathlib.Path):
  """Makes one case; raises what it raises."""
  draw = random.Random(f'{module.__name__} {seed} {case}')
  return module.case(draw, folder)


def work():
  """A worker: lines of JSON on what was stdout."""
  from gan_jax.errors import UserError

  out = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)  # what the program prints is not for the pool
  part, *numbers, folder = sys.argv[1:]
  seed, first, count = map(int, numbers)
  module = importlib.import_module(f'tests.campaign.{part}')
  folder = pathlib.Path(folder)
  module.prepare(folder)
  with open('/proc/self/statm') as statm:
    size = int(statm.read().split()[0]) * resource.getpagesize()
  most = size + MEMORY
  resource.setrlimit(resource.RLIMIT_AS, (most, most))
  start = _peak_mb()
  for case in range(first, count):
    print(json.dumps({'case': case}), file=out, flush=True)
    try:
      words, outcome = make(module, seed, case, folder), 'result'
    except UserError as error:
      words, outcome = str(error), 'sentence'
    except SystemExit as error:
      words, outcome = str(error.code), 'sentence'
      if not words.startswith(('gan_jax: ', '0', 'None')):
        outcome = 'exit'
    except WrongError as error:
      words, outcome = str(error), 'wrong'
    except MemoryError:
      words, outcome = '', 'memory'
    except BaseException:
      words, outcome = traceback.format_exc()[-1500:], 'traceback'
    found = {'case': case, 'outcome': outcome, 'words': str(words)[:1500]}
    found['mb'] = _peak_mb() - start
    print(json.dumps(found), file=out, flush=True)


def _peak_mb() -> float:
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def wait_until(true, seconds: float, every: float = 0.02) -> bool:
  """Whether a condition came true within a time."""
  end = time.monotonic() + seconds
  while time.monotonic() < end:
    if true():
      return True
    time.sleep(every)
  return False
