"""DCGAN's training step in plain PyTorch, for benchmarks."""

import copy

LATENT = 100
STAGES = {32: 3, 64: 4}


def networks(size, width):
  """A generator and a discriminator of pictures of 32 or 64 px."""
  from torch import nn

  layers, channels = [], LATENT
  for i in range(STAGES[size]):
    wide = width * 2 ** (STAGES[size] - 1 - i)
    layers += [
      nn.ConvTranspose2d(channels, wide, 4, 2 if i else 1, 1 if i else 0),
      nn.BatchNorm2d(wide),
      nn.ReLU(True),
    ]
    channels = wide
  g = nn.Sequential(
    *layers, nn.ConvTranspose2d(channels, 3, 4, 2, 1), nn.Tanh()
  )
  layers, channels = [], 3
  for i in range(STAGES[size]):
    wide = width * 2**i
    layers.append(nn.Conv2d(channels, wide, 4, 2, 1))
    layers += [nn.BatchNorm2d(wide)] if i else []
    layers.append(nn.LeakyReLU(0.2, True))
    channels = wide
  d = nn.Sequential(*layers, nn.Conv2d(channels, 1, 4, 1, 0), nn.Flatten(0))
  return g, d


class Pair:
  """A generator, a discriminator and their optimisers.

  Args:
    g: a module.
    d: a module.
    adam: settings of `torch.optim.Adam`, of both.
  """

  def __init__(self, g, d, adam):
    import torch

    self.g, self.d, self._adam = g, d, adam
    self.rule_g = torch.optim.Adam(g.parameters(), **adam)
    self.rule_d = torch.optim.Adam(d.parameters(), **adam)

  def learn_d(self, real, fake):
    """An update of the discriminator."""
    self.rule_d.zero_grad()
    d_loss(self.d, real, fake).backward()
    self.rule_d.step()

  def learn_g(self, z):
    """An update of the generator, non-saturating."""
    self.rule_g.zero_grad()
    g_loss(self.d, self.g(z)).backward()
    self.rule_g.step()

  def messenger(self):
    """A clone of the discriminator and its optimiser, without a generator."""
    import torch

    clone = Pair.__new__(Pair)
    clone.g, clone.d = None, copy.deepcopy(self.d)
    clone.rule_d = torch.optim.Adam(clone.d.parameters(), **self._adam)
    clone.rule_d.load_state_dict(copy.deepcopy(self.rule_d.state_dict()))
    return clone


def d_loss(d, real, fake):
  """Goodfellow et al.'s, of logits."""
  from torch.nn.functional import softplus

  return softplus(-d(real)).mean() + softplus(d(fake)).mean()


def g_loss(d, fake):
  """The non-saturating one; no gradient is taken of D's parameters."""
  from torch.nn.functional import softplus

  d.requires_grad_(False)
  loss = softplus(-d(fake)).mean()
  d.requires_grad_(True)
  return loss
