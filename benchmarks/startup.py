"""How long a run takes to begin: from the command to its first step.

  python benchmarks/startup.py [--quick] [--rounds=3]

configs/quickstart.py, whole processes, with an empty compilation cache and with
that of the run before, in turns; medians. --quick: one round.

The last line is JSON: `cold_start_s` and `warm_start_s`, from the start of the
process to the line that says that the first step is done, and of the cold one
`import_s`, to the first line of all.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from _measure import device

FIRST_STEP = 'The first step is done'


def start(cache):
  """Seconds to the first line and to the first step of a fresh run."""
  with tempfile.TemporaryDirectory() as workdir:
    command = [sys.executable, '-m', 'gan_jax.main']
    command += ['--config=configs/quickstart.py', f'--workdir={workdir}/run']
    begin, first = time.perf_counter(), None
    process = subprocess.Popen(
      command,
      env=os.environ | {'JAX_COMPILATION_CACHE_DIR': cache},
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    said = []
    for line in process.stdout:
      said.append(line)
      first = first or time.perf_counter() - begin
      if FIRST_STEP in line:
        seconds = time.perf_counter() - begin
        process.kill()
        process.communicate()
        return first, seconds
  sys.exit(f'the quickstart did not take a step:\n{"".join(said)}')


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--rounds', type=int, default=3)
  args = parser.parse_args()
  print(f'{device()}; load average {os.getloadavg()}')
  cold, warm = [], []
  for _ in range(1 if args.quick else args.rounds):
    with tempfile.TemporaryDirectory() as cache:
      cold.append(start(cache))
      warm.append(start(cache))
    print(f'cold {cold[-1][1]:.1f} s, warm {warm[-1][1]:.1f} s', flush=True)
  figures = {
    'cold_start_s': statistics.median(s for _, s in cold),
    'warm_start_s': statistics.median(s for _, s in warm),
    'import_s': statistics.median(s for s, _ in cold),
  }
  print(f'load average {os.getloadavg()}')
  print(json.dumps({k: round(v, 2) for k, v in figures.items()}))


if __name__ == '__main__':
  main()
