"""One pair against 5-S on MNIST while they train: SGAN's Figure 5.

  python benchmarks/sgan_mnist.py --data=idx:FOLDER_OF_MNIST [--out=FOLDER]
  python benchmarks/sgan_mnist.py --quick

Chavdarova and Fleuret 2018, section 4.2 and appendix B.1: DCGANs at 28 pixels
with batch norm, and the fully connected networks of the toy data, there as
WGAN-GP, whose D and messengers learn 5 times a step; batch 50, Adam
(0.5, 0.999), equally many updates of G for all. Cut down to what two CPU cores
do in 25 minutes: narrow networks, and 10 to 20 times the paper's learning rate
of 1e-5 (SETTINGS).

A classifier of the data is trained here first, by the program itself
(FOLDER/classifier is its run), and looks at 2,500 samples of the generator
that a user gets (G_0 for SGAN), without averaging: the classifier score (an
inception score in one split, at most 10), the entropy of the histogram of its
answers in nats (at most ln 10, 2.303) and their total variation from uniform
(0 is best). Real pictures, as many, are measured the same way.

Runs take a core each, side by side. Each finished one is a line of
FOLDER/results.jsonl and a grid of samples beside it: the same command goes on
where it was stopped, and only draws and prints if there is nothing left to do.
FOLDER/figure5.png has the three curves, FOLDER/table.md the numbers. --quick
takes scikit-learn's digits, fully connected networks and a few steps. The last
line is JSON, means over seeds after the last step: is_gan, is_5s, entropy_gan,
entropy_5s, tv_gan, tv_5s of DCGAN, and is_wgan, ... of WGAN-GP.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

from gan_jax.run.memory import restart_with_huge_pages

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / 'configs'
SETTINGS = {  # by the name of a single pair's method
  'DCGAN': dict(net='dcgan', width=16, loss='gan', lr=2e-4, steps=2000),
  'WGAN': dict(net='mlp', width=256, loss='wgan_gp', lr=1e-4, steps=1000),
}
METHODS = {  # name: (key of SETTINGS, pairs, name in the last line)
  'DCGAN': ('DCGAN', 0, 'gan'),
  '5-S-DCGAN': ('DCGAN', 5, '5s'),
  'WGAN': ('WGAN', 0, 'wgan'),
  '5-S-WGAN': ('WGAN', 5, '5s_wgan'),
}
MEASURES = {  # of a line: its name for people, and the best there is
  'is': 'classifier score',
  'entropy': 'entropy of the modes (nats)',
  'tv': 'total variation from uniform',
}
POINTS = 20  # measurements of a run
CHUNK = 250  # pictures made or judged at a time
SHOWN = 60_000  # pictures the classifier learns from


def use(c, args):
  """Gives a config the data and the form of MNIST, in place."""
  c.data.update(source=args.data, resolution=28, channels=1)
  c.train.update(tensorboard=False)


def train_classifier(args, folder):
  """Trains the judge, or goes on; its accuracy on the test set."""
  from gan_jax.config import load
  from gan_jax.run.folder import RunDir
  from gan_jax.train import train

  c = load(f'{CONFIGS}/classifier_cifar.py:depth=10')
  shown = 4000 if args.quick else SHOWN
  with c.unlocked():
    use(c, args)
    if args.data == 'digits':
      c.data.update(split='train[:90%]', test_split='train[90%:]')
    c.augment.update(mirror=False, crop=0)  # a digit mirrored is another
    c.discriminator.width = 8
    # So few updates are not enough for SGD's 0.1 to settle.
    rule = dict(name='adam', lr=2e-3, weight_decay=0.0)
    rule['decay_at'] = (shown * 6 // 10, shown * 9 // 10)
    c.optimizer.discriminator.update(rule)
    steps = shown // 64
    c.train.update(batch=64, steps=steps, keep=1)
    c.train.update(log_every=steps // 5, image_every=steps)
  train(c, folder)
  last = RunDir(folder).lines()[-1]
  if last['step'] < c.train.steps:
    sys.exit('stopped; the same command goes on')
  return last['accuracy']


def load_judge(folder):
  """The classifier: pictures [N, H, W, C] in [-1, 1] to logits [N, 10]."""
  import jax

  from gan_jax.mesh import one_device
  from gan_jax.restore import restore

  run = restore(folder, one_device())
  network, player = run.experiment.objective.discriminator, run.state.pair.d
  judge = jax.jit(lambda x: network.apply(player.variables, x, train=False))
  return lambda x: np.asarray(judge(x).logits)


def measure(judge, images):
  """The figures of samples [N, H, W, C], N a multiple of CHUNK."""
  from gan_jax.metrics.class_score import inception_score
  from gan_jax.metrics.modes import class_histogram, histogram_scores

  chunks = np.split(images, len(images) // CHUNK)
  logits = np.concatenate([judge(chunk) for chunk in chunks])
  histogram = class_histogram(logits.argmax(1), logits.shape[1])
  scores = histogram_scores(histogram)
  return {
    'is': inception_score(logits, splits=1)[0],
    'entropy': scores['entropy'],
    'tv': scores['total_variation'],
  }


def measure_real(folder, count):
  """The figures of the data's first pictures, in random order."""
  from gan_jax.data import open_source
  from gan_jax.data.pipeline import samples_at
  from gan_jax.restore import open_run

  config = open_run(folder).config
  images, _ = samples_at(open_source(config.data), 0, count)
  return measure(load_judge(folder), images)


def config_of(args, settings, method, seed):
  """The config of a run of `method`, a key of METHODS."""
  from gan_jax import config as config_lib
  from gan_jax.validate import validate

  _, pairs, _ = METHODS[method]
  arg = ','.join(f'{key}={settings[key]}' for key in ('lr', 'loss', 'net'))
  c = config_lib.load(f'{CONFIGS}/sgan_mnist.py:n={pairs},{arg}')
  with c.unlocked():
    use(c, args)
    c.generator.width = c.discriminator.width = settings['width']
    c.train.update(batch=settings['batch'], seed=seed)
  validate(c)
  return c


def run(args, settings, method, seed, core):
  """One training run on one core; prints its line of results."""
  os.sched_setaffinity(0, {core})  # before JAX counts the cores
  import jax

  from gan_jax import experiment as experiment_lib
  from gan_jax.data import open_source
  from gan_jax.engine import Engine
  from gan_jax.mesh import one_device
  from gan_jax.run import draw
  from gan_jax.sampler import Sampler

  out = pathlib.Path(args.out)
  c = config_of(args, settings, method, seed)
  source, mesh = open_source(c.data), one_device()
  made = experiment_lib.build(c, source.shape, len(source.classes))
  engine = Engine(c, made, source, mesh)
  engine.enter(0)
  sampler = Sampler(c, made)
  judge = load_judge(out / 'classifier')

  def samples(state):
    chunks = np.arange(settings['samples']).reshape(-1, CHUNK)
    g = sampler.variables(state)
    fake = [sampler(g, seeds, 0) for seeds in chunks]
    return np.concatenate(jax.device_get(fake))

  state = engine.first()
  points, seconds = [], []
  for step in range(1, settings['steps'] + 1):
    start = time.perf_counter()
    state, metrics = engine.step(state)
    jax.block_until_ready(metrics)
    seconds.append(time.perf_counter() - start)
    if step % (settings['steps'] // POINTS) == 0:
      fake = samples(state)
      points.append({'step': step, **measure(judge, fake)})
  engine.close()
  draw.save_grid(out / f'{method}_{seed}.png', fake[:64])
  ms = 1e3 * float(np.median(seconds))
  line = dict(method=method, seed=seed, settings=settings, ms_a_step=ms)
  print(json.dumps(line | dict(points=points)))


def finished(file, settings):
  """The runs that are done, lines by (method, seed).

  Args:
    file: of lines.
    settings: of every method.
  """
  lines = file.read_text().splitlines() if file.exists() else []
  return {
    (line['method'], line['seed']): line
    for line in map(json.loads, lines)
    if line['settings'] == settings.get(line['method'])
  }


def run_all(args, settings, todo):
  """Does the runs (method, seed) that are left, a core each, in order."""
  file = pathlib.Path(args.out) / 'results.jsonl'

  def work(core):
    while todo:
      method, seed = todo.pop(0)
      command = [sys.executable, __file__, f'--data={args.data}']
      command += [f'--out={args.out}', f'--run={method},{seed},{core}']
      command += [f'--settings={json.dumps(settings[method])}']
      done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
      if done.returncode:
        todo.clear()
        sys.exit(f'{method}, seed {seed}, failed; the reason is above')
      line = done.stdout.splitlines()[-1]
      with file.open('a') as out:
        out.write(line + '\n')
      speed = json.loads(line)['ms_a_step']
      print(f'{method}, seed {seed}: {speed:.0f} ms a step', flush=True)

  cores = sorted(os.sched_getaffinity(0))
  with concurrent.futures.ThreadPoolExecutor(len(cores)) as pool:
    list(pool.map(work, cores))


def curves(lines, method, key):
  """Steps [T], and a measure of all seeds [seeds, T]."""
  mine = [line['points'] for (m, _), line in lines.items() if m == method]
  steps = [point['step'] for point in mine[0]]
  return steps, np.array([[p[key] for p in points] for points in mine])


def draw(file, lines, real):
  """Draws the measures against iterations: mean over seeds, and its spread.

  Args:
    file: the PNG to write.
    lines: of results, by (method, seed).
    real: the measures of real pictures.
  """
  from gan_jax.run.draw import new_figure

  names = [name for name in SETTINGS if (name, 0) in lines]
  figure = new_figure(figsize=(12, 3.3 * len(names)))
  grid = figure.subplots(len(names), len(MEASURES), squeeze=False)
  for name, row in zip(names, grid, strict=True):
    for axes, (key, title) in zip(row, MEASURES.items(), strict=True):
      for method, colour in ((name, '#0072B2'), (f'5-S-{name}', '#D55E00')):
        steps, values = curves(lines, method, key)
        mean, std = values.mean(0), values.std(0)
        axes.plot(steps, mean, color=colour, label=method)
        axes.fill_between(
          steps, mean - std, mean + std, color=colour, alpha=0.2, lw=0
        )
      axes.axhline(real[key], color='grey', ls='--', lw=1, label='real')
      axes.set_title(title, fontsize=10)
      axes.grid(alpha=0.3)
    row[-1].legend(fontsize=8)
  for axes in grid[-1]:
    axes.set_xlabel('iterations (updates of G)')
  figure.savefig(file, dpi=120)


def table(lines, real):
  """The numbers at five times, mean and deviation over seeds, in Markdown."""
  head = ['iteration', 'method', *MEASURES.values()]
  rows = [f'| {" | ".join(head)} |', '|' + '---|' * len(head)]
  for method in [m for m in METHODS if (m, 0) in lines]:
    for n in (1, 2, 5, 10, POINTS):
      steps, _ = curves(lines, method, 'is')
      cells = [str(steps[n - 1]), method]
      for key in MEASURES:
        _, values = curves(lines, method, key)
        column = values[:, n - 1]
        cells.append(f'{column.mean():.3f} ± {column.std():.3f}')
      rows.append(f'| {" | ".join(cells)} |')
  cells = ['', 'real pictures', *(f'{real[key]:.3f}' for key in MEASURES)]
  return '\n'.join([*rows, f'| {" | ".join(cells)} |', ''])


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--data', default='tfds:mnist')
  parser.add_argument('--out', default='runs/sgan_mnist')
  parser.add_argument('--seeds', type=int, default=3)
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--run', help='one run: method,seed,core')
  parser.add_argument('--settings', help='of that run, as JSON')
  args = parser.parse_args()
  if args.run:
    method, seed, core = args.run.split(',')
    return run(args, json.loads(args.settings), method, int(seed), int(core))

  # Runs that differ in their seed only compile once.
  cache = pathlib.Path.home() / '.cache' / 'gan_jax' / 'xla'
  os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(cache))
  kinds = SETTINGS
  if args.quick:
    args.data, args.seeds = 'digits', 1
    args.out += '_quick'
    small = dict(net='mlp', width=16, batch=16, steps=100, samples=250)
    kinds = {'DCGAN': SETTINGS['DCGAN'] | small}
  common = dict(batch=50, samples=2500, data=args.data)
  settings = {
    method: common | kinds[kind]
    for method, (kind, _, _) in METHODS.items()
    if kind in kinds
  }
  out = pathlib.Path(args.out)
  out.mkdir(parents=True, exist_ok=True)
  file = out / 'results.jsonl'
  if args.quick:
    file.unlink(missing_ok=True)

  accuracy = train_classifier(args, out / 'classifier')
  print(f'classifier: accuracy {accuracy:.4f} on the test set', flush=True)
  longest_first = sorted(settings, key=lambda method: -METHODS[method][1])
  runs = [(m, seed) for m in longest_first for seed in range(args.seeds)]
  done = finished(file, settings)
  run_all(args, settings, [one for one in runs if one not in done])
  done = finished(file, settings)
  lines = {one: done[one] for one in runs}

  samples = next(iter(settings.values()))['samples']
  real = measure_real(out / 'classifier', samples)
  draw(out / 'figure5.png', lines, real)
  text = table(lines, real)
  (out / 'table.md').write_text(text)
  print(text)
  summary = {}
  for key in MEASURES:
    for method in settings:
      _, values = curves(lines, method, key)
      name = f'{key}_{METHODS[method][2]}'
      summary[name] = round(float(values[:, -1].mean()), 4)
  print(json.dumps(summary))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does
  main()
