"""SGAN against a single GAN on Gaussians in the plane.

  python benchmarks/sgan_toy.py [--quick] [--out=FOLDER]

Chavdarova and Fleuret 2018, Figures 2(d) and 10: fully connected networks of
4 layers on 8 Gaussians on a ring and 25 on a grid; a single GAN, 5-S-GAN and
10-S-GAN, with and without messengers; five seeds, trained side by side under
`vmap`; equally many updates of G for all. Cut down to what two CPU cores do
in an hour: 64 units for 512, batch 64, learning rate 1e-3 for 1e-5. With fewer
steps, or a lower rate, a single GAN's samples do not reach the modes yet.

Measured on 2,500 samples of the generator that a user gets (G_0 for SGAN),
without averaging: modes covered (a sample within 3 standard deviations),
share of such samples, AdaGAN's coverage C, and the log-likelihood of 2,500
new real points under a kernel density of 500 samples, in nats. `missed by all`
is the share of modes that no local generator covers; how it falls with their
number, Figure 2(d), is drawn in FOLDER/missed_modes.png. Local pairs know
nothing of each other, so any N of a 10-S-GAN's are a sample of N: the curve
takes all subsets of all sizes, each generator with 250 samples, after the last
step, where the paper's has a random one.

Every finished row is a line of FOLDER/results.jsonl: the same command goes on
where it was stopped, and only draws and prints if there is nothing left to do.
The last line is JSON: `modes_gan`, `modes_5s`, `modes_10s`, `loglik_gan`,
`loglik_5s`, `loglik_10s`, means over seeds and both data sets, with
messengers.
"""

import argparse
import itertools
import json
import pathlib
import time

import numpy as np

from gan_jax.memory import restart_with_huge_pages

DATA = ('ring8', 'grid25')
METHODS = {  # name: (pairs, messengers)
  'GAN': (0, True),
  '5-S-GAN': (5, True),
  'simplified-5-S-GAN': (5, False),
  '10-S-GAN': (10, True),
  'simplified-10-S-GAN': (10, False),
}
MEASURES = ('modes', 'good', 'coverage', 'loglik')
SAMPLES = 2500
CHUNK = 50  # steps a call


def build(data, pairs, messengers, settings):
  """The experiment of one row."""
  from gan_jax import config as config_lib
  from gan_jax import experiment as experiment_lib
  from gan_jax.validate import validate

  arg = f'data={data},n={pairs},loss={settings["loss"]},lr={settings["lr"]}'
  c = config_lib.load(f'configs/sgan_toy.py:{arg}').unlock()
  c.generator.width = c.discriminator.width = settings['width']
  c.train.batch = settings['batch']
  if pairs:
    c.ensemble.messengers = messengers
  validate(c)
  return c, experiment_lib.build(c, (2,), 0)


def trained(c, made, seeds, steps):
  """The states of all seeds after training, stacked, and seconds a step."""
  import jax
  import jax.numpy as jnp

  from gan_jax.data.pipeline import Batch
  from gan_jax.data.toy import points

  table = jnp.asarray(points(c.data.source.partition(':')[2])[0])
  shape = (made.draws, c.train.batch)

  def one(state):
    """A step on fresh draws with replacement."""
    key = jax.random.fold_in(jax.random.fold_in(state.key, 1), state.step)
    index = jax.random.randint(key, shape, 0, len(table))
    return made.step(state, Batch(table[index], jnp.zeros(shape, jnp.int32)))

  @jax.jit
  def many(states):
    return jax.lax.scan(
      lambda s, _: (jax.vmap(one)(s)[0], None), states, None, CHUNK
    )[0]

  keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
  quick = {'xla_backend_optimization_level': 0}  # it runs once
  init = jax.jit(jax.vmap(made.init), compiler_options=quick)
  states = jax.block_until_ready(many(init(keys)))
  start = time.perf_counter()
  for _ in range(steps // CHUNK - 1):
    states = jax.block_until_ready(many(states))
  return states, (time.perf_counter() - start) / max(steps - CHUNK, 1)


def samples(c, made, variables, count):
  """[count, 2] of one generator."""
  import jax

  z = made.objective.latents(jax.random.key(99), count)
  fake = made.objective.generator.apply(variables, z, train=False)
  return np.asarray(fake)


def measure(name, fake):
  """The figures of one generator's samples."""
  from gan_jax.data import toy as data
  from gan_jax.metrics import toy

  where = data.modes(name), data.deviation(name)
  real, _ = data.points(name, 1, SAMPLES)
  return {
    'modes': toy.modes_covered(fake, *where),
    'good': toy.high_quality(fake, *where),
    'coverage': toy.coverage(fake, real),
    'loglik': toy.log_likelihood(fake, real),
  }


def covered(c, made, pairs, name):
  """Whether a local generator covers a mode, bool [N, modes]."""
  import jax

  from gan_jax.data import toy as data
  from gan_jax.metrics import toy

  count = len(jax.tree.leaves(pairs.g.params)[0])
  one = lambda n: jax.tree.map(lambda x: x[n], pairs.g.variables)
  centres = data.modes(name)
  rows = np.zeros((count, len(centres)), bool)
  for n in range(count):
    fake = samples(c, made, one(n), SAMPLES // count)
    mode, distance = toy.nearest_mode(fake, centres)
    rows[n, mode[distance <= 3 * data.deviation(name)]] = True
  return rows


def missed(rows, size: int):
  """The share of modes that N local generators miss, of every N of them.

  Args:
    rows: bool [all, modes], whether a generator covers a mode.
    size: N.

  Returns:
    Shares [subsets of N].
  """
  every = itertools.combinations(range(len(rows)), size)
  return np.array([1 - np.any(rows[list(n)], 0).mean() for n in every])


def row(name, method, settings):
  """One row of the table: the figures of every seed."""
  import jax

  pairs, messengers = METHODS[method]
  c, made = build(name, pairs, messengers, settings)
  states, seconds = trained(c, made, settings['seeds'], settings['steps'])
  kept = (*MEASURES, 'missed_by_all', 'covered')
  figures = {key: [] for key in kept}
  for seed in range(settings['seeds']):
    state = jax.tree.map(lambda x, seed=seed: x[seed], states)
    fake = samples(c, made, state.pair.g.variables, SAMPLES)
    for key, value in measure(name, fake).items():
      figures[key].append(value)
    if pairs:
      rows = covered(c, made, state.local_pairs, name)
      figures['covered'].append(rows.astype(int).tolist())
      figures['missed_by_all'].extend(missed(rows, pairs).tolist())
  return figures | {'ms_a_step': 1e3 * seconds}


def finished(file, settings):
  """The rows that are done, figures by (data, method)."""
  lines = file.read_text().splitlines() if file.exists() else []
  return {
    (line['data'], line['method']): line['figures']
    for line in map(json.loads, lines)
    if line['settings'] == settings
  }


def table(rows):
  """Prints mean and standard deviation over seeds."""
  head = ('modes', 'good', 'C', 'loglik', 'missed by all', 'ms a step')
  print('\n| data | method | ' + ' | '.join(head) + ' |')
  print('|' + '---|' * (len(head) + 2))
  for (name, method), figures in rows.items():
    cells = [
      f'{np.mean(figures[key]):.2f} ± {np.std(figures[key]):.2f}'
      if figures[key]
      else '-'
      for key in (*MEASURES, 'missed_by_all')
    ]
    cells.append(f'{figures["ms_a_step"]:.0f}')
    print(f'| {name} | {method} | ' + ' | '.join(cells) + ' |')


def missed_by_global(rows, name, method):
  """The shares of modes that a user's generator misses, one a seed."""
  from gan_jax.data import toy

  figures = rows.get((name, method))
  return figures and 1 - np.array(figures['modes']) / len(toy.modes(name))


def missed_by_locals(rows, name):
  """Shares of modes that N local generators miss, by N, over seeds."""
  seeds = rows.get((name, '10-S-GAN'), {}).get('covered', [])
  seeds = [np.array(seed, bool) for seed in seeds]
  sizes = range(1, 1 + max(map(len, seeds), default=0))
  return {n: np.concatenate([missed(s, n) for s in seeds]) for n in sizes}


def draw(file, rows):
  """Draws missed modes against the number of pairs, Figure 2(d).

  Args:
    file: the PNG to write.
    rows: figures by (data, method); what is not there is not drawn.
  """
  from gan_jax.pictures import new_figure

  names = list(dict.fromkeys(name for name, _ in rows))
  figure = new_figure(figsize=(4.6 * len(names), 3.6))
  panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
  blue, red = '#0072B2', '#D55E00'
  for axes, name in zip(panels, names, strict=True):
    of_subsets = missed_by_locals(rows, name)
    mean = np.array([values.mean() for values in of_subsets.values()])
    std = np.array([values.std() for values in of_subsets.values()])
    if of_subsets:
      sizes = list(of_subsets)
      axes.plot(
        sizes, mean, color=blue, label='any N of the 10 Gₙ of a 10-S-GAN'
      )
      low = np.maximum(mean - std, 0)
      axes.fill_between(sizes, low, mean + std, color=blue, alpha=0.15, lw=0)
    own = {1: missed_by_global(rows, name, 'GAN')}
    for n in (5, 10):
      own[n] = rows.get((name, f'{n}-S-GAN'), {}).get('missed_by_all')
    _points(axes, own, 'o', blue, 'all Gₙ of an N-S-GAN; N = 1: a GAN')
    for prefix, marker in (('', 's'), ('simplified-', '^')):
      methods = {n: f'{prefix}{n}-S-GAN' for n in (5, 10)}
      of_global = {
        n: missed_by_global(rows, name, method) for n, method in methods.items()
      }
      label = f'G₀ of {"a " + prefix if prefix else "an "}N-S-GAN'
      _points(axes, of_global, marker, red, label)
    axes.set_title(name, fontsize=10)
    axes.set(xlabel='pairs, N', xticks=range(1, 11), ylim=(0, None))
    axes.grid(alpha=0.3)
  panels[0].set_ylabel('share of modes missed')
  panels[-1].legend(fontsize=8)
  figure.savefig(file, dpi=120)


def _points(axes, values, marker, colour, label):
  """Mean and standard deviation over seeds, by N; None is left out."""
  values = {n: v for n, v in values.items() if v is not None and len(v)}
  if not values:
    return
  mean = [np.mean(v) for v in values.values()]
  std = [np.std(v) for v in values.values()]
  side = {'s': -0.12, '^': 0.12}.get(marker, 0)  # so that bars do not meet
  line = {'s': '-', '^': ':'}.get(marker, 'none')
  axes.errorbar(
    [n + side for n in values],
    mean,
    std,
    marker=marker,
    color=colour,
    linestyle=line,
    markerfacecolor='white' if marker != 's' else None,
    capsize=2,
    label=label,
  )


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--out', default='runs/sgan_toy')
  parser.add_argument('--loss', default='gan')
  parser.add_argument('--steps', type=int, default=10_000)
  args = parser.parse_args()
  settings = dict(
    loss=args.loss, lr=1e-3, width=64, batch=64, steps=args.steps, seeds=5
  )
  methods = list(METHODS)
  if args.quick:
    settings |= dict(width=16, batch=16, steps=2 * CHUNK, seeds=2)
    methods = ['GAN', '5-S-GAN', '10-S-GAN']
    args.out += '_quick'
  folder = pathlib.Path(args.out)
  folder.mkdir(parents=True, exist_ok=True)
  file = folder / 'results.jsonl'
  if args.quick:
    file.unlink(missing_ok=True)
  rows = finished(file, settings)
  for name in DATA[: 1 if args.quick else None]:
    for method in methods:
      if (name, method) not in rows:
        start = time.perf_counter()
        figures = rows[name, method] = row(name, method, settings)
        seconds = time.perf_counter() - start
        print(f'{name} {method}: {seconds:.0f} s', flush=True)
        line = dict(data=name, method=method, settings=settings)
        with file.open('a') as out:
          out.write(json.dumps(line | dict(figures=figures)) + '\n')
        draw(folder / 'missed_modes.png', rows)
  draw(folder / 'missed_modes.png', rows)
  table(rows)
  summary = {}
  for key, label in (('modes', 'modes'), ('loglik', 'loglik')):
    for method, short in (
      ('GAN', 'gan'),
      ('5-S-GAN', '5s'),
      ('10-S-GAN', '10s'),
    ):
      values = [f[key] for (_, m), f in rows.items() if m == method]
      summary[f'{label}_{short}'] = round(float(np.mean(values)), 3)
  print(json.dumps(summary))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does
  main()
