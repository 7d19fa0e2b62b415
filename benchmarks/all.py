"""Every comparison with a peer, one after the other, to docs/performance.md.

  python benchmarks/all.py [--quick] [--only=step,conv] [--data=FILE]

Each part is a benchmark of this folder in a process of its own, which takes
ours and theirs in turns. Its figures are added to docs/performance.jsonl as
soon as it ends, with the machine, its load and the versions; stopped by Ctrl-C,
the same command goes on with the parts that this commit has no line of on this
machine. docs/performance.md is then written anew from all lines: a table a
part, a row a machine, the rows of earlier machines with the others; the newest
line of a machine counts. --quick: the short form of those that compile in less
than a minute, in under 8 minutes in all, to a temporary file.

The last line is JSON: part -> figures of this run.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from _lines import add, measured_now, read, stamp

HERE = pathlib.Path(__file__).resolve().parent
DOCS = HERE.parent / 'docs'
MANY = 12  # figures of a part
# A name: the benchmark with its arguments, and what it is about.
PARTS = {
  'step': ('step.py', 'DCGAN, a step of two stages; ours over PyTorch'),
  'one_stage_16': (
    'one_stage.py --batch=16',
    "OSGAN's one stage over two, DCGAN-64, batch 16",
  ),
  'one_stage_64': ('one_stage.py --batch=64', 'the same, batch 64'),
  'sgan_step': (
    'sgan_step.py',
    '5-S-DCGAN-32, Algorithm 1; ours over an ordinary PyTorch loop',
  ),
  'ensemble': ('ensemble.py', "SGAN's step by the number of pairs, ms"),
  'progan_step': (
    'progan_step.py --batch=4',
    'ProGAN, WGAN-GP, 64 and 128 px; ours over PyTorch',
  ),
  'fastgan': ('fastgan.py', 'FastGAN at 256 px; ours over PyTorch'),
  'stylegan2': (
    'stylegan2.py --batches=4',
    'StyleGAN2 paper256 at 256 px; ours over PyTorch',
  ),
  'stylegan2_lazy': (
    'stylegan2.py --batches=4 --lazy',
    'the same with R1 and path length as often as in a run',
  ),
  'glead': ('glead_costs.py', 'GLeaD over its baseline'),
  'metrics': (
    'metrics.py',
    'metrics; ours over torch-fidelity, SWD over NumPy',
  ),
  'conv': ('conv.py', 'convolutions; ours over PyTorch and over plain XLA'),
  'startup': ('startup.py', 'from the command to the first step, seconds'),
  'compile': (
    'compile.py',
    "what each config's step takes to compile, seconds",
  ),
}
# A part of each benchmark, but of those whose networks compile for minutes.
QUICK = (
  'step',
  'one_stage_16',
  'sgan_step',
  'ensemble',
  'progan_step',
  'metrics',
  'conv',
  'startup',
  'compile',
)


def measure(part: str, quick: bool) -> dict | None:
  """Runs a part; its line, or None if it has failed."""
  script, *words = PARTS[part][0].split()
  command = [sys.executable, str(HERE / script), *words]
  before, start = os.getloadavg()[0], time.time()
  # What it says is shown as it says it; the last line is kept.
  process = subprocess.Popen(
    command + (['--quick'] if quick else []),
    cwd=HERE.parent,
    stdout=subprocess.PIPE,
    text=True,
  )
  last = ''
  try:
    for line in process.stdout:
      print(f'  {line}', end='', flush=True)
      last = line.strip() or last
  finally:
    process.terminate()  # by Ctrl-C; else it has ended
  if process.wait():
    print(f'  {part} has failed: exit code {process.returncode}', flush=True)
    return None
  return {
    'part': part,
    **stamp(),
    'seconds': round(time.time() - start),
    'load': [round(before, 2), round(os.getloadavg()[0], 2)],
    'figures': json.loads(last),
  }


def table(lines: list[dict]) -> list[str]:
  """A part's rows, one a machine, in Markdown; of many figures one a figure."""
  names = list(dict.fromkeys(name for x in lines for name in x['figures']))
  rows = [
    ['machine', *(f'`{name}`' for name in names), 'load', 'date, commit'],
    ['---'] * (len(names) + 3),
  ]
  for x in lines:
    values = [str(x['figures'].get(name, '')) for name in names]
    load = ' to '.join(map(str, x['load']))
    rows.append([x['machine'], *values, load, f'{x["date"]}, {x["commit"]}'])
  if len(names) > MANY:
    columns = [rows[0], *rows[2:]]
    rows = [list(row) for row in zip(*columns, strict=True)]
    rows.insert(1, ['---'] * len(columns))
  return [f'| {" | ".join(row)} |' for row in rows]


def page(lines: list[dict]) -> str:
  """docs/performance.md."""
  newest = {(x['part'], x['machine']): x for x in lines}
  text = [
    '# Speed and memory beside peers',
    '',
    'Written by `python benchmarks/all.py` from performance.jsonl, which also'
    ' has the versions of all libraries. Each figure is of one interleaved run;'
    ' what it means is at the head of the benchmark. Speeds are ours over'
    ' theirs, so more than 1 is faster; memory is ours over theirs as well, so'
    ' less than 1 is less. A machine that is not idle halves some figures: see'
    ' its load.',
  ]
  for part, (script, about) in PARTS.items():
    rows = [x for (name, _), x in newest.items() if name == part]
    if rows:
      text += ['', f'## {about}', '', f'`python benchmarks/{script}`', '']
      text += table(rows)
  found = {}
  for x in newest.values():
    words = ', '.join(f'{k} {v}' for k, v in x['versions'].items())
    found.setdefault(f'{x["machine"]}: {words}', None)
  return '\n'.join([*text, '', '## Versions', '', *(f'- {x}' for x in found)])


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--only', default='')
  parser.add_argument('--data', default=str(DOCS / 'performance.jsonl'))
  args = parser.parse_args()
  every = list(QUICK if args.quick else PARTS)
  parts = args.only.split(',') if args.only else every
  if unknown := set(parts) - set(PARTS):
    sys.exit(f'no such part: {unknown.pop()}; there are {", ".join(PARTS)}')
  file = pathlib.Path(args.data)
  if args.quick:
    file = pathlib.Path(tempfile.mkdtemp()) / 'performance.jsonl'
  done = {x['part']: x['figures'] for x in measured_now(file)}
  for part in parts:
    if part in done:
      print(f'{part}: measured already', flush=True)
      continue
    print(f'{part}: {PARTS[part][0]}', flush=True)
    if line := measure(part, args.quick):
      done[part] = line['figures']
      add(file, line)
      file.with_suffix('.md').write_text(page(read(file)) + '\n')
  print(json.dumps({part: done[part] for part in parts if part in done}))


if __name__ == '__main__':
  main()
