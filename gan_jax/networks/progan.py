"""ProGAN (Karras et al. 2018): pictures of 4 to 1024 px, a level a doubling.

Table 2 of the paper, with all of its toRGB and fromRGB layers. Parameters of
all levels exist from the start; `resolution` says which of them a pass goes
through, and `alpha` how far the highest of these is faded in. The low-capacity
networks of section 6.1 have fmap_base 2048, those of the released CIFAR-10
experiment fmap_base 4096, fmap_max 128 and latents of 128.

Where paper and released code differ, the default is the paper's: D's blocks
average behind the activation, see `fused_scale_order`; and the one-hot label
stands behind a latent vector that lies on the sphere, see `sphere`. Settings
that Table 2 knows one value of are for the rows of Table 1, which take layers
out one by one.
"""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp

from gan_jax.networks.judgement import Judgement
from gan_jax.networks.made import Made
from gan_jax.nn import equalised as equal
from gan_jax.nn import noise, precision, remat, stddev
from gan_jax.nn import norm as norms
from gan_jax.nn.discrimination import MinibatchDiscrimination
from gan_jax.nn.labels import with_label
from gan_jax.nn.levels import double, fade, reduce_to
from gan_jax.nn.norm import CROSS_SAMPLE, normalise, pixel_norm
from gan_jax.settings import Setting, field

RESOLUTIONS = tuple(2**k for k in range(2, 11))
NOISE = 'adaptive_noise'  # the collection of D's statistics that drives it

_BASE = Setting(
  8192,
  'channels at 2 px before fmap_max; each doubling of the side halves them',
  low=1,
  high=2**20,
)
_DECAY = Setting(
  1.0, 'halvings of the channels a doubling of the side', low=0.0, high=16.0
)
_MAX = Setting(512, 'most channels of a layer', low=1, high=2**14)
_SLOPE = Setting(0.2, 'of LeakyReLU below zero; 0.0: ReLU', low=0.0, below=1.0)
_EQUALISED = Setting(
  True, "whether He's constant multiplies at run time, not at the first draw"
)


def _norm(default: str) -> Setting:
  text = "of each 3x3 and 4x4 layer; 'pixel' stands behind the activation"
  return dataclasses.replace(norms.SETTING, default=default, text=text)


class Activation(nn.Module):
  """LeakyReLU and the normalisation of a layer.

  Attributes:
    norm: one of `nn.norm.NORMS`; 'pixel' goes behind the activation, as in the
      paper, all others before it.
    slope: of LeakyReLU.
  """

  norm: str
  slope: float

  @nn.compact
  def __call__(self, x, *, train: bool):
    """[N, H, W, C] -> [N, H, W, C]."""
    if self.norm != 'pixel':
      x = normalise(x, self.norm, train=train)
    x = nn.leaky_relu(x, self.slope)
    return pixel_norm(x) if self.norm == 'pixel' else x


class _Levels(nn.Module):
  """What the two networks share.

  Attributes:
    shape: (H, W, C) of a picture; H = W in `RESOLUTIONS`.
    classes: number of classes if labels are given, else 0.
    resolution: side of the pictures that passes work on; 0: that of `shape`.
  """

  resolutions = RESOLUTIONS

  shape: tuple[int, int, int]
  classes: int = 0
  resolution: int = 0
  fmap_base: int = field(_BASE)
  fmap_decay: float = field(_DECAY)
  fmap_max: int = field(_MAX)
  norm: str = field(norms.SETTING)
  slope: float = field(_SLOPE)
  equalised: bool = field(_EQUALISED)
  bfloat16_from: int = field(precision.SETTING)
  remat: str = field(remat.SETTING)

  def width(self, side: int) -> int:
    """Channels of maps of a side; of D's last vector at 2."""
    halved = int(self.fmap_base / (side / 2) ** self.fmap_decay)
    return max(min(halved, self.fmap_max), 1)

  def conv(self, x, name: str, width: int, kind=equal.Conv, **more):
    """A layer without its activation, for a compact method."""
    gain = more.pop('gain', equal.RELU_GAIN)
    if not self.equalised:
      more['kernel_init'], gain = equal.he(gain), None
    return kind(width, gain=gain, name=name, **more)(x)

  def dtype(self, side: int):
    """What 3x3 and 4x4 layers of a level compute in; see `nn.precision`."""
    return precision.dtype_at(side, self.bfloat16_from)

  def layer(
    self, x, side: int, k: int, width: int, kind=equal.Conv, *, train, **more
  ):
    """A level's layer k with its activation: conv_SIDE_K, norm_SIDE_K."""
    name, dtype = f'{side}_{k}', self.dtype(side)
    x = self.conv(x, f'conv_{name}', width, kind, dtype=dtype, **more)
    act = Activation(self.norm, self.slope, name=f'norm_{name}')
    return act(x, train=train)


class Generator(_Levels):
  """Latent vectors to pictures; it can be entered at each level."""

  enters_with = ()

  norm: str = field(_norm('pixel'))
  sphere: str = field(
    Setting(
      'latent',
      'what is brought to length sqrt(size): the latent vector; it and the'
      ' label behind it together, as in the TensorFlow release; nothing',
      choices=('latent', 'joint', 'none'),
    )
  )
  tanh: bool = field(Setting(False, 'whether pictures end in tanh'))

  def styles(self, z, labels=None, *, train: bool):
    """[N, Z] and labels [N] -> what goes into the first layer, [N, Z + K]."""
    del train  # the same in training and use
    if self.sphere == 'latent':
      z = pixel_norm(z)
    z = with_label(z, labels, self.classes)
    return pixel_norm(z) if self.sphere == 'joint' else z

  @nn.compact
  def synthesise(self, styles, start=None, *, train: bool, alpha=1.0) -> Made:
    """The second half of a pass.

    Args:
      styles: see `styles`.
      start: a `networks.Start`, to leave out all layers before it; its `rgb`,
        if any, stands for the picture that its features would give.
      train: whether in training.
      alpha: how far the highest level is faded in, [] in [0, 1].

    Returns:
      Pictures [N, R, R, C], and each level's map [N, side, side, width], all
      float32.
    """
    everything = self.is_initializing()
    top = self.shape[0] if everything else self.resolution or self.shape[0]

    def picture(side, x):
      if start and side == start.level and start.rgb is not None:
        return start.rgb
      x, name = precision.full(x), f'to_rgb_{side}'
      return self.conv(x, name, self.shape[-1], kernel_size=1, gain=1.0)

    if start is None:
      side, x = 4, styles[:, None, None, :]  # [N, 1, 1, Z + K]
      x = self.layer(x, 4, 0, self.width(4), equal.Opening, train=train)
      x = self.layer(x, 4, 1, self.width(4), train=train)
    else:
      side, x = start.level, start.features
    features, below = {str(side): precision.full(x)}, None
    while side < top:
      if everything or 2 * side == top:
        below = picture(side, x)
      side *= 2
      block = lambda net, x, side=side: net.doubled(x, side, train)
      x = remat.block(self, block, x)
      features[str(side)] = precision.full(x)
    rgb = picture(side, x)
    if below is not None:
      rgb = fade(double(below), rgb, alpha)
    return Made(jnp.tanh(rgb) if self.tanh else rgb, features)

  def doubled(self, x, side: int, train: bool):
    """[N, side / 2, side / 2, C] -> [N, side, side, width], in synthesise."""
    width = self.width(side)
    x = self.layer(x, side, 0, width, equal.UpConv, train=train)
    return self.layer(x, side, 1, width, train=train)

  def __call__(self, z, labels=None, *, train: bool, alpha=1.0):
    """[N, Z] and labels [N] -> pictures [N, R, R, C], about in [-1, 1]."""
    styles = self.styles(z, labels, train=train)
    return self.synthesise(styles, train=train, alpha=alpha).samples


class Discriminator(_Levels):
  """Pictures to one logit each, and one a class if there are classes.

  It is not told the labels. A pass works on the pictures it is given: their
  side says through which levels they go.
  """

  tells_classes = True

  norm: str = field(_norm('none'))
  group_size: int = field(stddev.GROUP_SIZE)
  group_layout: str = field(stddev.GROUP_LAYOUT)
  discrimination: int = field(
    Setting(
      0,
      'kernels of minibatch discrimination (Salimans et al. 2016) behind the'
      ' last 4x4 layer; 0: none. Row e* of Table 1 has 100, and group_size 1',
      low=0,
      high=2**12,
    )
  )
  fused_scale_order: bool = field(
    Setting(
      False,
      'whether blocks average before bias and activation, as the released code'
      ' with its fused layers, not behind them',
    )
  )

  adaptive_noise: float = field(
    Setting(
      0.0,
      'factor of the multiplicative noise before 3x3 and 4x4 layers, which'
      ' grows as fakes are found out (appendix B, 0.2 there); 0.0: none',
      low=0.0,
      high=100.0,
    )
  )

  @property
  def per_sample(self) -> bool:
    """Whether a logit depends on its own picture only."""
    apart = self.norm not in CROSS_SAMPLE and not self.discrimination
    return apart and self.group_size == 1

  def check_batch(self, batch: int) -> None:
    """Refuses a batch that does not fall into groups, before it is passed.

    Raises:
      UserError: as a training pass of so many samples would.
    """
    stddev.group_of(batch, self.group_size, train=True)

  def advance(self, stats, real, fake):
    """The statistics after an update on these scores; no pass moves them.

    What noise follows is D's answer to fakes: with the loss that it belongs to,
    'inverted_least_squares', it is near 1 where D finds them out.

    Args:
      stats: collections by name.
      real: D's logits of real samples.
      fake: of fakes.
    """
    del real
    if not self.adaptive_noise:
      return stats
    average = noise.advance(stats[NOISE]['average'], jnp.mean(fake))
    return stats | {NOISE: {'average': average}}

  @nn.compact
  def __call__(
    self, images, labels=None, *, train: bool, alpha=1.0
  ) -> Judgement:
    """[N, R, R, C] -> logits [N], features by resolution, all float32.

    Args:
      images: R is 4, 8, ... up to the side of `shape`.
      labels: not looked at.
      train: whether in training.
      alpha: how far the level of R px is faded in, [] in [0, 1].

    Raises:
      UserError: in training, if the batch does not fall into groups.
    """
    del labels
    if self.adaptive_noise and train:
      self.variable(NOISE, 'average', lambda: jnp.float32(0.0))
    everything = self.is_initializing()
    if everything:
      images = _enlarged(images, self.shape[0])
    top = side = images.shape[1]

    def from_rgb(side):
      seen = reduce_to(images, side)
      x = self.conv(seen, f'from_rgb_{side}', self.width(side), kernel_size=1)
      x = nn.leaky_relu(x, self.slope)
      return x.astype(self.dtype(side) or x.dtype)  # as the next layer has it

    x, features = from_rgb(side), {}
    while side > 4:
      block = lambda net, x, side=side: net.halved(x, side, train)
      seen, x = remat.block(self, block, x)
      features[str(side)] = precision.full(seen)
      side //= 2
      if everything or 2 * side == top:
        x = fade(from_rgb(side), x, alpha)
    how = self.group_size, self.group_layout
    x = stddev.spread(x, *how, train=train)
    x = self.layer(x, 4, 0, self.width(4), train=train)
    features['4'] = precision.full(x)
    close = dict(kernel_size=4, padding='VALID')
    x = precision.full(self.layer(x, 4, 1, self.width(2), train=train, **close))
    if self.discrimination:
      beside = MinibatchDiscrimination(self.discrimination, name='beside')
      x = beside(x[:, 0, 0])[:, None, None]
    x = self.conv(x, 'score', 1 + self.classes, kernel_size=1, gain=1.0)
    x = x[:, 0, 0]  # [N, 1 + K]
    return Judgement(x[:, 0], features, x[:, 1:] if self.classes else None)

  def layer(self, x, side: int, k: int, width: int, *kind, train, **more):
    """See `_Levels`; with noise before it, in training."""
    if self.adaptive_noise and train:
      average = self.get_variable(NOISE, 'average')
      strength = noise.strength(average, self.adaptive_noise)
      x = noise.multiplied(x, strength, self.make_rng('noise'))
    return super().layer(x, side, k, width, *kind, train=train, **more)

  def halved(self, x, side: int, train: bool):
    """[N, side, side, C] -> its first layer's map, and the next level's."""
    first = self.layer(x, side, 0, self.width(side), train=train)
    width = self.width(side // 2)
    if self.fused_scale_order:
      return first, self.layer(
        first, side, 1, width, equal.DownConv, train=train
      )
    x = self.layer(first, side, 1, width, train=train)
    return first, reduce_to(x, side // 2)


def _enlarged(images, side: int):
  """[N, H, W, C] -> [N, side, side, C], by nearest neighbours."""
  while images.shape[1] < side:
    images = double(images)
  return images
