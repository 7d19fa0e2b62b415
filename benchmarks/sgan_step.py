"""A step of SGAN: ours against an ordinary loop over the pairs in PyTorch.

  python benchmarks/sgan_step.py [--quick] [--pairs=5]

5-S-DCGAN-32 of CIFAR-10, width 64, batch 64, Algorithm 1 to the letter (clones
that forget), every pair with minibatches and noise of its own, Adam (0.5,
0.999), float32, all cores. PyTorch's side is what one would write: a loop that
trains each pair, clones its discriminator and that one's optimiser, lets the
clone learn from G_0, and adds up the gradients of G_0 and of D_0. Steps are
interleaved, times are medians. --quick: 2 pairs, one round.

The last line is JSON: `sgan5_step_vs_torch` (images/s, ours over theirs),
`sgan5_memory_vs_torch` (peak of a process beyond its imports; with `warm_`
before it where ours was compiled before), and `sgan5_cost` (our step over that
of a single pair), 5 the number of pairs.
"""

import argparse
import json
import os

import _torch_dcgan
from _measure import (
  added_memory,
  against_torch,
  device,
  interleaved,
  our_step,
  print_added_memory,
)

from gan_jax.run.memory import restart_with_huge_pages

SIDE, BATCH, WIDTH = 32, 64, 64


def ours(pairs):
  """A function that takes one step and waits for it."""
  import jax
  import jax.numpy as jnp

  from gan_jax import config as config_lib

  c = config_lib.load(f'configs/sgan_cifar.py:n={pairs},paper')
  draws = 3 * pairs or 1  # a pair, its messenger, D_0
  image = jax.random.normal(jax.random.key(1), (draws, BATCH, SIDE, SIDE, 3))
  return our_step(c, SIDE, BATCH, jnp.clip(image, -1, 1))[0]


def torchs(pairs):
  """The same in plain PyTorch; None where it is not installed."""
  try:
    import torch
  except ImportError:
    return None
  torch.set_num_threads(os.cpu_count())
  adam = dict(lr=1e-5, betas=(0.5, 0.999))
  new = lambda: _torch_dcgan.Pair(*_torch_dcgan.networks(SIDE, WIDTH), adam)
  whole, local = new(), [new() for _ in range(pairs)]
  reals = torch.randn(3 * pairs, BATCH, 3, SIDE, SIDE).clamp(-1, 1)
  latents = lambda: torch.randn(BATCH, _torch_dcgan.LATENT, 1, 1)

  def made(g):
    with torch.no_grad():
      return g(latents())

  def step():
    for pair, real in zip(local, reals[:pairs], strict=True):
      pair.learn_d(real, made(pair.g))
      pair.learn_g(latents())
    messengers = [pair.messenger() for pair in local]
    for one, real in zip(messengers, reals[pairs : 2 * pairs], strict=True):
      one.learn_d(real, made(whole.g))
    whole.rule_g.zero_grad()
    for one in messengers:
      loss = _torch_dcgan.g_loss(one.d, whole.g(latents()))
      (loss / pairs).backward()
    whole.rule_g.step()
    whole.rule_d.zero_grad()
    for pair, real in zip(local, reals[2 * pairs :], strict=True):
      loss = _torch_dcgan.d_loss(whole.d, real, made(pair.g))
      (loss / pairs).backward()
    whole.rule_d.step()

  return step


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--pairs', type=int, default=5)
  parser.add_argument('--memory', choices=['ours', 'torch'])
  args = parser.parse_args()
  if args.memory:
    make = ours if args.memory == 'ours' else torchs
    print_added_memory(args.memory, lambda: make(args.pairs))
    return
  pairs = 2 if args.quick else args.pairs
  print(f'{device()}; load average {os.getloadavg()}')
  mine, theirs, figures = ours(pairs), torchs(pairs), {}
  print(f'{pairs}-S-DCGAN-{SIDE}, batch {BATCH}: ', end='')
  rounds = 1 if args.quick else 5
  ratio = against_torch(mine, theirs, BATCH, rounds, 1)
  if ratio:
    figures[f'sgan{pairs}_step_vs_torch'] = ratio
  if not args.quick:
    many, one = interleaved([mine, ours(0)], rounds, 1)
    figures[f'sgan{pairs}_cost'] = many / one
  if ratio and not args.quick:
    name = f'sgan{pairs}_memory_vs_torch'
    figures |= added_memory(__file__, [f'--pairs={pairs}'], name)
  print(f'load average {os.getloadavg()}')
  print(json.dumps({k: round(v, 3) for k, v in figures.items()}))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does; for all sides
  main()
