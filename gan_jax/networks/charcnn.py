"""Text by character: 1-D convolutional residual networks.

The language model of the WGAN-GP paper (Gulrajani et al. 2017), which SGAN
trains on the One Billion Word Benchmark (appendix B.1: 4 residual blocks, lines
of 32 characters). G ends in a softmax and nothing is drawn from it: the rows of
probabilities are the sample that D sees beside one-hot rows of real text.
Without any normalisation, as a penalty on the gradient of each sample asks.
"""

from typing import Any

import flax.linen as nn

from gan_jax.networks.judgement import Judgement
from gan_jax.nn import precision, remat
from gan_jax.nn.conv import Conv
from gan_jax.nn.dense import Dense
from gan_jax.settings import Setting, field

# Of a block's branch: small, so that a block starts near the identity.
SCALE = 0.3

_WIDTH = Setting(512, 'channels', low=1, high=2**14)
_DEPTH = Setting(4, 'residual blocks', low=1, high=1000)
_WINDOW = Setting(5, 'characters that a convolution sees', low=1, high=4096)

# He et al. 2015: every convolution but the outermost ones follows a ReLU.
_INIT = nn.initializers.he_normal()


def _conv(x, width: int, window: int, dtype=None):
  """A convolution along the characters: [N, L, C] -> [N, L, width].

  They lie along the width of a picture that is one pixel high, which XLA's CPU
  backend does up to three times as fast as the other way round.
  """
  conv = Conv(width, (1, window), 1, 'SAME', kernel_init=_INIT, dtype=dtype)
  return conv(x[:, None])[:, 0]


class Block(nn.Module):
  """y = x + 0.3 f(x); f is twice a ReLU and a convolution.

  Attributes:
    window: characters that a convolution sees.
    dtype: of the convolutions, see `nn.precision`.
  """

  window: int
  dtype: Any = None

  @nn.compact
  def __call__(self, x):
    """[N, L, C] -> [N, L, C]."""
    y = x
    for _ in range(2):
      y = _conv(nn.relu(y), x.shape[-1], self.window, self.dtype)
    return x + SCALE * y


def _block(network, x):
  """A block of a network, by its window: [N, L, C] -> [N, L, C]."""
  dtype = precision.dtype_at(x.shape[1], network.bfloat16_from)
  return remat.block(network, lambda net, x: Block(net.window, dtype)(x), x)


class Generator(nn.Module):
  """Latent vectors to lines of text.

  Attributes:
    shape: (L, V), characters of a line and of the alphabet.
    classes: must be 0; text has no labels.
  """

  kinds = ('text',)

  shape: tuple[int, int]
  classes: int = 0
  width: int = field(_WIDTH)
  depth: int = field(_DEPTH)
  window: int = field(_WINDOW)
  remat: str = field(remat.SETTING)
  bfloat16_from: int = field(precision.SETTING)

  @nn.compact
  def __call__(self, z, labels=None, *, train: bool):
    """[N, Z] -> probabilities [N, L, V], each row of sum 1."""
    del labels, train  # there are none; the same function in training and use
    length, size = self.shape
    dtype = precision.dtype_at(length, self.bfloat16_from)
    x = Dense(length * self.width, dtype)(z).reshape(-1, length, self.width)
    for _ in range(self.depth):
      x = _block(self, x)
    return nn.softmax(_conv(precision.full(x), size, 1))


class Discriminator(nn.Module):
  """Lines of text, one-hot or as probabilities, to one logit each.

  Attributes as in `Generator`.
  """

  kinds = ('text',)

  shape: tuple[int, int]
  classes: int = 0
  width: int = field(_WIDTH)
  depth: int = field(_DEPTH)
  window: int = field(_WINDOW)
  remat: str = field(remat.SETTING)
  bfloat16_from: int = field(precision.SETTING)

  per_sample = True

  @nn.compact
  def __call__(self, text, labels=None, *, train: bool) -> Judgement:
    """[N, L, V] -> logits [N], features by block."""
    del labels, train
    x, features = _conv(text, self.width, 1), {}
    x = precision.kept(x, self.bfloat16_from)
    for i in range(self.depth):
      x = _block(self, x)
      features[str(i)] = precision.full(x)
    x = precision.full(x).reshape(len(x), -1)
    return Judgement(Dense(1)(x)[:, 0], features)
