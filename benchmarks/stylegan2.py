"""StyleGAN2's training step: ours against the same networks in plain PyTorch.

  python benchmarks/stylegan2.py [--quick] [--lazy] [--batches=2,4] [--side=256]

Needs PyTorch beside gan_jax; without it only our own figures are printed. Both
run paper256 (configs/stylegan2_folder.py:preset=paper256) in float32: D learns
from a batch and fresh fakes, then G from others; styles are mixed, noise is
random, numbers are limited to 256, G is averaged. R1 and path length are left
out: with --lazy they are counted as often as they come, 1 and 4 times in 16
steps, which is the least number that is then timed. PyTorch's side is written
here from the paper and spec/glead.md, with the modulation in front of and
behind a convolution that the batch has in common, as ours. Sides are
interleaved in one run; times are medians. --quick has one round, and is mostly
compilation.

The last line is JSON: for the smallest batch `step_vs_torch` (images/s, ours
over theirs) and `memory_vs_torch` (peak beyond the imports), for others the
same with `_N` behind.
"""

import argparse
import json
import math
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
LATENT, BASE, DEPTH = 512, 16384, 8
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


def blocks():
  """PyTorch's layers, by the names that the networks below use."""
  import torch
  from torch import nn

  functional = nn.functional
  taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
  fir = torch.outer(taps, taps) / 64

  def smooth(x, padding, stride=1, gain=1.0):
    """The filter on each channel."""
    weight = (gain * fir).expand(x.shape[1], 1, 4, 4)
    return functional.conv2d(
      x, weight, None, stride, padding, groups=x.shape[1]
    )

  def double(x):
    weight = (4 * fir).expand(x.shape[1], 1, 4, 4)
    return functional.conv_transpose2d(x, weight, None, 2, 1, groups=x.shape[1])

  def active(x, gain=1.0, limit=256.0):
    x = functional.leaky_relu(x, 0.2) * (2**0.5 * gain)
    return x.clamp(-limit * gain, limit * gain)

  class Dense(nn.Module):
    """With an equalised learning rate."""

    def __init__(self, before, after, start=0.0, slow=1.0):
      super().__init__()
      self.weight = nn.Parameter(torch.randn(after, before) / slow)
      self.bias = nn.Parameter(torch.full((after,), start))
      self.scale, self.slow = slow / before**0.5, slow

    def forward(self, x):
      return functional.linear(
        x, self.weight * self.scale, self.bias * self.slow
      )

  class Conv(nn.Module):
    """With an equalised learning rate; `down` halves."""

    def __init__(self, before, after, kernel, down=False, bias=True):
      super().__init__()
      size = (after, before, kernel, kernel)
      self.weight = nn.Parameter(torch.randn(size))
      self.bias = nn.Parameter(torch.zeros(after)) if bias else None
      self.scale, self.kernel = 1 / (before * kernel**2) ** 0.5, kernel
      self.down = down

    def forward(self, x):
      stride, padding = 1, self.kernel // 2
      if self.down and self.kernel == 1:
        x = smooth(x, 1, 2)
      elif self.down:
        x, stride, padding = smooth(x, 2), 2, 0
      weight = self.weight * self.scale
      return functional.conv2d(x, weight, self.bias, stride, padding)

  class Styled(nn.Module):
    """A layer of the synthesis network."""

    def __init__(self, before, after, up=False):
      super().__init__()
      self.style = Dense(LATENT, before, 1.0)
      self.weight = nn.Parameter(torch.randn(after, before, 3, 3))
      self.bias = nn.Parameter(torch.zeros(after))
      self.strength = nn.Parameter(torch.zeros(()))
      self.up = up

    def forward(self, x, w):
      style = self.style(w)
      x = x * style[:, :, None, None]
      if self.up:
        x = functional.conv_transpose2d(x, self.weight.transpose(0, 1), None, 2)
        x = smooth(x, 1, gain=4.0)
      else:
        x = functional.conv2d(x, self.weight, None, 1, 1)
      square = style**2 @ self.weight.square().sum((2, 3)).t()
      x = x * torch.rsqrt(square + 1e-8)[:, :, None, None]
      x = x + self.strength * torch.randn(len(x), 1, *x.shape[2:])
      return active(x + self.bias[:, None, None])

  class ToRGB(nn.Module):
    """A map to a picture."""

    def __init__(self, before):
      super().__init__()
      self.style = Dense(LATENT, before, 1.0)
      self.weight = nn.Parameter(torch.randn(3, before, 1, 1))
      self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x, w):
      style = self.style(w) / x.shape[1] ** 0.5
      x = functional.conv2d(x * style[:, :, None, None], self.weight, self.bias)
      return x.clamp(-256.0, 256.0)

  return Dense, Conv, Styled, ToRGB, double, active


def networks(side, most):
  """PyTorch's G and D."""
  import torch
  from torch import nn

  Dense, Conv, Styled, ToRGB, double, active = blocks()  # noqa: N806
  width = lambda k: min(BASE // k, most)
  sides = [2**k for k in range(3, int(math.log2(side)) + 1)]

  class Generator(nn.Module):
    def __init__(self):
      super().__init__()
      dense = lambda: Dense(LATENT, LATENT, slow=0.01)
      self.mapping = nn.ModuleList([dense() for _ in range(DEPTH)])
      self.const = nn.Parameter(torch.randn(width(4), 4, 4))
      layers = [Styled(width(4), width(4))]
      for k in sides:
        layers.append(Styled(width(k // 2), width(k), up=True))
        layers.append(Styled(width(k), width(k)))
      self.layers = nn.ModuleList(layers)
      self.rgb = nn.ModuleList([ToRGB(width(k)) for k in (4, *sides)])
      self.register_buffer('mean', torch.zeros(LATENT))

    def map(self, z):
      z = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
      for layer in self.mapping:
        z = active(layer(z), limit=math.inf)
      return z

    def styles(self, z):
      w, other = self.map(z), self.map(torch.randn_like(z))
      with torch.no_grad():
        self.mean.lerp_(w.mean(0), 1 - 0.995)
      count = len(self.layers) + 1
      first = torch.randint(1, count, (len(z), 1))
      mixed = torch.rand(len(z), 1) < 0.9
      second = mixed & (torch.arange(count) >= first)
      return torch.where(second[:, :, None], other[:, None], w[:, None])

    def synthesise(self, w):
      x = self.layers[0](self.const.expand(len(w), -1, -1, -1), w[:, 0])
      picture = self.rgb[0](x, w[:, 1])
      for k in range(len(sides)):
        for i in (2 * k + 1, 2 * k + 2):
          x = self.layers[i](x, w[:, i])
        picture = double(picture) + self.rgb[k + 1](x, w[:, 2 * k + 3])
      return picture

    def forward(self, z):
      return self.synthesise(self.styles(z))

  class Discriminator(nn.Module):
    def __init__(self):
      super().__init__()
      self.first = Conv(3, width(side), 1)
      self.halves = nn.ModuleList()
      for k in reversed(sides):
        a, b = width(k), width(k // 2)
        parts = [Conv(a, a, 3), Conv(a, b, 3, True), Conv(a, b, 1, True, False)]
        self.halves.append(nn.ModuleList(parts))
      self.last = Conv(width(4) + 1, width(4), 3)
      self.dense = Dense(16 * width(4), width(4))
      self.score = Dense(width(4), 1)

    def forward(self, x):
      x = active(self.first(x))
      for one, two, skip in self.halves:
        beside = skip(x) * 0.5**0.5
        x = active(two(active(one(x))), 0.5**0.5) + beside
      group = min(8, len(x))
      parts = x.reshape(-1, group, *x.shape[1:])
      spread = (parts.var(1, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
      spread = spread.repeat_interleave(group)[:, None, None, None]
      x = torch.cat([x, spread.expand(-1, 1, 4, 4)], 1)
      x = active(self.last(x)).flatten(1)
      return self.score(active(self.dense(x), limit=math.inf))[:, 0]

  return Generator(), Discriminator()


def torchs(args, batch):
  """The same step in plain PyTorch; None where it is not installed."""
  try:
    import torch
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
  parser.add_argument('--side', type=int, default=256)
  parser.add_argument('--width', type=int, default=512)
  parser.add_argument('--memory', choices=['ours', 'torch'])
  args = parser.parse_args()
  batches = [int(batch) for batch in args.batches.split(',')]
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
    argv = [f'--side={args.side}', f'--width={args.width}']
    argv += [f'--batches={batch}'] + ['--lazy'] * args.lazy
    own, other = added_memory(__file__, argv)
    figures[f'memory_vs_torch{behind}'] = own / other
  print(f'load average {os.getloadavg()}')
  print(json.dumps({k: round(v, 3) for k, v in figures.items()}))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does
  main()
