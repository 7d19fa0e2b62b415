"""A one-stage step against a two-stage step of the same DCGAN-64.

  python benchmarks/one_stage.py [--quick] [--batch=64]

OSGAN's networks (width 128, group norm in D), non-saturating loss, Adam,
float32, on all cores, no average of G. The steps of the schemes are
interleaved; times are medians of seven. Small batches show less of a
difference: Adam's share is the same in all schemes. FLOPs are the compiler's
count of each compiled step: on a CPU gan_jax computes convolutions in other
forms than XLA, so their ratio, not their number, is what compares. Shen et al.
2021, eq. 17, bound the speed-up from below by 4/3 in an operation count, and
measured 1.5.

Then the passes that the schemes are made of are timed by themselves, in turns:
what the difference between two stages and one can be, were each step the sum of
its passes and of two updates, is `by_passes`.

The last line is JSON: `speedup` (images/s, one stage over two), `flops_ratio`
(two stages over one), `simultaneous` (images/s over two stages), `by_passes`.
"""

import argparse
import functools
import json
import os
import statistics
import time

from gan_jax.run.memory import restart_with_huge_pages

SIDE = 64
SCHEMES = ('one_stage', 'two_stage', 'simultaneous')
# What a step passes through: each forward, and back to what its name says.
PASSES = {
  'one_stage': ('g_params', 'd_params', 'd_both', 'updates'),
  'two_stage': ('g', 'd_params', 'd_params', 'g_params', 'd_made', 'updates'),
}


def build(scheme, batch, width):
  """The experiment of a scheme."""
  from gan_jax import config as config_lib
  from gan_jax import experiment as experiment_lib

  c = config_lib.defaults()
  net = dict(name='dcgan', width=width, spectral=False, bias=True)
  c.generator = dict(net, norm='batch')
  c.discriminator = dict(net, norm='group')
  c.scheme.name = scheme
  c.ema.name = 'none'
  c.train.batch = batch
  return experiment_lib.build(c, (SIDE, SIDE, 3), 0)


def make_step(scheme, batch, width):
  """A function that takes one step and waits for it, and the step's FLOPs."""
  import jax
  import jax.numpy as jnp

  from gan_jax import compiler
  from gan_jax import experiment as experiment_lib
  from gan_jax.data.pipeline import Batch
  from gan_jax.mesh import one_device

  made = build(scheme, batch, width)
  state = [experiment_lib.initial_state(made, 0, one_device())]
  image = jax.random.normal(jax.random.key(1), (1, batch, SIDE, SIDE, 3))
  image = jnp.clip(image, -1, 1)
  data = Batch(image, jnp.zeros((1, batch), jnp.int32))
  (span,), (stage,), _ = made.growth
  one = made.make_step(stage)
  jitted = jax.jit(
    lambda state, batch: one(state, {}, batch, span),
    donate_argnums=0,
    compiler_options=compiler.for_steps(one_device()),
  )
  compiled = jitted.lower(state[0], data).compile()

  def step():
    state[0], metrics = compiled(state[0], data)
    jax.block_until_ready(metrics)

  return step, compiled.cost_analysis()['flops']


def make_passes(batch, width):
  """By the names of PASSES: a function that makes one and waits for it.

  A gradient is of the sum of what a network gives, so that the backward part
  costs what it costs in a step and a loss costs nothing.
  """
  import jax
  import jax.numpy as jnp
  import optax

  from gan_jax import compiler
  from gan_jax import experiment as experiment_lib
  from gan_jax.mesh import one_device

  made = build('one_stage', batch, width)
  game = made.objective
  pair = experiment_lib.initial_state(made, 0, one_device()).pair
  z = game.latents(jax.random.key(1), batch)
  image = jax.random.uniform(jax.random.key(2), (batch, SIDE, SIDE, 3))
  labels = jnp.zeros((batch,), jnp.int32)

  def applied(network, player, params, x):
    variables = {'params': params, **player.stats}
    keys, mutable = {'noise': jax.random.key(3)}, list(player.stats)
    return network.apply(
      variables, x, labels, train=True, mutable=mutable, rngs=keys
    )[0]

  g = lambda params, z: applied(game.generator, pair.g, params, z)
  d = lambda params, x: applied(game.discriminator, pair.d, params, x).logits
  total = lambda network: lambda params, x: network(params, x).sum()
  adam, both = optax.adam(2e-4, 0.5), (pair.g.params, pair.d.params)

  def updates(gradient, state):
    change, state = adam.update(gradient, state)
    return optax.apply_updates(both, change), state

  calls = {
    'g': (g, pair.g.params, z),
    'g_params': (jax.grad(total(g)), pair.g.params, z),
    'd_params': (jax.grad(total(d)), pair.d.params, image),
    'd_made': (jax.grad(total(d), 1), pair.d.params, image),
    'd_both': (jax.grad(total(d), (0, 1)), pair.d.params, image),
    'updates': (updates, both, adam.init(both)),
  }
  options = compiler.for_steps(one_device())
  steps = {}
  for name, (function, *given) in calls.items():
    jitted = jax.jit(function, compiler_options=options)
    run = functools.partial(jitted.lower(*given).compile(), *given)
    steps[name] = lambda run=run: jax.block_until_ready(run())
  return steps


def medians(steps, rounds):
  """Median seconds of a call of each, in turns."""
  times = {name: [] for name in steps}
  for step in steps.values():
    step()
  for _ in range(rounds):
    for name, step in steps.items():
      start = time.perf_counter()
      step()
      times[name].append(time.perf_counter() - start)
  return {name: statistics.median(taken) for name, taken in times.items()}


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--batch', type=int, default=64)
  args = parser.parse_args()
  batch, width, rounds = (8, 64, 3) if args.quick else (args.batch, 128, 7)
  print(f'load before: {os.getloadavg()[0]:.2f}, cores: {os.cpu_count()}')
  steps, flops = {}, {}
  for scheme in SCHEMES:
    steps[scheme], flops[scheme] = make_step(scheme, batch, width)
  seconds = medians(steps, rounds)
  for scheme in SCHEMES:
    print(
      f'{scheme:13} {1e3 * seconds[scheme]:7.0f} ms '
      f' {batch / seconds[scheme]:6.1f} images/s'
      f'  {flops[scheme] / 1e9:7.1f} GFLOP'
    )
  two = seconds['two_stage']
  line = {
    'speedup': two / seconds['one_stage'],
    'flops_ratio': flops['two_stage'] / flops['one_stage'],
    'simultaneous': two / seconds['simultaneous'],
  }
  del steps
  alone = medians(make_passes(batch, width), rounds)
  print(', '.join(f'{name} {1e3 * s:.0f} ms' for name, s in alone.items()))
  sums = {k: sum(alone[name] for name in PASSES[k]) for k in PASSES}
  print(', '.join(f'{name}: {1e3 * s:.0f} ms' for name, s in sums.items()))
  line['by_passes'] = sums['two_stage'] / sums['one_stage']
  print(json.dumps({name: round(x, 3) for name, x in line.items()}))


if __name__ == '__main__':
  restart_with_huge_pages()
  main()
