"""One pair against 5-S while they train: SGAN's Figure 5 and Table 1.

  python benchmarks/sgan_pictures.py --set=mnist --data=idx:FOLDER_OF_MNIST
  python benchmarks/sgan_pictures.py --set=cifar --data=npz:cifar10.npz
  python benchmarks/sgan_pictures.py --set=cifar_paper --data=npz:cifar10.npz
  python benchmarks/sgan_pictures.py --quick

Chavdarova and Fleuret 2018. mnist is Figure 5 (section 4.2, appendix B.1):
DCGANs at 28 pixels with batch norm, GAN and DRAGAN, and the fully connected
networks of the toy data as WGAN-GP, whose D and messengers learn 5 times a
step; batch 50. cifar is Table 1 in miniature: DCGANs at 32 pixels, batch 64.
Both are cut down to what two CPU cores do in some hours: narrow networks, and
10 to 20 times the paper's learning rate of 1e-5 (SETS). cifar_paper is Table 1
as it is: full width, rate 1e-5, 5,000 iterations, hours on a CPU. Adam (0.5,
0.999), equally many updates of G for all. 5-S has messengers with memory
(ensemble.memory, not in the paper), 'paper 5-S' is Algorithm 1.

A classifier of the data is trained here first, by the program itself
(FOLDER/classifier is its run), and looks at 2,500 samples of the generator that
a user gets (G_0 for SGAN), without averaging, twenty times in a run: the
classifier score (an inception score, at most 10), the entropy of the histogram
of its answers in nats (at most ln 10, 2.303) and the total variation from the
histogram of as many real pictures (0 is best).

Each run is a run of the program, FOLDER/METHOD_SEED, with its grids. They take
a core each, side by side; on a GPU all have it, --workers of them. The same
command goes on where it was stopped, within a run too, and only draws and
prints if nothing is left to do: FOLDER/curves.png has the measures over time,
FOLDER/table.md the numbers. --methods names some of the methods. --quick takes
scikit-learn's digits, fully connected networks, a few steps of one pair and of
5-S. The last line is JSON, means over seeds after the last step: is_gan, is_5s,
is_paper_5s, entropy_..., tv_... of DCGAN, is_wgan, is_5s_wgan, ... of WGAN-GP,
is_dragan, ... of DRAGAN.
"""

import argparse
import itertools
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
from _judge import CONFIGS, NINE_TENTHS, train_classifier
from _runs import keep_to, share_compiled, side_by_side

from gan_jax.run.memory import restart_with_huge_pages

POINTS = 20  # measurements of a run
MEASURES = {  # of a line of evaluate.jsonl: its name at the end, for people
  'classifier_score': ('is', 'classifier score'),
  'class_entropy': ('entropy', 'entropy of the classes (nats)'),
  'class_total_variation': ('tv', 'total variation from real pictures'),
}
KINDS = {  # before a single pair's name: options, colour, short name
  '': ('n=0', '#0072B2', ''),
  '5-S-': ('n=5', '#D55E00', '5s'),
  'paper 5-S-': ('n=5,paper', '#999999', 'paper_5s'),
}
# Of a run: options of the config, settings; judge: of the classifier.
MNIST = dict(
  config='sgan_mnist',
  data='tfds:mnist',
  batch=50,
  judge=dict(shown=60_000, resolution=28, channels=1),
)
CIFAR = dict(
  config='sgan_cifar',
  data='tfds:cifar10',
  batch=64,
  judge=dict(shown=400_000, width=16, mirror=True, resolution=32),
)
MLP = dict(options='loss=wgan_gp,net=mlp')
SETS = {  # by the name of a single pair's method
  'mnist': {
    'DCGAN': MNIST | dict(width=16, lr=2e-4, steps=2000),
    'WGAN': MNIST | MLP | dict(width=256, lr=1e-4, steps=1000),
    'DRAGAN': MNIST
    | dict(options='loss=dragan', width=16, lr=2e-4, steps=2000),
  },
  'cifar': {
    'DCGAN': CIFAR | dict(width=32, lr=2e-4, steps=2000),
    'WGAN': CIFAR | dict(options='loss=wgan_gp', width=32, lr=2e-4, steps=500),
    'DRAGAN': CIFAR
    | dict(options='loss=dragan', width=32, lr=2e-4, steps=2000),
  },
  'cifar_paper': {
    name: CIFAR | dict(options=options, width=64, lr=1e-5, steps=5000)
    for name, options in (
      ('DCGAN', ''),
      ('WGAN', 'loss=wgan_gp'),
      ('DRAGAN', 'loss=dragan'),
    )
  },
}
QUICK = dict(options='net=mlp', lr=2e-4, data='digits', width=16, batch=16)
QUICK |= dict(steps=100, samples=250)


def methods_of(args):
  """Settings by method, such as '5-S-WGAN'."""
  kinds = SETS[args.set]
  if args.quick:
    kinds = {'DCGAN': MNIST | QUICK}
  own = {'data': args.data} if args.data else {}
  every = {
    kind + name: dict(options='', samples=2500) | kinds[name] | own | dict(n=n)
    for name, (kind, (n, *_)) in itertools.product(kinds, KINDS.items())
  }
  some = list(every)[:2] if args.quick else list(every)
  wanted = [m for m in args.methods.split(',') if m] or some
  if unknown := set(wanted) - set(every):
    sys.exit(f'--methods={min(unknown)}: there are {", ".join(every)}')
  return {method: every[method] for method in wanted}


def short(method):
  """The name of a method in the last line: gan, 5s, paper_5s_wgan."""
  kind = max((k for k in KINDS if method.startswith(k)), key=len)
  base = method.removeprefix(kind).lower().replace('dcgan', 'gan')
  before = KINDS[kind][2]
  if not before:
    return base
  return before if base == 'gan' else f'{before}_{base}'


def folder_of(out, method, seed):
  """Where a run is."""
  return pathlib.Path(out) / f'{method.replace(" ", "_")}_{seed}'


def run(out, settings, method, seed, core):
  """One training run, or what is left of it; one core, unless it is -1."""
  keep_to(core)
  from gan_jax import config as config_lib
  from gan_jax.train import train
  from gan_jax.validate import validate

  options = f'{settings["n"]},lr={settings["lr"]},{settings["options"]}'
  c = config_lib.load(
    f'{CONFIGS}/{settings["config"]}.py:{options.rstrip(",")}'
  )
  steps = settings['steps']
  with c.unlocked():
    c.data.source = settings['data']
    c.generator.width = c.discriminator.width = settings['width']
    c.train.update(batch=settings['batch'], steps=steps, seed=seed)
    c.train.update(tensorboard=False, keep=1, log_every=steps // POINTS)
    c.train.update(image_every=steps // 4, checkpoint_every=steps // POINTS)
    c.metrics.update(
      names=('classifier_score', 'class_histogram'),
      samples=settings['samples'],
      every=steps // POINTS,
      classifier=str(pathlib.Path(out) / 'classifier'),
    )
  validate(c)
  train(c, folder_of(out, method, seed))


def points(args, settings, method, seed):
  """What was measured of a run, by step; None if it is not finished."""
  file = folder_of(args.out, method, seed) / 'evaluate.jsonl'
  lines = file.read_text().splitlines() if file.exists() else []
  lines = [json.loads(line) for line in lines]
  done = lines and lines[-1]['step'] == settings['steps']
  return lines if done else None


def run_all(args, methods, todo):
  """Does the runs (method, seed) that are left, side by side, in order."""

  def one(job, core):
    method, seed = job
    command = [sys.executable, __file__, f'--out={args.out}']
    command += [f'--run={method},{seed},{core}']
    command += [f'--settings={json.dumps(methods[method])}']
    log = folder_of(args.out, method, seed).with_suffix('.log')
    with log.open('a') as file:
      done = subprocess.run(command, stdout=file, stderr=file)
    if done.returncode or not points(args, methods[method], method, seed):
      return f'{method}, seed {seed}, is not done; {log} says why'
    print(f'{method}, seed {seed}: done', flush=True)

  side_by_side(todo, one, args.workers)


def draw(file, rows):
  """Draws the measures against iterations: mean over seeds, and its spread.

  Args:
    file: the PNG to write.
    rows: (steps [T], {measure: [seeds, T]}) by method.
  """
  from gan_jax.run.draw import new_figure

  bases = list(dict.fromkeys(method.rpartition('-')[2] for method in rows))
  figure = new_figure(figsize=(12, 3.3 * len(bases)))
  grid = figure.subplots(len(bases), len(MEASURES), squeeze=False)
  for base, panels in zip(bases, grid, strict=True):
    for axes, (key, (_, title)) in zip(panels, MEASURES.items(), strict=True):
      for kind, (_, colour, _) in KINDS.items():
        if kind + base not in rows:
          continue
        steps, values = rows[kind + base]
        mean, std = values[key].mean(0), values[key].std(0)
        axes.plot(steps, mean, color=colour, label=kind + base)
        low, high = mean - std, mean + std
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, lw=0)
      axes.set_title(title, fontsize=10)
      axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
  for axes in grid[-1]:
    axes.set_xlabel('iterations (updates of G)')
  figure.savefig(file, dpi=120)


def table(rows):
  """The numbers at five times, mean and deviation over seeds, in Markdown."""
  head = ['iteration', 'method', *(title for _, title in MEASURES.values())]
  text = [f'| {" | ".join(head)} |', '|' + '---|' * len(head)]
  for method, (steps, values) in rows.items():
    for n in (1, 2, 5, 10, POINTS):
      cells = [f'{steps[n - 1]:,}', method]
      for key in MEASURES:
        column = values[key][:, n - 1]
        cells.append(f'{column.mean():.3f} ± {column.std():.3f}')
      text.append(f'| {" | ".join(cells)} |')
  return '\n'.join([*text, ''])


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--set', default='mnist', choices=SETS)
  parser.add_argument('--data', help="default: TFDS's")
  parser.add_argument('--out', help='default: runs/sgan_SET')
  parser.add_argument('--seeds', type=int, default=3)
  parser.add_argument('--methods', default='', help='default: all of the set')
  parser.add_argument('--workers', type=int, default=0)
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--run', help='one run: method,seed,core')
  parser.add_argument('--settings', help='of that run, as JSON')
  args = parser.parse_args()
  if args.run:
    method, seed, core = args.run.split(',')
    settings = json.loads(args.settings)
    return run(args.out, settings, method, int(seed), int(core))

  share_compiled()
  args.out = args.out or f'runs/sgan_{args.set}{"_quick" * args.quick}'
  args.seeds = 1 if args.quick else args.seeds
  methods = methods_of(args)
  out = pathlib.Path(args.out)
  if args.quick:
    shutil.rmtree(out, ignore_errors=True)
  out.mkdir(parents=True, exist_ok=True)

  some = next(iter(methods.values()))
  judge = some['judge'] | NINE_TENTHS
  judge |= {'shown': 4000} if args.quick else {}
  accuracy = train_classifier(out / 'classifier', source=some['data'], **judge)
  print(f'classifier: accuracy {accuracy:.4f} on the test set', flush=True)
  longest_first = sorted(methods, key=lambda method: '5-S' not in method)
  runs = list(itertools.product(range(args.seeds), longest_first))
  todo = [(m, s) for s, m in runs if not points(args, methods[m], m, s)]
  run_all(args, methods, todo)
  rows, summary = {}, {}
  for method, settings in methods.items():
    found = [points(args, settings, method, s) for s in range(args.seeds)]
    steps = [point['step'] for point in found[0]]
    values = {
      k: np.array([[p[k] for p in one] for one in found]) for k in MEASURES
    }
    rows[method] = steps, values
    for key, (name, _) in MEASURES.items():
      last = float(values[key][:, -1].mean())
      summary[f'{name}_{short(method)}'] = round(last, 4)
  draw(out / 'curves.png', rows)
  text = table(rows)
  (out / 'table.md').write_text(text)
  print(text)
  print(json.dumps(summary))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does
  main()
