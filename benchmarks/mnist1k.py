"""MNIST-1K: modes that five steps from GAN to ProGAN find, Table 4.

  python benchmarks/mnist1k.py --data=idx:FOLDER_OF_MNIST [--rows=...]
  python benchmarks/mnist1k.py --quick

Karras et al. 2018, appendix E: 1,000 modes, three digits as the channels of a
picture; a small G and two crippled discriminators, K/4 and K/2; the rows of
configs/progan_mnist1k.py, each in --seeds runs. The paper has 8 runs of 10 (15
growing) million images; here each has --images of them, growth and the average
of G cut down in proportion, and learning rates --rate times the configs' own:
with these the networks make no digit yet in so few steps.

A classifier of the grey digits is trained here first, by the program itself
(FOLDER/classifier is its run): it tells the digit in each channel of 25,600
samples of the averaged generator, which gives the number of modes that were hit
and the divergence KL(histogram || uniform) in nats. As many pictures of the
data are measured the same way: their modes and KL are what there is to be had.

Runs go side by side: on the CPU a core each, or --workers of them at a time
(those on a GPU share it). Each is a run folder with its grids, and a line of
FOLDER/results.jsonl when it has finished: the same command goes on where it was
stopped, and only prints if nothing is left to do. --quick takes scikit-learn's
digits, one row, one seed and a few steps. The table is printed in Markdown
with the paper's own beside it. The last line is JSON, means over seeds:
modes_ROW_D and kl_ROW_D, and `seconds`, the sum over all runs.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
from _judge import CONFIGS, NINE_TENTHS, train_classifier
from _runs import keep_to, share_compiled, side_by_side

from gan_jax.run.memory import restart_with_huge_pages

CORES = ('k4', 'k2')
# Table 4 of the paper: modes and KL, mean and deviation over 8 runs.
PAPER = {
  'gan': ((30.6, 20.7, 5.99, 0.04), (628.0, 140.9, 2.58, 0.75)),
  'wgan_gp': ((640.1, 136.3, 1.97, 0.70), (772.4, 146.5, 1.35, 0.55)),
  'norm': ((856.7, 50.4, 1.10, 0.19), (886.6, 58.5, 0.98, 0.33)),
  'stddev': ((881.3, 39.2, 1.09, 0.16), (918.3, 30.2, 0.89, 0.21)),
  'progression': ((859.5, 36.2, 1.05, 0.09), (919.8, 35.1, 0.82, 0.13)),
}
IMAGES = 180_000  # all of it then takes 90 minutes of a core
SHOWN = 120_000  # pictures the classifier learns from


def config_of(args, row, d, seed):
  """The config of a run."""
  from gan_jax import config as config_lib
  from gan_jax.validate import validate

  c = config_lib.load(f'{CONFIGS}/progan_mnist1k.py:row={row},d={d}')
  with c.unlocked():
    c.data.source = f'stacked:{args.data}'
    shown = c.train.batch * c.scheme.d_steps
    whole = c.train.images
    for key in ('fade_images', 'stable_images'):
      if row == 'progression':
        c.growth[key] = round(c.growth[key] * args.images / whole)
    for player in (c.optimizer.generator, c.optimizer.discriminator):
      player.lr *= args.rate
    # An average as long, beside the run, as it is in the paper's.
    c.ema.decay **= whole / args.images
    steps = -(-args.images // shown)
    c.train.update(images=args.images, seed=seed, keep=1, tensorboard=False)
    c.train.update(
      log_every=max(steps // 20, 1), image_every=max(steps // 4, 1)
    )
    c.metrics.update(
      names=('stacked_modes',),
      samples=args.samples,
      every=steps,
      classifier=str(pathlib.Path(args.out) / 'classifier'),
    )
  validate(c)
  return c


def run(args, row, d, seed, core):
  """One training run on one core; prints its line of results."""
  keep_to(core)
  from gan_jax.run.folder import RunDir
  from gan_jax.train import train

  folder = (
    pathlib.Path(args.out) / f'{row}_{d}_{seed}_{args.images}_{args.rate:g}'
  )
  c = config_of(args, row, d, seed)
  start = time.perf_counter()
  train(c, folder)
  seconds = time.perf_counter() - start
  found = RunDir(folder).lines('evaluate.jsonl')
  if not found:
    sys.exit('stopped; the same command goes on')
  speeds = [
    x['images_per_second']
    for x in RunDir(folder).lines()
    if 'images_per_second' in x
  ]
  line = dict(
    row=row,
    d=d,
    seed=seed,
    images=args.images,
    rate=args.rate,
    samples=args.samples,
    data=args.data,
    seconds=seconds,
    images_per_second=float(np.median(speeds)),
    modes=found[-1]['stacked_modes'],
    kl=found[-1]['stacked_kl'],
  )
  print(json.dumps(line))


def measure_real(args, folder):
  """Modes and KL of as many pictures of the data."""
  import types

  from gan_jax import data
  from gan_jax.data.pipeline import samples_at
  from gan_jax.mesh import one_device
  from gan_jax.metrics import modes, spaces
  from gan_jax.restore import restore

  config = config_of(args, 'gan', 'k4', 0)
  images, _ = samples_at(data.open_source(config.data), 0, args.samples)
  settings = types.SimpleNamespace(classifier=restore(folder, one_device()))
  judge = spaces.open_space('stacked', settings)
  classes = judge(np.rint(127.5 * images + 127.5))['classes']
  counts = modes.class_histogram(classes, modes.STACKED)
  return modes.histogram_scores(counts)


def finished(args, file):
  """The runs of these settings that are done, lines by (row, d, seed)."""
  lines = file.read_text().splitlines() if file.exists() else []
  same = ('images', 'rate', 'samples', 'data')
  return {
    (line['row'], line['d'], line['seed']): line
    for line in map(json.loads, lines)
    if all(line[key] == getattr(args, key) for key in same)
  }


def run_all(args, todo):
  """Does the runs (row, d, seed) that are left, side by side, in order."""
  file = pathlib.Path(args.out) / 'results.jsonl'

  def one(run, core):
    row, d, seed = run
    command = [sys.executable, __file__, f'--run={row},{d},{seed},{core}']
    for key in ('data', 'out', 'images', 'rate', 'samples'):
      command.append(f'--{key}={getattr(args, key)}')
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
      return f'{row}, {d}, seed {seed}, failed; the reason is above'
    line = done.stdout.splitlines()[-1]
    with file.open('a') as out:
      out.write(line + '\n')
    found = json.loads(line)
    print(
      f'{row} {d} seed {seed}: {found["modes"]} modes, KL {found["kl"]:.2f},'
      f' {found["seconds"]:.0f} s',
      flush=True,
    )

  side_by_side(todo, one, args.workers)


def of_seeds(lines, row, d):
  """Modes, KL and seconds of the runs of an entry, [3, seeds]."""
  mine = [x for (r, k, _), x in lines.items() if (r, k) == (row, d)]
  return np.array(
    [[x[key] for x in mine] for key in ('modes', 'kl', 'seconds')]
  )


def table(args, lines, real):
  """Mean and deviation over seeds beside the paper's, in Markdown."""
  rows = [
    '| row | D | modes | KL | paper: modes | KL | seconds a run |',
    '|---|---|---|---|---|---|---|',
  ]
  shown = lambda mean, deviation, n: f'{mean:.{n}f} ± {deviation:.{n}f}'
  for d, row in ((d, row) for d in CORES for row in args.rows):
    modes, kl, seconds = of_seeds(lines, row, d)
    paper = PAPER[row][CORES.index(d)]
    cells = [
      row,
      d,
      shown(modes.mean(), modes.std(), 1),
      shown(kl.mean(), kl.std(), 2),
      shown(*paper[:2], 1),
      shown(*paper[2:], 2),
      f'{seconds.mean():.0f}',
    ]
    rows.append(f'| {" | ".join(cells)} |')
  cells = f'real pictures | | {real["modes"]} | {real["kl"]:.2f}'
  return '\n'.join([*rows, f'| {cells} | | | |', ''])


def summary(lines):
  """The last line's numbers."""
  found = {}
  for row, d in dict.fromkeys((row, d) for row, d, _ in lines):
    modes, kl, _ = of_seeds(lines, row, d)
    found[f'modes_{row}_{d}'] = round(float(modes.mean()), 1)
    found[f'kl_{row}_{d}'] = round(float(kl.mean()), 3)
  found['seconds'] = round(sum(x['seconds'] for x in lines.values()))
  return found


def flags():
  """The command line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--data', default='tfds:mnist', help='source of digits')
  parser.add_argument('--out', default='runs/mnist1k')
  parser.add_argument('--seeds', type=int, default=3)
  parser.add_argument('--images', type=int, default=IMAGES)
  parser.add_argument('--rate', type=float, default=5.0)
  parser.add_argument('--samples', type=int, default=25_600)
  parser.add_argument('--rows', default=','.join(PAPER))
  parser.add_argument('--workers', type=int, default=0, help='0: one a core')
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--run', help='one run: row,d,seed,core')
  args = parser.parse_args()
  args.rows = args.rows.split(',')
  if wrong := [row for row in args.rows if row not in PAPER]:
    parser.error(f'--rows: no row {wrong[0]}, but {", ".join(PAPER)}')
  if args.quick:
    args.data, args.seeds, args.rows = 'digits', 1, ['stddev']
    args.images, args.samples = 1600, 256
    args.out += '_quick'
  return args


def main():
  args = flags()
  if args.run:
    row, d, seed, core = args.run.split(',')
    return run(args, row, d, int(seed), int(core))
  share_compiled()
  out = pathlib.Path(args.out)
  if args.quick:
    shutil.rmtree(out, ignore_errors=True)
  out.mkdir(parents=True, exist_ok=True)
  file = out / 'results.jsonl'

  shown = 1000 if args.quick else SHOWN
  split = NINE_TENTHS if args.data == 'digits' else {}
  accuracy = train_classifier(
    out / 'classifier', shown, source=args.data, channels=1, **split
  )
  print(f'classifier: accuracy {accuracy:.4f} on the test set', flush=True)
  runs = [
    (r, d, k) for k in range(args.seeds) for r in args.rows for d in CORES
  ]
  done = finished(args, file)
  run_all(args, [one for one in runs if one not in done])
  done = finished(args, file)
  lines = {one: done[one] for one in runs}
  text = table(args, lines, measure_real(args, out / 'classifier'))
  (out / 'table.md').write_text(text)
  print(text)
  print(json.dumps(summary(lines)))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does
  main()
