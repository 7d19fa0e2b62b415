"""Every method's step on an accelerator: images a second, memory, compilation.

  python benchmarks/gpu.py [--seconds=480] [--only=dcgan64,fastgan256] [--quick]

A row is a config of configs/ at its real size on pictures of noise, in float32
(on a GPU in TF32, as a run has it) and, with `bfloat16_from=1` of both
networks, in bfloat16; each in a process of its own, whose memory is its own.
What comes out is added to docs/results-gpu.jsonl as soon as it is there, and
the table in docs/results-gpu.md is written anew from all lines. No row is begun
after --seconds; the same command goes on with those that this commit has no
line of on this card, and when all are there measures the card's table of
convolutions (conv.py --write; then the rows are worth measuring again). Steps
of StyleGAN2 and GLeaD are means over 16, so that their penalties are in them as
often as in a run. --quick: three small rows on whatever is here, to a temporary
file.

The last line is JSON: row -> images/s.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from _lines import add, measured_now, read, stamp
from _measure import interleaved, our_step

from gan_jax.run.memory import restart_with_huge_pages

HERE = pathlib.Path(__file__).resolve().parent
DOCS = HERE.parent / 'docs'
BEGIN, END = '<!-- steps: benchmarks/gpu.py -->', '<!-- end -->'
# Karras et al.'s table of StyleGAN2-ADA's and StyleGAN3's speeds.
PUBLISHED = {
  'stylegan2_256': 'StyleGAN2, 256 px: 12.53 s on an A100, 20.84 on a V100',
  'stylegan2_1024': 'StyleGAN2, 1024 px: 90.39 s on an A100, 141.83 on a V100',
}


class Row(NamedTuple):
  """What is measured.

  Attributes:
    config: of configs/.
    side: of the pictures.
    batch: of a minibatch.
    draws: minibatches a step.
    cycle: steps that are timed together.
    changes: of settings.
  """

  config: str
  side: int
  batch: int
  draws: int = 1
  cycle: int = 4
  changes: tuple = ()


WHOLE = (('growth.start', '0'), ('growth.batch', ''), ('growth.lr', ''))
# What is known of others or stands against each other comes first.
ROWS = {
  'stylegan2_256': Row('stylegan2_folder.py:preset=paper256', 256, 32, 1, 16),
  'dcgan64_one_stage': Row('osgan_celeba.py:scheme=one_stage', 64, 64),
  'dcgan64_two_stages': Row('osgan_celeba.py:scheme=two_stage', 64, 64),
  'dcgan32': Row('sgan_cifar.py:n=0', 32, 64),
  'sgan5_dcgan32': Row('sgan_cifar.py:n=5', 32, 64, 15),
  'fastgan256': Row('fastgan_folder.py:resolution=256,width=64', 256, 8),
  'progan128': Row('progan_celebahq.py:resolution=128', 128, 16, changes=WHOLE),
  'glead256': Row('glead_folder.py:preset=paper256', 256, 32, 1, 16),
  'fastgan1024': Row('fastgan_folder.py:resolution=1024,width=64', 1024, 8),
  'stylegan2_1024': Row(
    'stylegan2_folder.py:preset=full,resolution=1024', 1024, 4, 1, 16
  ),
  'progan1024': Row(
    'progan_celebahq.py:resolution=1024', 1024, 4, changes=WHOLE
  ),
}
QUICK = {
  'dcgan64_one_stage': Row('osgan_celeba.py:scheme=one_stage', 64, 4),
  'dcgan32': Row('sgan_cifar.py:n=0', 32, 8),
  'sgan2_dcgan32': Row('sgan_cifar.py:n=2', 32, 8, 6),
}


def measured(row: Row, bfloat16: bool) -> dict:
  """A row's figures, of this process alone."""
  import jax

  from gan_jax import config as config_lib

  changes = [*row.changes, ('train.batch', f'{row.batch}')]
  if bfloat16:
    nets = ('generator', 'discriminator')
    changes += [(f'{net}.bfloat16_from', '1') for net in nets]
  config = config_lib.load(f'{HERE.parent}/configs/{row.config}', changes)
  shape = (row.draws, row.batch, row.side, row.side, 3)
  image = jax.random.uniform(jax.random.key(1), shape, minval=-1.0)
  step, compile_s = our_step(config, row.side, row.batch, image)
  (seconds,) = interleaved([step], 3, row.cycle)
  memory = jax.devices()[0].memory_stats() or {}
  return {
    'images_per_second': round(row.batch / seconds, 2),
    'ms': round(1e3 * seconds, 2),
    'compile_s': round(compile_s, 1),
    'memory_gb': round(memory.get('peak_bytes_in_use', 0) / 1e9, 2),
  }


def table(lines: list[dict]) -> str:
  """What docs/results-gpu.md has of it."""
  newest = {(x['machine'], x['row'], x['kind']): x for x in lines}
  text = [
    '| card | step | batch | kind | images/s | s for 1,000 images'
    ' | memory, GB | compilation, s | date, commit |',
    '|---|---|---|---|---|---|---|---|---|',
  ]
  for x in newest.values():
    text.append(
      f'| {x["machine"]} | `{x["row"]}` | {x["batch"]} | {x["kind"]} |'
      f' {x["images_per_second"]:,} | {1e3 / x["images_per_second"]:.3g} |'
      f' {x["memory_gb"]} | {x["compile_s"]} | {x["date"]}, {x["commit"]} |'
    )
  shown = {x['row'] for x in newest.values()}
  known = [words for row, words in PUBLISHED.items() if row in shown]
  if known:
    text += ['', f'Published, for 1,000 images: {"; ".join(known)}.']
  return '\n'.join(text)


def write(file: pathlib.Path) -> None:
  """The table, into the page beside the lines."""
  page = file.with_suffix('.md')
  text = page.read_text() if page.exists() else ''
  if BEGIN not in text:
    text = f'{text.rstrip()}\n\n## Steps of all methods\n\n{BEGIN}\n{END}\n'
  head, _, rest = text.lstrip().partition(BEGIN)
  tail = rest.partition(END)[2]
  page.write_text(f'{head}{BEGIN}\n{table(read(file))}\n{END}{tail}')


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--seconds', type=float, default=480)
  parser.add_argument('--only', default='')
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--one', help='a row and its kind; for this script')
  args = parser.parse_args()
  rows = QUICK if args.quick else ROWS
  if args.one:
    name, kind = args.one.split(',')
    found = measured(rows[name], kind == 'bfloat16')
    print(json.dumps(found))
    return
  names = args.only.split(',') if args.only else list(rows)
  if unknown := set(names) - set(rows):
    sys.exit(f'no such row: {unknown.pop()}; there are {", ".join(rows)}')
  file = DOCS / 'results-gpu.jsonl'
  if args.quick:
    file = pathlib.Path(tempfile.mkdtemp()) / 'results-gpu.jsonl'
  start = time.time()
  done = {
    (x['row'], x['kind']): x['images_per_second'] for x in measured_now(file)
  }
  for name in names:
    for kind in ('float32', 'bfloat16'):
      left = args.seconds - (time.time() - start)
      if (name, kind) in done or left < 0:
        continue
      command = [sys.executable, __file__, f'--one={name},{kind}']
      command += ['--quick'] if args.quick else []
      try:
        ended = subprocess.run(
          command, stdout=subprocess.PIPE, text=True, timeout=left + 60
        )
      except subprocess.TimeoutExpired:
        print(f'{name}, {kind}: not done within the time', flush=True)
        continue
      if ended.returncode:
        print(f'{name}, {kind}: failed', flush=True)
        continue
      line = stamp() | json.loads(ended.stdout.splitlines()[-1])
      line |= dict(row=name, kind=kind, batch=rows[name].batch)
      print(f'{name}, {kind}: {line["images_per_second"]} images/s', flush=True)
      done[name, kind] = line['images_per_second']
      add(file, line)
      write(file)
  left = args.seconds - (time.time() - start)
  if not (args.quick or args.only) and left > 0:
    command = [sys.executable, str(HERE / 'conv.py'), '--write']
    try:
      subprocess.run([*command, '--only=no layer'], timeout=left, check=False)
    except subprocess.TimeoutExpired:
      print('the table of convolutions: not done within the time', flush=True)
  print(json.dumps({f'{name} {kind}': x for (name, kind), x in done.items()}))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does
  main()
