"""ProGAN's training steps: ours against the same networks in plain PyTorch.

  python benchmarks/progan_step.py [--quick] [--sides=64,128] [--batch=16]

Needs PyTorch beside gan_jax; without it only our own figures are printed. Both
sides run Table 2's networks at a last level that has faded in, WGAN-GP with
drift in two stages, Adam (0, 0.99), no average, on all cores, or on a GPU if
both find one. PyTorch's side is written here, from the paper. Each pair of
sides is interleaved in one run; times are medians.

--batch=4 is for CPUs: on 2 cores the first row of 16 was not there after ten
minutes. In float32 on a GPU, ours multiplies in JAX's default precision and
PyTorch in its own (allow_tf32 on, which is the same); --bfloat16 has both
compute all layers in bfloat16. --quick is one round at 16 px, without memory.

The last line is JSON: for each side, `step_vs_torch_64` (images/s, ours over
theirs), `memory_vs_torch_64` (peak beyond the imports; of a GPU, as its
allocators count it; with `warm_` before it where ours was compiled before).
"""

import argparse
import json
import os

from _measure import (
  added_memory,
  against_torch,
  counts,
  device,
  our_step,
  print_added_memory,
)

from gan_jax.run.memory import restart_with_huge_pages

LATENT = 512


def width(side):
  """Channels of Table 2 at a side; of D's last vector at 2."""
  return min(8192 // (side // 2), 512)


def ours(args, side):
  """A function that takes one step and waits for it."""
  import jax
  import jax.numpy as jnp

  from gan_jax import config as config_lib

  c = config_lib.defaults()
  c.generator = c.discriminator = dict(
    name='progan', bfloat16_from=4 if args.bfloat16 else 0
  )
  c.discriminator.group_size = 0
  c.loss.name = 'wasserstein'
  c.penalties.wgan_gp.weight = 10.0
  c.penalties.drift.weight = 1e-3
  c.latent.size = LATENT
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.update(lr=1e-3, b1=0.0, b2=0.99)
  c.ema.name = 'none'
  c.train.batch = batch = args.batch
  image = jax.random.normal(jax.random.key(1), (1, batch, side, side, 3))
  return our_step(c, side, batch, jnp.clip(image, -1, 1))[0]


def networks(side):
  """PyTorch's G and D."""
  import torch
  from torch import nn

  functional = nn.functional
  act = lambda x: functional.leaky_relu(x, 0.2)
  pixel_norm = lambda x: (
    x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)
  )

  class Conv(nn.Module):
    """With an equalised learning rate."""

    def __init__(self, before, after, kernel, padding, gain=2**0.5):
      super().__init__()
      self.weight = nn.Parameter(torch.randn(after, before, kernel, kernel))
      self.bias = nn.Parameter(torch.zeros(after))
      self.scale, self.padding = gain / (before * kernel**2) ** 0.5, padding

    def forward(self, x):
      return functional.conv2d(
        x, self.weight * self.scale, self.bias, padding=self.padding
      )

  class Generator(nn.Module):
    def __init__(self):
      super().__init__()
      self.first = Conv(LATENT, 512 * 16, 1, 0, 2**0.5 / 4)
      self.layers = nn.ModuleList([Conv(512, 512, 3, 1)])
      k = 8
      while k <= side:
        self.layers.append(Conv(width(k // 2), width(k), 3, 1))
        self.layers.append(Conv(width(k), width(k), 3, 1))
        k *= 2
      self.to_rgb = Conv(width(side), 3, 1, 0, 1.0)

    def forward(self, z):
      x = self.first(pixel_norm(z)[:, :, None, None])
      x = pixel_norm(act(x.reshape(-1, 512, 4, 4)))
      for i, layer in enumerate(self.layers):
        if i % 2:
          x = functional.interpolate(x, scale_factor=2)
        x = pixel_norm(act(layer(x)))
      return self.to_rgb(x)

  class Discriminator(nn.Module):
    def __init__(self):
      super().__init__()
      self.from_rgb = Conv(3, width(side), 1, 0)
      self.layers = nn.ModuleList()
      k = side
      while k > 4:
        self.layers.append(Conv(width(k), width(k), 3, 1))
        self.layers.append(Conv(width(k), width(k // 2), 3, 1))
        k //= 2
      self.last = nn.ModuleList(
        [Conv(513, 512, 3, 1), Conv(512, 512, 4, 0), Conv(512, 1, 1, 0, 1.0)]
      )

    def forward(self, x):
      x = act(self.from_rgb(x))
      for i, layer in enumerate(self.layers):
        x = act(layer(x))
        x = functional.avg_pool2d(x, 2) if i % 2 else x
      x = x.float()
      spread = (x.var(0, unbiased=False) + 1e-8).sqrt().mean()
      x = torch.cat([x, spread.expand(len(x), 1, 4, 4)], 1)
      x = act(self.last[1](act(self.last[0](x))))
      return self.last[2](x)[:, 0, 0, 0].float()

  return Generator(), Discriminator()


def torchs(args, side):
  """The same step in plain PyTorch; None where it is not installed."""
  try:
    import torch
  except ImportError:
    return None
  torch.set_num_threads(os.cpu_count())
  torch.backends.cuda.matmul.allow_tf32 = True
  torch.backends.cudnn.allow_tf32 = True
  torch.backends.cudnn.benchmark = True
  place = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
  g, d = (net.to(place) for net in networks(side))
  if place.type == 'cuda':  # its fastest layout there
    g = g.to(memory_format=torch.channels_last)
    d = d.to(memory_format=torch.channels_last)
  adam = [
    torch.optim.Adam(net.parameters(), 1e-3, (0.0, 0.99)) for net in (g, d)
  ]
  real = torch.randn(args.batch, 3, side, side, device=place).clamp(-1, 1)
  latents = lambda: torch.randn(args.batch, LATENT, device=place)
  cast = torch.autocast(place.type, torch.bfloat16, enabled=args.bfloat16)

  def step():
    with cast:
      with torch.no_grad():
        fake = g(latents()).float()
      share = torch.rand(args.batch, 1, 1, 1, device=place)
      mix = (real + share * (fake - real)).requires_grad_()
      (slope,) = torch.autograd.grad(d(mix).sum(), mix, create_graph=True)
      norm = slope.flatten(1).float().norm(dim=1)
      on_real = d(real)
      loss = d(fake).mean() - on_real.mean() + 1e-3 * on_real.square().mean()
      loss = loss + 10 * (norm - 1).square().mean()
    adam[1].zero_grad()
    loss.backward()
    adam[1].step()
    adam[0].zero_grad()
    d.requires_grad_(False)
    with cast:
      loss = -d(g(latents())).mean()
    loss.backward()
    d.requires_grad_(True)
    adam[0].step()
    if place.type == 'cuda':
      torch.cuda.synchronize()

  return step


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--sides', default='64,128')
  parser.add_argument('--batch', type=int, default=16)
  parser.add_argument('--bfloat16', action='store_true')
  parser.add_argument('--memory', choices=['ours', 'torch'])
  args = parser.parse_args()
  sides = [int(side) for side in args.sides.split(',')]
  more = [f'--batch={args.batch}'] + ['--bfloat16'] * args.bfloat16
  if args.memory:
    make = ours if args.memory == 'ours' else torchs
    print_added_memory(args.memory, lambda: make(args, sides[0]))
    return
  print(f'{device()}; load average {os.getloadavg()}')
  figures = {}
  for side in [16] if args.quick else sides:
    mine, theirs = ours(args, side), torchs(args, side)
    print(f'ProGAN at {side} px, batch {args.batch}: ', end='')
    ratio = against_torch(mine, theirs, args.batch, *counts(args.quick))
    if theirs:
      figures[f'step_vs_torch_{side}'] = ratio
    del mine, theirs  # their memory is the other processes'
    if ratio and not args.quick:
      argv, name = [f'--sides={side}', *more], f'memory_vs_torch_{side}'
      figures |= added_memory(__file__, argv, name)
  print(f'load average {os.getloadavg()}')
  print(json.dumps({k: round(v, 3) for k, v in figures.items()}))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does; for all sides
  main()
