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

The last line is JSON: `speedup` (images/s, one stage over two), `flops_ratio`
(two stages over one) and `simultaneous` (images/s over two stages).
"""

import argparse
import json
import os
import statistics
import time

from gan_jax.run.memory import restart_with_huge_pages

SCHEMES = ('one_stage', 'two_stage', 'simultaneous')


def make_step(scheme, batch, width, size=64):
  """A function that takes one step and waits for it, and the step's FLOPs."""
  import jax
  import jax.numpy as jnp

  from gan_jax import compiler
  from gan_jax import config as config_lib
  from gan_jax import experiment as experiment_lib
  from gan_jax.data.pipeline import Batch
  from gan_jax.mesh import one_device

  c = config_lib.defaults()
  net = dict(name='dcgan', width=width, spectral=False, bias=True)
  c.generator = dict(net, norm='batch')
  c.discriminator = dict(net, norm='group')
  c.scheme.name = scheme
  c.ema.name = 'none'
  c.train.batch = batch
  made = experiment_lib.build(c, (size, size, 3), 0)
  state = [experiment_lib.initial_state(made, 0, one_device())]
  image = jax.random.normal(jax.random.key(1), (1, batch, size, size, 3))
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
    steps[scheme]()
  times = {scheme: [] for scheme in SCHEMES}
  for _ in range(rounds):
    for scheme, step in steps.items():
      start = time.perf_counter()
      step()
      times[scheme].append(time.perf_counter() - start)
  medians = {scheme: statistics.median(times[scheme]) for scheme in SCHEMES}
  for scheme, seconds in medians.items():
    print(
      f'{scheme:13} {1000 * seconds:7.0f} ms  {batch / seconds:6.1f} images/s'
      f'  {flops[scheme] / 1e9:7.1f} GFLOP'
    )
  two = medians['two_stage']
  line = {
    'speedup': two / medians['one_stage'],
    'flops_ratio': flops['two_stage'] / flops['one_stage'],
    'simultaneous': two / medians['simultaneous'],
  }
  print(json.dumps({name: round(x, 3) for name, x in line.items()}))


if __name__ == '__main__':
  restart_with_huge_pages()
  main()
