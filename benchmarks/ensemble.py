"""The cost of SGAN's step by the number of local pairs.

  python benchmarks/ensemble.py [--quick]

One device: a step of N pairs of DCGAN-32 with messengers, N = 1, 2, 4, 8, and
of a single pair without ensemble, width 64 (--quick: N = 1, 2, width 16);
medians of interleaved rounds. Eight fake devices (MLPs; they share the
machine's cores, so their times say nothing of real ones): the collectives of
the compiled step of 8 pairs, one a device.

The last line is JSON: `step_1`, ... `step_8` and `step_single` in
milliseconds, `member_8_vs_1` (time of a pair at N = 8 over that at N = 1).
"""

import argparse
import functools
import json
import operator
import os
import re
import statistics
import subprocess
import sys
import time

from gan_jax.memory import restart_with_huge_pages

COUNTS = (1, 2, 4, 8)


def config_of(pairs, width=None):
  """SGAN's CIFAR config, or its toy config if no width is given."""
  from gan_jax import config as config_lib

  name = 'cifar' if width else 'toy'
  c = config_lib.load(f'configs/sgan_{name}.py:n={pairs}').unlock()
  if width:
    c.generator.width = c.discriminator.width = width
  return c.lock()


def stepper(pairs, width, batch):
  """A function that takes one step on one device and waits for it."""
  import jax
  import jax.numpy as jnp

  from gan_jax import experiment as experiment_lib
  from gan_jax.data.pipeline import Batch
  from gan_jax.mesh import one_device

  made = experiment_lib.build(config_of(pairs, width), (32, 32, 3), 0)
  state = [experiment_lib.initial_state(made, 0, one_device())]
  image = jax.random.normal(jax.random.key(1), (made.draws, batch, 32, 32, 3))
  data = Batch(jnp.clip(image, -1, 1), jnp.zeros(image.shape[:2], jnp.int32))
  step = jax.jit(made.step, donate_argnums=0).lower(state[0], data).compile()

  def run():
    state[0], metrics = step(state[0], data)
    jax.block_until_ready(metrics)

  return run


def times(counts, width, batch, rounds):
  """Median milliseconds of a step for each N, 0 for no ensemble."""
  steps = {n: stepper(n, width, batch) for n in (0, *counts)}
  seconds = {n: [] for n in steps}
  for run in steps.values():
    run()
  for _ in range(rounds):
    for n, run in steps.items():
      start = time.perf_counter()
      run()
      seconds[n].append(time.perf_counter() - start)
  return {n: 1e3 * statistics.median(s) for n, s in seconds.items()}


def print_collectives():
  """What the compiled step of 8 pairs on 8 devices exchanges."""
  import jax

  from gan_jax import experiment as experiment_lib
  from gan_jax.data import open_source
  from gan_jax.mesh import make_mesh
  from gan_jax.restore import like
  from gan_jax.schemes import ensemble

  c = config_of(8)
  mesh = make_mesh(c.mesh, ensemble.parts(c.ensemble))
  source = open_source(c.data)
  made = experiment_lib.build(c, source.shape, len(source.classes))
  feed = experiment_lib.make_feed(c, made, source, mesh)
  step = experiment_lib.compile_step(made, feed.decode, mesh)
  state, raw = like(made, mesh), next(feed.batches(0))
  text = step.lower(state, feed.table, raw).compile().as_text()
  print(f'mesh {dict(mesh.shape)}')
  found = re.findall(
    r'= (.*?) ((?:all|collective)-[a-z-]+?|reduce-scatter)(?:-start)?\(', text
  )
  for shape, name in found:
    arrays = re.findall(r'[a-z]\w*\[([\d,]*)\]', shape)
    sizes = [[int(d) for d in a.split(',') if d] for a in arrays]
    total = sum(functools.reduce(operator.mul, s, 1) for s in sizes)
    print(f'  {name}: {len(arrays)} arrays, {total:,} numbers')
  count = sum(
    x.size for x in jax.tree.leaves((state.pair.g.params, state.pair.d.params))
  )
  print(f'  (G_0 and D_0 have {count:,} parameters)')


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--collectives', action='store_true')
  args = parser.parse_args()
  if args.collectives:
    print_collectives()
    return
  print(f'load average {os.getloadavg()}, {os.cpu_count()} cores')
  width, batch, rounds = (16, 16, 5) if args.quick else (64, 64, 5)
  counts = COUNTS[:2] if args.quick else COUNTS
  medians = times(counts, width, batch, rounds)
  print(f'DCGAN-32, width {width}, batch {batch}, one device')
  print(f'  a single pair      {medians[0]:8.0f} ms')
  for n in counts:
    print(
      f'  {n} local pair(s)    {medians[n]:8.0f} ms, {medians[n] / n:.0f} ms a'
      f' pair, {medians[n] / medians[0]:.1f} times the single pair'
    )
  eight = '--xla_force_host_platform_device_count=8'
  done = subprocess.run(
    [sys.executable, __file__, '--collectives'],
    env=os.environ | {'XLA_FLAGS': eight, 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=True,
  )
  print(f'Eight fake devices, toy MLPs, 8 pairs:\n{done.stdout}', end='')
  print(f'load average {os.getloadavg()}')
  figures = {f'step_{n or "single"}': round(t, 1) for n, t in medians.items()}
  most = counts[-1]
  figures[f'member_{most}_vs_1'] = round(medians[most] / most / medians[1], 3)
  print(json.dumps(figures))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does
  main()
