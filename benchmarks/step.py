"""Whole training steps: ours against the same networks in plain PyTorch.

  python benchmarks/step.py [--quick]

Needs PyTorch's CPU build beside gan_jax (`pip install torch`); without it only
our own figures are printed. Each pair is interleaved in one run; times are
medians. Both sides run DCGAN in two stages with fresh fakes, batch norm in
both networks, Adam (0.5, 0.999), no average, float32, on all cores.

The last line is JSON: `step_vs_torch` and `step32_vs_torch` (images/s, ours
over theirs, DCGAN-64 and DCGAN-32), `memory_vs_torch` (peak of a process
beyond its imports, DCGAN-64; `warm_memory_vs_torch` where ours was compiled
before), `ensemble5_cost` (time of a vmapped step of five
DCGAN-32 pairs over that of one), `compile_s` and `warm_compile_s` (DCGAN-64).
"""

import argparse
import json
import os
import tempfile

import _torch_dcgan
from _measure import (
  added_memory,
  against_torch,
  interleaved,
  our_step,
  print_added_memory,
)

from gan_jax.run.memory import restart_with_huge_pages

WIDTH = {64: 128, 32: 64}  # OSGAN's networks and SGAN's
BATCH = {64: 16, 32: 64}


def ours(size, cache=None):
  """A function that takes one step and waits for it; and (compile seconds)."""
  import jax
  import jax.numpy as jnp

  from gan_jax import config as config_lib

  if cache:
    jax.config.update('jax_compilation_cache_dir', cache)
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  c = config_lib.defaults()
  net = dict(name='dcgan', width=WIDTH[size], norm='batch', bias=True)
  c.generator, c.discriminator = net, net
  c.ema.name = 'none'
  c.train.batch = BATCH[size]
  image = jax.random.normal(jax.random.key(1), (1, BATCH[size], size, size, 3))
  return our_step(c, size, BATCH[size], jnp.clip(image, -1, 1))


def members(count, size=32):
  """One vmapped step of `count` independent pairs, as an ensemble takes it."""
  import jax
  import jax.numpy as jnp

  from gan_jax import compiler, optimizer
  from gan_jax import config as config_lib
  from gan_jax import experiment as experiment_lib
  from gan_jax.data.pipeline import Batch
  from gan_jax.mesh import one_device
  from gan_jax.schemes import two_stage
  from gan_jax.state import START

  c = config_lib.defaults()
  net = dict(name='dcgan', width=WIDTH[size], norm='batch', bias=True)
  c.generator, c.discriminator = net, net
  made = experiment_lib.build(c, (size, size, 3), 0)
  one = two_stage.make_step(made.objective, optimizer.build(c), c.scheme)
  keys = jax.random.split(jax.random.key(0), count)
  quick = compiler.for_once(one_device())
  pairs = [jax.jit(lambda k: made.init(k).pair, compiler_options=quick)]
  pairs = [pairs[0](key) for key in keys]
  stacked = [jax.tree.map(lambda *x: jnp.stack(x), *pairs)]
  n = BATCH[size]
  image = jax.random.normal(jax.random.key(1), (count, 1, n, size, size, 3))
  batch = Batch(image, jnp.zeros((count, 1, n), jnp.int32))
  compiled = (
    jax.jit(
      jax.vmap(lambda pair, batch, key: one(pair, batch, START, key, {})),
      donate_argnums=0,
      compiler_options=compiler.for_steps(one_device()),
    )
    .lower(stacked[0], batch, keys)
    .compile()
  )

  def step():
    stacked[0], metrics = compiled(stacked[0], batch, keys)
    jax.block_until_ready(metrics)

  return step


def torchs(size):
  """The same step in plain PyTorch; None where it is not installed."""
  try:
    import torch
  except ImportError:
    return None
  torch.set_num_threads(os.cpu_count())
  n = BATCH[size]
  networks = _torch_dcgan.networks(size, WIDTH[size])
  pair = _torch_dcgan.Pair(*networks, dict(lr=2e-4, betas=(0.5, 0.999)))
  real = torch.randn(n, 3, size, size).clamp(-1, 1)
  latents = lambda: torch.randn(n, _torch_dcgan.LATENT, 1, 1)

  def step():
    with torch.no_grad():
      fake = pair.g(latents())
    pair.learn_d(real, fake)
    pair.learn_g(latents())

  return step


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--memory', choices=['ours', 'torch'])
  args = parser.parse_args()
  if args.memory:
    mine = lambda: ours(64, tempfile.mkdtemp())[0]
    make = mine if args.memory == 'ours' else lambda: torchs(64)
    print_added_memory(args.memory, make)
    return
  rounds, inner = (3, 1) if args.quick else (7, 3)
  print(f'load average {os.getloadavg()}, {os.cpu_count()} cores')
  figures = {}
  cache = tempfile.mkdtemp()
  sizes = (64,) if args.quick else (64, 32)
  for size in sizes:
    mine, seconds = ours(size, cache)
    if size == 64:
      figures['compile_s'] = seconds
      figures['warm_compile_s'] = ours(size, cache)[1]
    theirs = torchs(size)
    print(f'DCGAN-{size} width {WIDTH[size]} batch {BATCH[size]}: ', end='')
    ratio = against_torch(mine, theirs, BATCH[size], rounds, inner)
    if ratio:
      figures['step_vs_torch' if size == 64 else 'step32_vs_torch'] = ratio
  if not args.quick:
    if torchs(64):
      figures |= added_memory(__file__, [])
    one, five = interleaved([members(1), members(5)], rounds, 1)
    print(f'DCGAN-32: one pair {1e3 * one:.0f} ms, five {1e3 * five:.0f} ms')
    figures['ensemble5_cost'] = five / one
  print(f'load average {os.getloadavg()}')
  print(json.dumps({k: round(v, 3) for k, v in figures.items()}))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does; for all sides
  main()
