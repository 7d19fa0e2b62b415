"""Metz et al. 2017's networks for the discrete mode test (ProGAN, appendix E).

Of Unrolled GANs, the experiment with 1,000 classes: a G of low capacity and a
crippled D, by kernels of 3x3 and steps of 2 between 32 and 4 px. D's width is
8 X; the two of the table are X = 1/2 ('K/2', width 4, 1,857 parameters with
batch norm) and X = 1/4 ('K/4', width 2, 569).

ProGAN's rows change them by `norm`, `equalised` and `group_size`. That they can
grow is ours, after progan.py: each level has a layer to RGB of its own, and a
1x1 layer from RGB that stands for the part of D in front of it; at 32 px and
alpha 1 nothing of these is used. Where the paper says nothing: G ends in tanh,
layers with batch norm have no bias, LeakyReLU of 0.3 in G (spec) and 0.2 in D.
"""

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.networks.judgement import Judgement
from gan_jax.networks.progan import Activation
from gan_jax.nn import equalised as equal
from gan_jax.nn import norm as norms
from gan_jax.nn import precision, stddev
from gan_jax.nn.conv import conv_transpose
from gan_jax.nn.labels import with_label
from gan_jax.nn.levels import double, fade, reduce_to
from gan_jax.nn.norm import CROSS_SAMPLE, pixel_norm
from gan_jax.settings import Setting, field

RESOLUTIONS = (32,)
G_SLOPE, D_SLOPE = 0.3, 0.2

_EQUALISED = Setting(
  False, "whether He's constant multiplies at run time, not at the first draw"
)


class _Up(equal.Conv):
  """A transposed convolution to twice the side.

  The adjoint of a 3x3 convolution with steps of 2 and zeros where SAME has
  them.
  """

  def form(self, x, kernel):
    """The layer without bias and constant."""
    return conv_transpose(x, kernel, 2, ((0, 1), (0, 1)))


class _Levels(nn.Module):
  """What the two networks share.

  Attributes:
    shape: (32, 32, C) of a picture.
    classes: number of classes if labels are given, else 0.
    resolution: side of the pictures that passes work on; 0: that of `shape`.
  """

  resolutions = RESOLUTIONS

  shape: tuple[int, int, int]
  classes: int = 0
  resolution: int = 0
  norm: str = field(norms.SETTING)
  equalised: bool = field(_EQUALISED)
  bfloat16_from: int = field(precision.SETTING)

  def conv(self, x, name: str, width: int, kind=equal.Conv, **more):
    """A layer without its activation, for a compact method."""
    gain = more.pop('gain', equal.RELU_GAIN)
    if not self.equalised:
      more['kernel_init'], gain = equal.he(gain), None
    return kind(width, gain=gain, name=name, **more)(x)

  def layer(self, x, name: str, width: int, slope, *, train, **more):
    """The same with its activation: conv_NAME and, if it learns, norm_NAME.

    NAME is the side of what it gives.
    """
    more['dtype'] = precision.dtype_at(int(name), self.bfloat16_from)
    bias = self.norm not in CROSS_SAMPLE  # which subtract it again
    x = self.conv(x, f'conv_{name}', width, use_bias=bias, **more)
    return Activation(self.norm, slope, name=f'norm_{name}')(x, train=train)


class Generator(_Levels):
  """Latent vectors to pictures.

  With norm 'pixel' the latent vector lies on the sphere, as in ProGAN.
  """

  width: int = field(
    Setting(8, 'channels of the map nearest the picture', low=1, high=2**14)
  )

  @nn.compact
  def __call__(self, z, labels=None, *, train: bool, alpha=1.0):
    """[N, Z] and labels [N] -> pictures [N, R, R, C] in [-1, 1]."""
    everything = self.is_initializing()
    top = self.shape[0] if everything else self.resolution or self.shape[0]
    if self.norm == 'pixel':
      z = pixel_norm(z)
    x = with_label(z, labels, self.classes)[:, None, None, :]  # [N, 1, 1, Z]
    more = dict(slope=G_SLOPE, train=train)

    def picture(x, side):
      x, name = precision.full(x), f'to_rgb_{side}'
      return self.conv(x, name, self.shape[-1], gain=1.0)

    side, width = 4, self.width * self.shape[0] // 4
    x = self.layer(x, '4', width, kind=equal.Opening, **more)
    below = None
    while side < top:
      if everything or 2 * side == top:
        below = picture(x, side)
      side, width = 2 * side, width // 2
      x = self.layer(x, str(side), width, kind=_Up, **more)
    rgb = picture(x, side)
    if below is not None:
      rgb = fade(double(below), rgb, alpha)
    return jnp.tanh(rgb)


class Discriminator(_Levels):
  """Pictures to one logit each.

  A pass works on the pictures it is given: their side says through which levels
  they go.
  """

  width: int = field(
    Setting(
      4, 'channels of the first map: 4 is K/2, 2 is K/4', low=1, high=2**14
    )
  )
  group_size: int = field(
    Setting(
      1,
      'samples over which the minibatch stddev in front of the last layer is'
      ' taken; 0: the whole batch, 1: D does not see it',
      low=0,
      high=2**16,
    )
  )

  @property
  def per_sample(self) -> bool:
    """Whether a logit depends on its own picture only."""
    return self.norm not in CROSS_SAMPLE and self.group_size == 1

  @nn.compact
  def __call__(
    self, images, labels=None, *, train: bool, alpha=1.0
  ) -> Judgement:
    """[N, R, R, C] and labels [N] -> logits [N], features by resolution.

    Args:
      images: R is 4, 8, 16 or 32.
      labels: as constant one-hot maps behind the picture's channels.
      train: whether in training.
      alpha: how far the level of R px is faded in, [] in [0, 1].

    Raises:
      UserError: in training, if the batch does not fall into groups.
    """
    everything = self.is_initializing()
    while everything and images.shape[1] < self.shape[0]:
      images = double(images)
    images = with_label(images, labels, self.classes)
    side, full = images.shape[1], self.shape[0]
    width = lambda side: self.width * full // (2 * side)

    def from_rgb(side):
      seen = reduce_to(images, side)
      x = self.conv(seen, f'from_rgb_{side}', width(side), kernel_size=1)
      return precision.kept(nn.leaky_relu(x, D_SLOPE), self.bfloat16_from)

    x = images if side == full else from_rgb(side)
    features = {} if side == full else {str(side): precision.full(x)}
    while side > 4:
      side //= 2
      x = self._down(x, side, width(side), train)
      if everything or 2 * side == images.shape[1]:
        x = fade(from_rgb(side), x, alpha)
      features[str(side)] = precision.full(x)
    x = stddev.spread(precision.full(x), self.group_size, train=train)
    close = dict(kernel_size=4, padding='VALID', gain=1.0)
    x = self.conv(x, 'score', 1, **close)
    return Judgement(x[:, 0, 0, 0], features)

  def _down(self, x, side: int, width: int, train: bool):
    """[N, 2 side, 2 side, C] -> [N, side, side, width]."""
    if 2 * side == self.shape[0]:  # the first layer has no norm
      x = self.conv(x, f'conv_{side}', width, stride=2)
      return precision.kept(nn.leaky_relu(x, D_SLOPE), self.bfloat16_from)
    return self.layer(x, str(side), width, D_SLOPE, train=train, stride=2)
