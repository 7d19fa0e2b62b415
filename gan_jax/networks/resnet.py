"""Residual networks that classify small pictures (He et al. 2016).

The form for CIFAR that OSGAN's section 4.4 counts 11.2M (18 layers) and 21.3M
(34 layers) parameters of: the stages of the ImageNet networks, a 3x3 stem of
stride 1 in place of the 7x7 one with its pooling. He et al.'s own CIFAR
networks (section 4.2 there, 0.27M to 1.7M parameters) are others.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.networks.judgement import Judgement
from gan_jax.nn import norm as norms
from gan_jax.nn import precision, remat
from gan_jax.nn.conv import Conv
from gan_jax.nn.norm import CROSS_SAMPLE, normalise
from gan_jax.settings import Setting, field

# Blocks a stage, by the number of layers with weights. 18 and 34: He et al.,
# Table 1; 10, one block a stage, is for tests and slow machines.
BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}

# He et al. 2015, eq. 10, in its backward form.
_INIT = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


class Block(nn.Module):
  """Two 3x3 convolutions beside a shortcut: y = relu(x + f(x)).

  Attributes:
    features: output channels.
    stride: of the first convolution.
    norm: one of `nn.norm.NORMS`, after every convolution.
    dtype: of the convolutions, see `nn.precision`.
  """

  features: int
  stride: int
  norm: str
  dtype: Any = None

  @nn.compact
  def __call__(self, x, *, train: bool):
    """[N, H, W, C] -> [N, H / stride, W / stride, features]."""

    def layer(x, window, stride):
      padding = window // 2
      how = self.features, window, stride, padding, False, _INIT, self.dtype
      conv = Conv(*how)
      return normalise(conv(x), self.norm, train=train)

    y = nn.relu(layer(x, 3, self.stride))
    y = layer(y, 3, 1)
    if self.stride > 1 or x.shape[-1] != self.features:
      x = layer(x, 1, self.stride)  # option B of He et al. 2016
    return nn.relu(x + y)


class Classifier(nn.Module):
  """Pictures to one logit a class; the student, or the teacher, of a run.

  Attributes:
    shape: (H, W, C) of a picture, of any size from 8 pixels on.
    classes: number of classes.
  """

  shape: tuple[int, int, int]
  classes: int = 0
  width: int = field(
    Setting(
      64,
      'channels of the first stage; each further one has twice as many',
      low=1,
      high=2**14,
    )
  )
  depth: int = field(Setting(18, 'layers with weights', choices=BLOCKS))
  norm: str = field(norms.SETTING)
  remat: str = field(remat.SETTING)
  bfloat16_from: int = field(precision.SETTING)

  @property
  def per_sample(self) -> bool:
    """Whether a logit depends on its own picture only."""
    return self.norm not in CROSS_SAMPLE

  @nn.compact
  def __call__(self, images, labels=None, *, train: bool) -> Judgement:
    """[N, H, W, C] -> logits [N, classes], the stages' maps by resolution."""
    del labels  # they are what it is asked for
    x = Conv(self.width, 3, 1, 1, False, _INIT)(images)
    x = nn.relu(normalise(x, self.norm, train=train))
    x = precision.kept(x, self.bfloat16_from)
    features = {}
    for stage, blocks in enumerate(BLOCKS[self.depth]):
      for block in range(blocks):
        stride = 2 if stage and not block else 1
        side = (x.shape[1] - 1) // stride + 1
        dtype = precision.dtype_at(side, self.bfloat16_from)
        own = self.width * 2**stage, stride, self.norm, dtype
        made = lambda net, x, own=own: Block(*own)(x, train=train)
        x = remat.block(self, made, x)
      features[str(x.shape[1])] = precision.full(x)
    x = jnp.mean(precision.full(x), (1, 2))  # global average pool
    return Judgement(nn.Dense(self.classes)(x), features)
