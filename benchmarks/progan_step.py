"""ProGAN's training steps: ours against the same networks in plain PyTorch.

  python benchmarks/progan_step.py [--quick] [--sides=64,128] [--bfloat16]

Needs PyTorch beside gan_jax; without it only our own figures are printed. Both
sides run Table 2's networks at a last level that has faded in, WGAN-GP with
drift in two stages, Adam (0, 0.99), no average, on all cores, or on a GPU if
both find one. PyTorch's side is written here, from the paper. Each pair of
sides is interleaved in one run; times are medians.

In float32 on a GPU, ours multiplies in JAX's default precision and PyTorch in
its own (allow_tf32 on, which is the same); --bfloat16 has both compute all
layers in bfloat16.

The last line is JSON: for each side, `step_vs_torch_64` (images/s, ours over
theirs), `memory_vs_torch_64` (peak beyond the imports; of a GPU, as its
allocators count it).
"""

import argparse
import json
import os
import subprocess
import sys

from _measure import device, interleaved, peak_mb

from gan_jax.run.memory import restart_with_huge_pages

BATCH = 16
LATENT = 512


def width(side):
  """Channels of Table 2 at a side; of D's last vector at 2."""
  return min(8192 // (side // 2), 512)


def ours(side, bfloat16=False):
  """A function that takes one step and waits for it."""
  import jax
  import jax.numpy as jnp

  from gan_jax import config as config_lib
  from gan_jax import experiment as experiment_lib
  from gan_jax.data.pipeline import Batch
  from gan_jax.mesh import one_device
  from gan_jax.restore import like
  from gan_jax.run.memory import give_back_freed_memory

  c = config_lib.defaults()
  c.generator = c.discriminator = dict(
    name='progan', bfloat16_from=4 if bfloat16 else 0
  )
  c.discriminator.group_size = 0
  c.loss.name = 'wasserstein'
  c.penalties.wgan_gp.weight = 10.0
  c.penalties.drift.weight = 1e-3
  c.latent.size = LATENT
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.update(lr=1e-3, b1=0.0, b2=0.99)
  c.ema.name = 'none'
  c.train.batch = BATCH
  made = experiment_lib.build(c, (side, side, 3), 0)
  image = jax.random.normal(jax.random.key(1), (1, BATCH, side, side, 3))
  batch = jax.block_until_ready(
    Batch(jnp.clip(image, -1, 1), jnp.zeros((1, BATCH), jnp.int32))
  )
  # As train.py does it: the compiler's memory, then the state's, then steps'.
  (span,), (stage,), _ = made.growth
  one = made.make_step(stage)
  jitted = jax.jit(
    lambda state, batch: one(state, {}, batch, span), donate_argnums=0
  )
  compiled = jitted.lower(like(made, one_device()), batch).compile()
  give_back_freed_memory()
  state = [experiment_lib.initial_state(made, 0, one_device())]
  jax.block_until_ready(state[0].pair)
  give_back_freed_memory()

  def step():
    state[0], metrics = compiled(state[0], batch)
    jax.block_until_ready(metrics)

  return step


def torchs(side, bfloat16=False):
  """The same step in plain PyTorch; None where it is not installed."""
  try:
    import torch
    from torch import nn
  except ImportError:
    return None
  functional = nn.functional
  torch.set_num_threads(os.cpu_count())
  torch.backends.cuda.matmul.allow_tf32 = True
  torch.backends.cudnn.allow_tf32 = True
  torch.backends.cudnn.benchmark = True
  place = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
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

  g, d = Generator().to(place), Discriminator().to(place)
  if place.type == 'cuda':  # its fastest layout there
    g = g.to(memory_format=torch.channels_last)
    d = d.to(memory_format=torch.channels_last)
  adam = [
    torch.optim.Adam(net.parameters(), 1e-3, (0.0, 0.99)) for net in (g, d)
  ]
  real = torch.randn(BATCH, 3, side, side, device=place).clamp(-1, 1)
  latents = lambda: torch.randn(BATCH, LATENT, device=place)
  cast = torch.autocast(place.type, torch.bfloat16, enabled=bfloat16)

  def step():
    with cast:
      with torch.no_grad():
        fake = g(latents()).float()
      share = torch.rand(BATCH, 1, 1, 1, device=place)
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


def memory(who, side, bfloat16):
  """Peak MB that three steps add to a fresh process."""
  command = [sys.executable, __file__, f'--memory={who}', f'--sides={side}']
  command += ['--bfloat16'] if bfloat16 else []
  done = subprocess.run(command, capture_output=True, text=True, check=True)
  return float(done.stdout.splitlines()[-1])


def print_memory(who, side, bfloat16):
  import jax

  gpu = jax.default_backend() == 'gpu'
  if who == 'torch':
    import torch
  else:
    import gan_jax.restore  # noqa: F401

    jax.block_until_ready(jax.jit(lambda: 1)())
  before = peak_mb()
  step = (torchs if who == 'torch' else ours)(side, bfloat16)
  for _ in range(3):
    step()
  if not gpu:
    print(peak_mb() - before)
  elif who == 'torch':
    print(torch.cuda.max_memory_allocated() / 2**20)
  else:
    print(jax.devices()[0].memory_stats()['peak_bytes_in_use'] / 2**20)


def main():
  import jax

  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--quick', action='store_true')
  parser.add_argument('--sides', default='64,128')
  parser.add_argument('--bfloat16', action='store_true')
  parser.add_argument('--memory', choices=['ours', 'torch'])
  args = parser.parse_args()
  sides = [int(side) for side in args.sides.split(',')]
  if args.memory:
    print_memory(args.memory, sides[0], args.bfloat16)
    return
  print(f'{device()}; load average {os.getloadavg()}')
  figures = {}
  for side in sides[:1] if args.quick else sides:
    mine, theirs = ours(side, args.bfloat16), torchs(side, args.bfloat16)
    steps = [mine] + ([theirs] if theirs else [])
    rounds = 1 if args.quick else 3
    on_gpu = jax.default_backend() == 'gpu'
    inner = 20 if on_gpu and not args.quick else 1
    medians = interleaved(steps, rounds, inner)
    rates = [BATCH / t for t in medians]
    words = f'ours {1e3 * medians[0]:.1f} ms, {rates[0]:.1f} img/s; '
    if theirs:
      words += f'PyTorch {1e3 * medians[1]:.1f} ms, {rates[1]:.1f} img/s'
      figures[f'step_vs_torch_{side}'] = rates[0] / rates[1]
    else:
      words += 'PyTorch is not installed'
    print(f'ProGAN at {side} px, batch {BATCH}: {words}', flush=True)
    if theirs and not args.quick:
      own = memory('ours', side, args.bfloat16)
      other = memory('torch', side, args.bfloat16)
      print(f'  peak memory: ours {own:.0f} MB, PyTorch {other:.0f} MB')
      figures[f'memory_vs_torch_{side}'] = own / other
  print(f'load average {os.getloadavg()}')
  print(json.dumps({k: round(v, 3) for k, v in figures.items()}))


if __name__ == '__main__':
  restart_with_huge_pages()  # as `python -m gan_jax.main` does; for all sides
  main()
