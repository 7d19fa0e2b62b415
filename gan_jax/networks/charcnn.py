"""Text by character: 1-D convolutional residual networks.

The language model of the WGAN-GP paper (Gulrajani et al. 2017), which SGAN
trains on the One Billion Word Benchmark (appendix B.1: 4 residual blocks, lines
of 32 characters). G ends in a softmax and nothing is drawn from it: the rows of
probabilities are the sample that D sees beside one-hot rows of real text.
Without any normalisation, as a penalty on the gradient of each sample asks.
"""

import flax.linen as nn

from gan_jax.networks.judgement import Judgement
from gan_jax.nn.conv import Conv
from gan_jax.settings import Setting, field

# Of a block's branch: small, so that a block starts near the identity.
SCALE = 0.3

_WIDTH = Setting(512, 'channels', low=1, high=2**14)
_DEPTH = Setting(4, 'residual blocks', low=1, high=1000)
_WINDOW = Setting(5, 'characters that a convolution sees', low=1, high=4096)

# He et al. 2015: every convolution but the outermost ones follows a ReLU.
_INIT = nn.initializers.he_normal()


def _conv(x, width: int, window: int):
  """A convolution along the characters: [N, L, C] -> [N, L, width].

  They lie along the width of a picture that is one pixel high, which XLA's CPU
  backend does up to three times as fast as the other way round.
  """
  conv = Conv(width, (1, window), 1, 'SAME', kernel_init=_INIT)
  return conv(x[:, None])[:, 0]


class Block(nn.Module):
  """y = x + 0.3 f(x); f is twice a ReLU and a convolution.

  Attributes:
    window: characters that a convolution sees.
  """

  window: int

  @nn.compact
  def __call__(self, x):
    """[N, L, C] -> [N, L, C]."""
    y = x
    for _ in range(2):
      y = _conv(nn.relu(y), x.shape[-1], self.window)
    return x + SCALE * y


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

  @nn.compact
  def __call__(self, z, labels=None, *, train: bool):
    """[N, Z] -> probabilities [N, L, V], each row of sum 1."""
    del labels, train  # there are none; the same function in training and use
    length, size = self.shape
    x = nn.Dense(length * self.width)(z).reshape(-1, length, self.width)
    for _ in range(self.depth):
      x = Block(self.window)(x)
    return nn.softmax(_conv(x, size, 1))


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

  per_sample = True

  @nn.compact
  def __call__(self, text, labels=None, *, train: bool) -> Judgement:
    """[N, L, V] -> logits [N], features by block."""
    del labels, train
    x, features = _conv(text, self.width, 1), {}
    for i in range(self.depth):
      x = Block(self.window)(x)
      features[str(i)] = x
    return Judgement(nn.Dense(1)(x.reshape(len(x), -1))[:, 0], features)
