"""Fully connected networks: SGAN's for toy data and MNIST.

Four linear layers of 512 units, LeakyReLU with slope 0.01 (SGAN appendix; at
two dimensions 578,050 parameters in G and 527,361 in D).
"""

import math

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.networks.judgement import Judgement
from gan_jax.nn import precision
from gan_jax.nn.dense import Dense
from gan_jax.nn.labels import with_label
from gan_jax.settings import Setting, field

_WIDTH = Setting(512, 'units of a hidden layer', low=1, high=2**16)
_DEPTH = Setting(4, 'linear layers, the last one included', low=1, high=1000)
_SLOPE = Setting(0.01, 'of LeakyReLU below zero')


def _hidden(network, x, first=None):
  """All layers but the last, the first of a type of its own.

  Returns the last map and all maps by name, float32.
  """
  features, low = {}, precision.dtype_at(1, network.bfloat16_from)
  for i in range(network.depth - 1):
    x = Dense(network.width, low if i else first)(x)
    x = nn.leaky_relu(x.astype(low or x.dtype), network.slope)
    features[str(i)] = precision.full(x)
  return precision.full(x), features


class Generator(nn.Module):
  """Latent vectors to points or pictures.

  Attributes:
    shape: of a sample; (2,) for points in the plane, (H, W, C) for pictures.
      Pictures end in tanh, points are not bounded.
    classes: number of classes if labels are given, else 0.
  """

  kinds = ('pictures', 'points')

  shape: tuple[int, ...]
  classes: int = 0
  width: int = field(_WIDTH)
  depth: int = field(_DEPTH)
  slope: float = field(_SLOPE)
  bfloat16_from: int = field(precision.SETTING)

  @nn.compact
  def __call__(self, z, labels=None, *, train: bool):
    """[N, Z] and labels [N] -> [N, *shape]."""
    del train  # the same function in training and use
    x = with_label(z, labels, self.classes)
    x, _ = _hidden(self, x, precision.dtype_at(1, self.bfloat16_from))
    x = Dense(math.prod(self.shape))(x).reshape(-1, *self.shape)
    return jnp.tanh(x) if len(self.shape) == 3 else x


class Discriminator(nn.Module):
  """Points or pictures to one logit each; attributes as in `Generator`."""

  kinds = ('pictures', 'points')

  shape: tuple[int, ...]
  classes: int = 0
  width: int = field(_WIDTH)
  depth: int = field(_DEPTH)
  slope: float = field(_SLOPE)
  bfloat16_from: int = field(precision.SETTING)

  per_sample = True

  @nn.compact
  def __call__(self, images, labels=None, *, train: bool) -> Judgement:
    """[N, *shape] and labels [N] -> logits [N], features by layer."""
    del train
    x = with_label(images.reshape(len(images), -1), labels, self.classes)
    x, features = _hidden(self, x)
    return Judgement(Dense(1)(x)[:, 0], features)
