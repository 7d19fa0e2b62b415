"""FastGAN's training step: ours against the same networks in plain PyTorch.

  python benchmarks/fastgan.py [--quick] [--batches=4,8] [--side=256]

Needs PyTorch beside gan_jax; without it only our own figures are printed. Both
run configs/fastgan_folder.py at full width, as released: one pass of G a step,
whose fakes, augmented by colour and translation, D learns from and G then
answers for; hinge with drawn margins; three decoders of D, with L1, since LPIPS
needs weights; Adam. PyTorch's side is written here from the paper and
docs; it averages parameters of G as ours does. Sides are interleaved in one
run; times are medians. --quick has one round, no memory, and is mostly
compilation.

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

CONFIG = pathlib.Path(__file__).parent.parent / 'configs/fastgan_folder.py'
LATENT = 256
# Channels by the side of a map.
G = {4: 1024, 8: 512, 16: 256, 32: 128, 64: 128, 128: 64, 256: 32}
D = {256: 16, 128: 32, 64: 64, 32: 128, 16: 256, 8: 512}


def ours(side, batch):
  """A function that takes one step and waits for it."""
  import jax

  from gan_jax import config as config_lib

  c = config_lib.load(
    f'{CONFIG}:resolution={side},width=64', [('train.batch', f'{batch}')]
  )
  shape = (1, batch, side, side, 3)
  image = jax.random.uniform(jax.random.key(1), shape, minval=-1.0)
  return our_step(c, side, batch, image)[0]


def blocks():
  """PyTorch's layers, by the names that the networks below use."""
  import torch
  from torch import nn
  from torch.nn.utils.parametrizations import spectral_norm

  def conv(before, after, kernel=3, stride=1, padding=1):
    layer = nn.Conv2d(before, after, kernel, stride, padding, bias=False)
    return spectral_norm(layer)

  def deconv(before, after):
    layer = nn.ConvTranspose2d(before, after, 4, 1, 0, bias=False)
    return spectral_norm(layer, dim=1)

  class Noise(nn.Module):
    def __init__(self):
      super().__init__()
      self.strength = nn.Parameter(torch.zeros(1))

    def forward(self, x):
      return x + self.strength * torch.randn(len(x), 1, *x.shape[2:])

  class Gate(nn.Module):
    """Skip-layer excitation."""

    def __init__(self, low, high):
      super().__init__()
      self.body = nn.Sequential(
        nn.AdaptiveAvgPool2d(4),
        conv(low, high, 4, 1, 0),
        nn.SiLU(),
        conv(high, high, 1, 1, 0),
        nn.Sigmoid(),
      )

    def forward(self, low, high):
      return high * self.body(low)

  def up(before, after, two):
    double, glu = nn.Upsample(scale_factor=2), nn.GLU(dim=1)
    wide = 2 * after
    layers = [double, conv(before, wide)]
    layers += ([Noise()] if two else []) + [nn.BatchNorm2d(wide), glu]
    if two:
      layers += [conv(after, wide), Noise(), nn.BatchNorm2d(wide), glu]
    return nn.Sequential(*layers)

  def down(before, after, *size, norm=True):
    norms = [nn.BatchNorm2d(after)] if norm else []
    return nn.Sequential(conv(before, after, *size), *norms, nn.LeakyReLU(0.2))

  return conv, deconv, Gate, up, down


def generator(side):
  """PyTorch's G."""
  from torch import nn

  conv, deconv, gate, up, _ = blocks()

  class Generator(nn.Module):
    def __init__(self):
      super().__init__()
      self.first = nn.Sequential(
        deconv(LATENT, 2 * G[4]), nn.BatchNorm2d(2 * G[4]), nn.GLU(dim=1)
      )
      sides = [k for k in G if 4 < k <= side]
      self.ups = nn.ModuleDict(
        {str(k): up(G[k // 2], G[k], k in (8, 32, 128)) for k in sides}
      )
      self.gates = nn.ModuleDict(
        {str(k): gate(G[k // 16], G[k]) for k in sides if k >= 64}
      )
      self.image, self.small = conv(G[side], 3), conv(G[128], 3, 1, 1, 0)

    def forward(self, z):
      maps = {4: self.first(z[:, :, None, None])}
      for name, layer in self.ups.items():
        k = int(name)
        maps[k] = layer(maps[k // 2])
        if name in self.gates:
          maps[k] = self.gates[name](maps[k // 16], maps[k])
      return self.image(maps[side]).tanh(), self.small(maps[128]).tanh()

  return Generator()


def discriminator():
  """PyTorch's D of 256 px, with its decoders."""
  import torch
  from torch import nn

  conv, _, gate, up, down = blocks()

  class Half(nn.Module):
    """A residual block of D's first branch."""

    def __init__(self, before, after):
      super().__init__()
      self.body = nn.Sequential(
        down(before, after, 4, 2, 1), down(after, after)
      )
      self.skip = nn.Sequential(nn.AvgPool2d(2), down(before, after, 1, 1, 0))

    def forward(self, x):
      return (self.body(x) + self.skip(x)) / 2

  class Discriminator(nn.Module):
    def __init__(self):
      super().__init__()
      self.stem = down(3, D[256], norm=False)
      self.halves = nn.ModuleDict(
        {str(k): Half(D[2 * k], D[k]) for k in (128, 64, 32, 16, 8)}
      )
      self.gates = nn.ModuleDict(
        {str(k): gate(D[8 * k], D[k]) for k in (32, 16, 8)}
      )
      self.head = nn.Sequential(
        down(512, 1024, 1, 1, 0), conv(1024, 1, 4, 1, 0)
      )
      self.plain = nn.Sequential(
        down(3, 32, 4, 2, 1, norm=False),
        *(down(k, 2 * k, 4, 2, 1) for k in (32, 64, 128)),
      )
      self.plain_head = conv(256, 1, 4, 1, 0)
      self.decoders = nn.ModuleList(map(self.decoder, (512, 256, 256)))

    @staticmethod
    def decoder(width):
      sizes = ((width, 128), (128, 64), (64, 64), (64, 32))
      return nn.Sequential(
        *(up(a, b, False) for a, b in sizes), conv(32, 3), nn.Tanh()
      )

    def forward(self, image, small, decode=False):
      maps = {256: self.stem(image)}
      for name, layer in self.halves.items():
        k = int(name)
        maps[k] = layer(maps[2 * k])
        if name in self.gates:
          maps[k] = self.gates[name](maps[8 * k], maps[k])
      low = self.plain(small)
      logits = [self.head(maps[8]).flatten(1), self.plain_head(low).flatten(1)]
      logits = torch.cat(logits, 1)
      if not decode:
        return logits
      seen = (maps[8], low, maps[16][:, :, :8, :8])  # the first quadrant
      return logits, [f(x) for f, x in zip(self.decoders, seen, strict=True)]

  return Discriminator()


def augment(x):
  """DiffAugment: colour and translation of a batch, zeros where nothing is."""
  import torch
  from torch.nn import functional

  n, side = len(x), x.shape[-1]
  draw = lambda: torch.rand(n, 1, 1, 1)
  x = x + draw() - 0.5
  mean = x.mean(1, keepdim=True)
  x = (x - mean) * 2 * draw() + mean
  mean = x.mean((1, 2, 3), keepdim=True)
  x = (x - mean) * (draw() + 0.5) + mean
  most = side // 8
  x = functional.pad(x, [most] * 4)
  rows = torch.randint(0, 2 * most + 1, (n, 1)) + torch.arange(side)
  columns = torch.randint(0, 2 * most + 1, (n, 1)) + torch.arange(side)
  which = torch.arange(n)[:, None, None]
  x = x.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
  return x.permute(0, 3, 1, 2)


def torchs(side, batch):
  """The same step in plain PyTorch; None where it is not installed."""
  try:
    import torch
    from torch.nn import functional
  except ImportError:
    return None
  torch.set_num_threads(os.cpu_count())
  g, d = generator(side), discriminator()
  g.average = [p.detach().clone() for p in g.parameters()]
  adam = [
    torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (g, d)
  ]
  image = torch.rand(batch, 3, side, side) * 2 - 1
  to = lambda x, k: functional.interpolate(x, (k, k))
  margin = lambda x: 1 - 0.2 * torch.rand_like(x)

  def step():
    fakes = [augment(x) for x in g(torch.randn(batch, LATENT))]
    real = augment(image)
    on_real, rebuilt = d(real, to(real, 128), decode=True)
    on_fake = d(*(x.detach() for x in fakes))
    loss = functional.relu(margin(on_real) - on_real).mean()
    loss = loss + functional.relu(margin(on_fake) + on_fake).mean()
    part = to(real[:, :, : side // 2, : side // 2], 128)
    targets = (to(real, 128), to(real, 128), part)
    for made, target in zip(rebuilt, targets, strict=True):
      loss = loss + (made - target).abs().mean()
    adam[1].zero_grad()
    loss.backward()
    adam[1].step()
    d.requires_grad_(False)
    adam[0].zero_grad()
    (-d(*fakes).mean()).backward()
    d.requires_grad_(True)
    adam[0].step()
    with torch.no_grad():
      for mean, p in zip(g.average, g.parameters(), strict=True):
        mean.lerp_(p, 1e-3)

  return step


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--batches', default='4,8')
  parser.add_argument('--side', type=int, default=256)
  parser.add_argument('--memory', choices=['ours', 'torch'])
  args = parser.parse_args()
  if args.side != 256:
    torch_side = lambda side, batch: None  # PyTorch's side is written for 256
  else:
    torch_side = torchs
  batches = [int(batch) for batch in args.batches.split(',')]
  if args.memory:
    make = ours if args.memory == 'ours' else torch_side
    print_added_memory(args.memory, lambda: make(args.side, batches[0]))
    return
  print(f'{device()}; load average {os.getloadavg()}')
  figures = {}
  for k, batch in enumerate(batches[:1] if args.quick else batches):
    behind = f'_{batch}' if k else ''
    mine, theirs = ours(args.side, batch), torch_side(args.side, batch)
    print(f'FastGAN at {args.side} px, batch {batch}: ', end='')
    ratio = against_torch(mine, theirs, batch, *counts(args.quick))
    del mine, theirs
    if ratio:
      figures[f'step_vs_torch{behind}'] = ratio
    if ratio and not args.quick:
      argv = [f'--side={args.side}', f'--batches={batch}']
      figures |= added_memory(__file__, argv, f'memory_vs_torch{behind}')
  print(f'load average {os.getloadavg()}')
  print(json.dumps({k: round(v, 3) for k, v in figures.items()}))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does
  main()
