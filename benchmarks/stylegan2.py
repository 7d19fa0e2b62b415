"""StyleGAN2's training step: ours against the same networks in plain PyTorch.

  python benchmarks/stylegan2.py [--quick] [--lazy] [--batches=2,4] [--side=256]

Needs PyTorch beside gan_jax; without it only our own figures are printed. Both
run paper256 (configs/stylegan2_folder.py:preset=paper256) in float32: D learns
from a batch and fresh fakes, then G from others; styles are mixed, noise is
random, numbers are limited to 256, G is averaged. R1 and path length are left
out: with --lazy they are counted as often as they come, 1 and 4 times in 16
steps, which is the least number that is then timed. PyTorch's networks are
_torch_stylegan2.py, written for this. Sides are interleaved in one run; times
are medians. --quick has pictures of 64 px, one round and no memory, and is
mostly compilation.

The last line is JSON: for the smallest batch `step_vs_torch` (images/s, ours
over theirs), `memory_vs_torch` (peak beyond the imports) and
`warm_memory_vs_torch` (where ours was compiled before), for others the same
with `_N` behind.
"""

import argparse
import json
import os
import pathlib

from _measure import (
  added_memory,
  against_torch,
  counts,
  device,
  our_step,
  print_added_memory,
)

from gan_jax.run.memory import restart_with_huge_pages

CONFIG = pathlib.Path(__file__).parent.parent / 'configs/stylegan2_folder.py'
R1, PATH = 16, 4  # steps between two of each
LAZY = dict(r1=(R1, 1.0), path=(PATH, 2.0))  # and their weights


def ours(args, batch):
  """A function that takes one step and waits for it."""
  import jax

  from gan_jax import config as config_lib

  changes = [('train.batch', f'{batch}')]
  if not args.lazy:
    names = ('r1', 'path_length')
    changes += [(f'penalties.{name}.weight', '0.0') for name in names]
  options = f'preset=paper256,resolution={args.side},width={args.width}'
  c = config_lib.load(f'{CONFIG}:{options}', changes)
  shape = (1, batch, args.side, args.side, 3)
  image = jax.random.uniform(jax.random.key(1), shape, minval=-1.0)
  return our_step(c, args.side, batch, image)[0]


def torchs(args, batch):
  """The same step in plain PyTorch; None where it is not installed."""
  try:
    import torch
    from _torch_stylegan2 import LATENT, networks
    from torch.nn import functional
  except ImportError:
    return None
  torch.set_num_threads(os.cpu_count())
  g, d = networks(args.side, args.width)
  average = [p.detach().clone() for p in g.parameters()]
  image = torch.rand(batch, 3, args.side, args.side) * 2 - 1
  keep = 0.5 ** (batch / 20_000)
  latents = lambda count=batch: torch.randn(count, LATENT)
  done, mean_length = [0], torch.zeros(())

  def rule(network, every):
    c = every / (every + 1) if args.lazy else 1.0
    return torch.optim.Adam(
      network.parameters(), 0.0025 * c, (0.0, 0.99**c), 1e-8
    )

  rules = {g: rule(g, PATH), d: rule(d, R1)}

  def learn(network, loss):
    rules[network].zero_grad()
    loss.backward()
    rules[network].step()

  def r1():
    real = image.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(d(real).sum(), real, create_graph=True)
    return slope.square().sum((1, 2, 3)).mean() / 2

  def path():
    w = g.styles(latents(max(batch // 2, 1)))
    made = g.synthesise(w)
    noise = torch.randn_like(made) / args.side
    (slope,) = torch.autograd.grad((made * noise).sum(), w, create_graph=True)
    lengths = slope.square().sum(2).mean(1).sqrt()
    mean = mean_length + 0.01 * (lengths.mean() - mean_length)
    mean_length.copy_(mean.detach())
    return (lengths - mean).square().mean()

  def lazy(network, name, term):
    every, weight = LAZY[name]
    if args.lazy and done[0] % every == 0:
      learn(network, weight * every * term())

  def step():
    with torch.no_grad():
      fake = g(latents())
    loss = functional.softplus(d(fake)).mean()
    learn(d, loss + functional.softplus(-d(image)).mean())
    lazy(d, 'r1', r1)
    d.requires_grad_(False)
    learn(g, functional.softplus(-d(g(latents()))).mean())
    lazy(g, 'path', path)
    d.requires_grad_(True)
    with torch.no_grad():
      for old, p in zip(average, g.parameters(), strict=True):
        old.lerp_(p, 1 - keep)
    done[0] += 1

  return step


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--lazy', action='store_true')
  parser.add_argument('--batches', default='2,4')
  parser.add_argument('--side', type=int)
  parser.add_argument('--width', type=int, default=512)
  parser.add_argument('--memory', choices=['ours', 'torch'])
  args = parser.parse_args()
  batches = [int(batch) for batch in args.batches.split(',')]
  batches = batches[:1] if args.quick else batches
  args.side = args.side or (64 if args.quick else 256)
  if args.memory:
    make = ours if args.memory == 'ours' else torchs
    print_added_memory(args.memory, lambda: make(args, batches[0]))
    return
  print(f'{device()}; load average {os.getloadavg()}')
  rounds, inner = counts(args.quick)
  inner = max(inner, R1) if args.lazy else inner
  figures = {}
  for k, batch in enumerate(batches):
    behind = f'_{batch}' if k else ''
    mine, theirs = ours(args, batch), torchs(args, batch)
    print(f'StyleGAN2 at {args.side} px, batch {batch}: ', end='')
    ratio = against_torch(mine, theirs, batch, rounds, inner)
    del mine, theirs
    if not ratio:
      continue
    figures[f'step_vs_torch{behind}'] = ratio
    if args.quick:
      continue
    argv = [f'--side={args.side}', f'--width={args.width}']
    argv += [f'--batches={batch}'] + ['--lazy'] * args.lazy
    figures |= added_memory(__file__, argv, f'memory_vs_torch{behind}')
  print(f'load average {os.getloadavg()}')
  print(json.dumps({k: round(v, 3) for k, v in figures.items()}))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does
  main()
