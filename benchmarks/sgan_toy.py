"""SGAN against a single GAN on Gaussians in the plane.

  python benchmarks/sgan_toy.py [--quick] [--out=FOLDER]

Chavdarova and Fleuret 2018, Figures 2(d) and 10: fully connected networks of
4 layers on 8 Gaussians on a ring and 25 on a grid; a single GAN, 5-S-GAN and
10-S-GAN, their messengers with memory (ensemble.memory, not in the paper) and
without ('paper ...', Algorithm 1), and simplified, without messengers; five
seeds, trained side by side under `vmap`; equally many updates of G for all. Cut
down to what two CPU cores do in one or two hours: 64 units for 512, batch 64,
learning rate 1e-3 for 1e-5. The paper does not say how often a discriminator,
and so a messenger, learns a step (I_D). SETTINGS has several.

Measured on 2,500 samples of the generator that a user gets (G_0 for SGAN),
without averaging: modes covered (a sample within 3 standard deviations),
share of such samples, AdaGAN's coverage C, and the log-likelihood of 2,500
new real points under a kernel density of 500 samples, in nats. `missed by all`
is the share of modes that no local generator covers; how it falls with their
number, Figure 2(d), is drawn in FOLDER/missed_modes.png. Local pairs know
nothing of each other, so any N of a 10-S-GAN's are a sample of N: the curve
takes all subsets of all sizes, each generator with 250 samples, after the last
step, where the paper's has a random one. FOLDER/log_likelihood.png is Figure
10: medians over seeds at four times, since one seed that has collapsed makes
a mean of its own.

Two rows are trained at a time, each keeps about one core busy. Every finished
row is a line of FOLDER/results.jsonl: the same command goes on where it was
stopped, and only draws and prints if there is nothing left to do. The last
line is JSON: `modes_gan`, `modes_5s`, `modes_10s`, `loglik_gan`, `loglik_5s`,
`loglik_10s`, means over seeds and both data sets, with memory, of WGAN-GP,
and under names that end in `_vanilla` of the vanilla GAN, both with I_D = 1.
"""

import argparse
import concurrent.futures
import itertools
import json
import pathlib
import time

import numpy as np
from sgan_toy_figures import draw_log_likelihood, draw_missed, missed_by_all

from gan_jax.run.memory import restart_with_huge_pages

DATA = ('ring8', 'grid25')
METHODS = {  # name: options of configs/sgan_toy.py
  'GAN': 'n=0',
  '5-S-GAN': 'n=5',
  '10-S-GAN': 'n=10',
  'paper 5-S-GAN': 'n=5,paper',
  'simplified-5-S-GAN': 'n=5,simple',
}
TWO = ('GAN', '5-S-GAN')
SETTINGS = {  # name: loss, I_D, steps, methods
  'vanilla': ('gan', 1, 5000, tuple(METHODS)),
  'WGAN-GP': ('wgan_gp', 1, 3000, (*TWO, '10-S-GAN', 'paper 5-S-GAN')),
  'WGAN-GP, I_D = 5': ('wgan_gp', 5, 1500, TWO),
  'DRAGAN': ('dragan', 1, 2500, TWO),
}
COMMON = dict(lr=1e-3, width=64, batch=64, seeds=5)
QUICK = COMMON | dict(width=16, batch=16, seeds=2)
MEASURES = ('modes', 'good', 'coverage', 'loglik')
SAMPLES = 2500
CHUNK = 50  # steps a call
TIMES = (0.1, 0.25, 0.5, 1.0)  # of a run, at which it is measured


def build(data, options, settings):
  """The experiment of one row."""
  from gan_jax import config as config_lib
  from gan_jax import experiment as experiment_lib
  from gan_jax.validate import validate

  arg = f'data={data},loss={settings["loss"]},lr={settings["lr"]},{options}'
  c = config_lib.load(f'configs/sgan_toy.py:{arg}').unlock()
  c.generator.width = c.discriminator.width = settings['width']
  c.scheme.d_steps = settings['d_steps']
  c.train.batch = settings['batch']
  validate(c)
  return c, experiment_lib.build(c, (2,), 0)


def trained(c, made, seeds, steps):
  """Yields the states of all seeds, stacked, at TIMES of the training."""
  import jax
  import jax.numpy as jnp

  from gan_jax.data.pipeline import Batch
  from gan_jax.data.toy import points

  table = jnp.asarray(points(c.data.source.partition(':')[2])[0])
  (span,), (stage,), _ = made.growth
  shape, step = (stage.draws, stage.batch), made.make_step(stage)

  def one(state):
    """A step on fresh draws with replacement."""
    key = jax.random.fold_in(jax.random.fold_in(state.key, 1), state.step)
    index = jax.random.randint(key, shape, 0, len(table))
    batch = Batch(table[index], jnp.zeros(shape, jnp.int32))
    return step(state, {}, batch, span)

  @jax.jit
  def many(states):
    return jax.lax.scan(
      lambda s, _: (jax.vmap(one)(s)[0], None), states, None, CHUNK
    )[0]

  keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
  quick = {'xla_backend_optimization_level': 0}  # it runs once
  states = jax.jit(jax.vmap(made.init), compiler_options=quick)(keys)
  chunks = [max(1, round(steps * share / CHUNK)) for share in TIMES]
  for k in range(chunks[-1]):
    states = jax.block_until_ready(many(states))
    if k + 1 in chunks:
      yield (k + 1) * CHUNK, states


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


def row(name, method, settings):
  """One row of the table: its figures, by time and seed."""
  import jax

  c, made = build(name, METHODS[method], settings)
  figures = {key: [] for key in ('steps', *MEASURES)}
  for step, states in trained(c, made, settings['seeds'], settings['steps']):
    seeds = [
      jax.tree.map(lambda x, seed=seed: x[seed], states)
      for seed in range(settings['seeds'])
    ]
    found = [
      measure(name, samples(c, made, state.pair.g.variables, SAMPLES))
      for state in seeds
    ]
    figures['steps'].append(step)
    for key in MEASURES:
      figures[key].append([one[key] for one in found])
  if c.ensemble.pairs:
    every = [covered(c, made, state.local_pairs, name) for state in seeds]
    figures['covered'] = [one.astype(int).tolist() for one in every]
  return figures


def work(jobs, file, rows):
  """Does rows, two at a time, and notes each.

  Args:
    jobs: pairs of a row's key (setting, data, method) and its settings.
    file: gets a line for each.
    rows: figures by key, which gets them too.
  """

  def one(job):
    key, settings = job
    start = time.perf_counter()
    rows[key] = row(*key[1:], settings)
    line = dict(row=key, settings=settings, figures=rows[key])
    with file.open('a') as out:
      out.write(json.dumps(line) + '\n')
    print(f'{" | ".join(key)}: {time.perf_counter() - start:.0f} s', flush=True)

  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    list(pool.map(one, jobs))


def finished(file, jobs):
  """The rows of these jobs that are done: figures by key."""
  lines = file.read_text().splitlines() if file.exists() else []
  lines = [json.loads(line) for line in lines]
  return {
    key: line['figures']
    for line in lines
    for key, settings in jobs
    if (line['row'], line['settings']) == (list(key), settings)
  }


def table(rows):
  """Prints mean and standard deviation over seeds, after the last step."""
  head = ('setting', 'data', 'method', *MEASURES, 'missed by all')
  print('\n| ' + ' | '.join(head) + ' |\n' + '|---' * len(head) + '|')
  for key, figures in rows.items():
    values = [figures[measure][-1] for measure in MEASURES]
    cells = [
      f'{_rounded(np.mean(v))} ± {_rounded(np.std(v))}' if v else '-'
      for v in (*values, missed_by_all(figures))
    ]
    print('| ' + ' | '.join((*key, *cells)) + ' |')


def _rounded(value):
  """A number with two decimals, or none where they would only be noise."""
  return f'{value:,.2f}' if abs(value) < 100 else f'{value:,.0f}'


def summary(rows):
  """Means over seeds and data sets, by name."""
  means = {}
  for setting, suffix in (('WGAN-GP', ''), ('vanilla', '_vanilla')):
    for key in ('modes', 'loglik'):
      for method in ('GAN', '5-S-GAN', '10-S-GAN'):
        values = [
          figures[key][-1]
          for (of, _, by), figures in rows.items()
          if (of, by) == (setting, method)
        ]
        name = f'{key}_{method.lower().replace("-", "").replace("sgan", "s")}'
        if values:
          means[name + suffix] = round(float(np.mean(values)), 3)
  return means


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--out', default='runs/sgan_toy')
  args = parser.parse_args()
  folder = pathlib.Path(args.out + ('_quick' if args.quick else ''))
  folder.mkdir(parents=True, exist_ok=True)
  file = folder / 'results.jsonl'
  jobs = []
  for setting, (loss, d_steps, steps, methods) in SETTINGS.items():
    settings = dict(loss=loss, d_steps=d_steps, steps=steps, **COMMON)
    jobs += [
      ((setting, name, method), settings)
      for name, method in itertools.product(DATA, methods)
    ]
  if args.quick:
    file.unlink(missing_ok=True)
    small = dict(loss='wgan_gp', d_steps=2, steps=2 * CHUNK, **QUICK)
    jobs = [
      (('WGAN-GP', 'ring8', method), small)
      for method in ('GAN', '5-S-GAN', '10-S-GAN', 'paper 5-S-GAN')
    ]
  rows = finished(file, jobs)
  work([job for job in jobs if job[0] not in rows], file, rows)
  rows = {key: rows[key] for key, _ in jobs}  # in their order
  draw_missed(folder / 'missed_modes.png', rows)
  draw_log_likelihood(folder / 'log_likelihood.png', rows)
  table(rows)
  print(json.dumps(summary(rows)))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does
  main()
