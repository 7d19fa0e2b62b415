"""The cost of SGAN's step by the number of local pairs.

  python benchmarks/ensemble.py [--quick]

One device: a step of N pairs of DCGAN-32 with messengers, N = 1, 2, 4, 8, and
of a single pair without ensemble, width 64 (--quick: N = 1, 2, width 16);
medians of interleaved rounds. Eight fake devices, the axis `pair` as long as N:
the same at width 16 (--quick: N = 2, width 8), and the collectives of the
compiled step of 8 pairs, one a device. Fake devices share the machine's cores,
so their times say nothing of real ones.

The last line is JSON: `step_1`, ... `step_8` and `step_single` in
milliseconds, `member_8_vs_1` (time of a pair at N = 8 over that at N = 1),
and `fake_devices_step_1`, ... as the first.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from gan_jax.run.memory import restart_with_huge_pages

COUNTS = (1, 2, 4, 8)


def config_of(pairs, width):
  """SGAN's CIFAR config."""
  from gan_jax import config as config_lib

  c = config_lib.load(f'configs/sgan_cifar.py:n={pairs}').unlock()
  c.generator.width = c.discriminator.width = width
  return c.lock()


def compiled(pairs, width, batch, mesh):
  """The step of a mesh, and its first state and batch."""
  import jax
  import jax.numpy as jnp
  import numpy as np

  from gan_jax import experiment as experiment_lib
  from gan_jax.data.pipeline import Batch
  from gan_jax.mesh import by_sample

  made = experiment_lib.build(config_of(pairs, width), (32, 32, 3), 0)
  state = experiment_lib.initial_state(made, 0, mesh)
  (span,), (stage,), _ = made.growth
  shape = (stage.draws, batch, 32, 32, 3)
  image = jax.random.normal(jax.random.key(1), shape)
  data = Batch(jnp.clip(image, -1, 1), jnp.zeros(image.shape[:2], jnp.int32))
  data = jax.device_put(data, by_sample(mesh))
  step = experiment_lib.compile_step(made, stage, lambda _, raw: raw, mesh)
  rest = {}, (), data, jax.tree.map(np.int32, span)
  return step.lower(state, *rest).compile(), state, rest


def times(steps, rounds):
  """Median milliseconds of a step, for each of `compiled` by N."""
  import jax

  states = {n: state for n, (_, state, _) in steps.items()}
  seconds = {n: [] for n in steps}
  for turn in range(rounds + 1):  # the first one is not counted
    for n, (step, _, rest) in steps.items():
      start = time.perf_counter()
      states[n], metrics = step(states[n], *rest)
      jax.block_until_ready(metrics)
      if turn:
        seconds[n].append(time.perf_counter() - start)
  return {n: 1e3 * statistics.median(s) for n, s in seconds.items()}


def on_fake_devices(counts, width, batch):
  """Prints times and collectives; the last line is the times as JSON."""
  import jax

  from gan_jax.mesh import make_mesh
  from gan_jax.plan import hlo

  steps = {}
  for n in counts:
    section = config_of(n, width).mesh.unlock()
    section.update(data=1, pair=n)
    steps[n] = compiled(n, width, batch, make_mesh(section, n))
  medians = times(steps, 3)
  print(f'Eight fake devices, DCGAN-32, width {width}, batch {batch}')
  for n, ms in medians.items():
    print(f'  {n} local pair(s), one a device {ms:8.0f} ms')
  step, state, _ = steps[counts[-1]]
  for kind, total in hlo.collectives(step.as_text()).items():
    print(f'  {kind}: {total.count}, {total.bytes / 4:,.0f} numbers')
  count = sum(
    x.size for x in jax.tree.leaves((state.pair.g.params, state.pair.d.params))
  )
  print(f'  (G_0 and D_0 have {count:,} parameters)')
  print(json.dumps(medians))


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--on-fake-devices', action='store_true')
  args = parser.parse_args()
  counts = COUNTS[:2] if args.quick else COUNTS
  if args.on_fake_devices:
    if args.quick:
      on_fake_devices(counts[-1:], width=8, batch=8)
    else:
      on_fake_devices(counts, width=16, batch=16)
    return
  from gan_jax.mesh import one_device

  print(f'load average {os.getloadavg()}, {os.cpu_count()} cores')
  width, batch, rounds = (16, 16, 5) if args.quick else (64, 64, 12)
  steps = {n: compiled(n, width, batch, one_device()) for n in (0, *counts)}
  medians = times(steps, rounds)
  print(f'DCGAN-32, width {width}, batch {batch}, one device')
  print(f'  a single pair      {medians[0]:8.0f} ms')
  for n in counts:
    print(
      f'  {n} local pair(s)    {medians[n]:8.0f} ms, {medians[n] / n:.0f} ms a'
      f' pair, {medians[n] / medians[0]:.1f} times the single pair'
    )
  eight = '--xla_force_host_platform_device_count=8'
  done = subprocess.run(
    [sys.executable, __file__, '--on-fake-devices', *sys.argv[1:]],
    env=os.environ | {'XLA_FLAGS': eight, 'JAX_PLATFORMS': 'cpu'},
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  *lines, fake = done.stdout.splitlines()
  print('\n'.join(lines))
  print(f'load average {os.getloadavg()}')
  figures = {f'step_{n or "single"}': round(t, 1) for n, t in medians.items()}
  most = counts[-1]
  figures[f'member_{most}_vs_1'] = round(medians[most] / most / medians[1], 3)
  for n, t in json.loads(fake).items():
    figures[f'fake_devices_step_{n}'] = round(t, 1)
  print(json.dumps(figures))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does
  main()
