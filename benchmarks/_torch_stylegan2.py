"""PyTorch's side of stylegan2.py: layers and networks, with paper256's rules.

Written from the paper and spec/glead.md, with the modulation in front of and
behind a convolution that the batch has in common, as ours.
"""

import math

import torch
from torch import nn
from torch.nn import functional

LATENT, BASE, DEPTH = 512, 16384, 8
TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0])
FIR = torch.outer(TAPS, TAPS) / 64


def smooth(x, padding, stride=1, gain=1.0):
  """The filter on each channel."""
  weight = (gain * FIR).expand(x.shape[1], 1, 4, 4)
  return functional.conv2d(x, weight, None, stride, padding, groups=x.shape[1])


def double(x):
  """A picture of twice the side."""
  weight = (4 * FIR).expand(x.shape[1], 1, 4, 4)
  return functional.conv_transpose2d(x, weight, None, 2, 1, groups=x.shape[1])


def active(x, gain=1.0, limit=256.0):
  """Leaky ReLU, and the limit of numbers behind it."""
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
    return functional.linear(x, self.weight * self.scale, self.bias * self.slow)


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


class Generator(nn.Module):
  """Latent vectors to pictures; `width` gives the channels of a side's maps."""

  def __init__(self, sides, width):
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
    for k in range(len(self.rgb) - 1):
      for i in (2 * k + 1, 2 * k + 2):
        x = self.layers[i](x, w[:, i])
      picture = double(picture) + self.rgb[k + 1](x, w[:, 2 * k + 3])
    return picture

  def forward(self, z):
    return self.synthesise(self.styles(z))


class Discriminator(nn.Module):
  """Pictures to logits."""

  def __init__(self, sides, width):
    super().__init__()
    self.first = Conv(3, width(sides[-1]), 1)
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


def networks(side, most):
  """G and D for pictures of a side, of at most so many channels a layer."""
  sides = [2**k for k in range(3, int(math.log2(side)) + 1)]
  width = lambda k: min(BASE // k, most)
  return Generator(sides, width), Discriminator(sides, width)
