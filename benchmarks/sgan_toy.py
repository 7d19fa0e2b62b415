"""SGAN against a single GAN on Gaussians in the plane.

  python benchmarks/sgan_toy.py [--quick] [--out=FOLDER]

Chavdarova and Fleuret 2018, Figures 2(d) and 10: fully connected networks of
4 layers on 8 Gaussians on a ring and 25 on a grid; a single GAN, 5-S-GAN and
10-S-GAN, with and without messengers; five seeds, trained side by side under
`vmap`; equally many updates of G for all. Cut down to what two CPU cores do
in an hour: 128 units for 512, batch 64, learning rate 2e-4 for 1e-5.

Measured on 2,500 samples of the generator that a user gets (G_0 for SGAN),
without averaging: modes covered (a sample within 3 standard deviations),
share of such samples, AdaGAN's coverage C, and the log-likelihood of 2,500
new real points under a kernel density of 500 samples, in nats. `union` is the
share of modes that no local generator covers, Figure 2(d).

Every finished row is a line of FOLDER/results.jsonl: the same command goes on
where it was stopped. The last line is JSON: `modes_gan`, `modes_5s`,
`modes_10s`, `loglik_gan`, `loglik_5s`, `loglik_10s`, means over seeds and
both data sets, with messengers.
"""

import argparse
import json
import pathlib
import time

import numpy as np

from gan_jax.hugepages import restart_with_huge_pages

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


def missed_by_all(c, made, pairs, name):
  """The share of modes that none of the local generators covers."""
  import jax

  from gan_jax.data import toy as data
  from gan_jax.metrics import toy

  count = len(jax.tree.leaves(pairs.g.params)[0])
  variables = [
    jax.tree.map(lambda x, n=n: x[n], pairs.g.variables) for n in range(count)
  ]
  fake = [samples(c, made, v, SAMPLES // count) for v in variables]
  centres = data.modes(name)
  found = toy.modes_covered(np.concatenate(fake), centres, data.deviation(name))
  return 1 - found / len(centres)


def row(name, method, settings):
  """One row of the table: the figures of every seed."""
  import jax

  pairs, messengers = METHODS[method]
  c, made = build(name, pairs, messengers, settings)
  states, seconds = trained(c, made, settings['seeds'], settings['steps'])
  figures = {measure_name: [] for measure_name in (*MEASURES, 'missed_by_all')}
  for seed in range(settings['seeds']):
    state = jax.tree.map(lambda x, seed=seed: x[seed], states)
    fake = samples(c, made, state.pair.g.variables, SAMPLES)
    for key, value in measure(name, fake).items():
      figures[key].append(value)
    if pairs:
      missed = missed_by_all(c, made, state.local_pairs, name)
      figures['missed_by_all'].append(missed)
  return figures | {'ms_a_step': 1e3 * seconds}


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


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--out', default='runs/sgan_toy')
  parser.add_argument('--loss', default='gan')
  parser.add_argument('--steps', type=int, default=2000)
  args = parser.parse_args()
  settings = dict(
    loss=args.loss, lr=2e-4, width=128, batch=64, steps=args.steps, seeds=5
  )
  methods = list(METHODS)
  if args.quick:
    settings |= dict(width=16, batch=16, steps=2 * CHUNK, seeds=2)
    methods = ['GAN', '5-S-GAN', '10-S-GAN']
  done = {}
  file = pathlib.Path(args.out) / 'results.jsonl'
  if file.exists() and not args.quick:
    for line in map(json.loads, file.read_text().splitlines()):
      if line['settings'] == settings:
        done[line['data'], line['method']] = line['figures']
  rows = {}
  for name in DATA[: 1 if args.quick else None]:
    for method in methods:
      if (name, method) not in done:
        start = time.perf_counter()
        done[name, method] = row(name, method, settings)
        print(
          f'{name} {method}: {time.perf_counter() - start:.0f} s', flush=True
        )
        if not args.quick:
          file.parent.mkdir(parents=True, exist_ok=True)
          line = dict(
            data=name,
            method=method,
            settings=settings,
            figures=done[name, method],
          )
          with file.open('a') as out:
            out.write(json.dumps(line) + '\n')
      rows[name, method] = done[name, method]
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
