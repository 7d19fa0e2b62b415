"""StyleGAN2 (Karras et al. 2020, 2020b): pictures of 32 to 1024 px.

Configuration F of the paper: a mapping network, modulated convolutions, a
generator that sums pictures (skip) and a residual discriminator. `fmap_base` is
32768 in the paper ('full'); at 256 px the released configuration paper256, and
with it GLeaD, has 16384 and groups of 8 for the minibatch's deviation.

The released code of the second paper differs from the first: no number behind a
layer is larger than `clamp`, 256, which its float16 in the upper levels needs.
That is the default; 0.0 is the paper's.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.networks.judgement import Judgement
from gan_jax.networks.made import Made
from gan_jax.nn import equalised as equal
from gan_jax.nn import precision, remat, stddev, style
from gan_jax.nn.resample import down_conv, up_conv, upsample
from gan_jax.nn.style import HALF, activated
from gan_jax.settings import Setting, field

RESOLUTIONS = tuple(2**k for k in range(5, 11))
FULL, PAPER256 = 32768, 16384  # fmap_base
W_AVERAGE = 'w_average'  # the collection of statistics of the mean w
W_DECAY = 0.995  # of it, a training pass


class UpConv(equal.Conv):
  """See `nn.resample.up_conv`."""

  def form(self, x, kernel):
    """The layer without bias and constant."""
    return up_conv(x, kernel)


class DownConv(equal.Conv):
  """See `nn.resample.down_conv`."""

  def form(self, x, kernel):
    """The layer without bias and constant."""
    return down_conv(x, kernel)


class _Levels(nn.Module):
  """What the two networks share.

  Attributes:
    shape: (S, S, C) of a picture; S in `RESOLUTIONS`.
    classes: number of classes if labels are given, else 0.
  """

  resolutions = RESOLUTIONS

  shape: tuple[int, int, int]
  classes: int = 0
  fmap_base: int = field(
    Setting(
      FULL,
      'channels of maps are this divided by their side, at most fmap_max; 16384'
      ' for paper256',
      low=1,
      high=2**22,
    )
  )
  fmap_max: int = field(
    Setting(512, 'most channels of a layer', low=1, high=2**14)
  )
  depth: int = field(
    Setting(8, 'layers of the mapping network', low=1, high=64)
  )
  clamp: float = field(
    Setting(
      256.0, 'largest number behind a layer; 0.0: any', low=0.0, high=1e30
    )
  )
  bfloat16_from: int = field(precision.SETTING)
  remat: str = field(remat.SETTING)

  def width(self, side: int) -> int:
    """Channels of maps of a side."""
    return max(min(self.fmap_base // side, self.fmap_max), 1)

  def dtype(self, side: int):
    """What layers of a level compute in; see `nn.precision`."""
    return precision.dtype_at(side, self.bfloat16_from)


class Generator(_Levels):
  """Latent vectors to pictures; it can be entered at each level.

  A block of side R has the layers conv_R_0, which doubles, and conv_R_1, that
  of 4 px the second only; each takes a w of its own. The picture of block R
  takes the one that the next block's first layer does.
  """

  averages = (W_AVERAGE, style.NOISE_MAPS)

  style_size: int = field(Setting(512, 'numbers of w', low=1, high=2**14))
  form: str = field(
    Setting(
      'skip',
      'skip: the pictures of all levels are summed; residual: maps are, and the'
      ' last level gives the picture',
      choices=('skip', 'residual'),
    )
  )
  noise: str = field(
    Setting(
      'random',
      'random: drawn anew for each sample in training, constant in use; const:'
      ' constant maps; none',
      choices=style.NOISE,
    )
  )

  mixing: float = field(
    Setting(
      0.9,
      'share of the samples in training whose layers take two w, one up to a'
      ' random layer and another from there on',
      low=0.0,
      high=1.0,
    )
  )

  def setup(self):
    """Makes what `styles` uses; `synthesise` makes its layers itself."""
    self.mapping = style.Mapping(self.style_size, self.depth, self.classes)
    self.average = self.variable(
      W_AVERAGE, 'mean', jnp.zeros, (self.style_size,)
    )

  @property
  def enters_with(self) -> tuple[str, ...]:
    """See `made.can_be_entered`."""
    return ('rgb', 'styles') if self.form == 'skip' else ('styles',)

  @property
  def layers(self) -> int:
    """How many w a picture takes, one a layer: 14 at 256 px."""
    return 2 * int(math.log2(self.shape[0])) - 2

  def styles(self, z, labels=None, *, train: bool, truncation=1.0, cutoff=None):
    """The first half of a pass: the w of each layer.

    Args:
      z: [N, Z].
      labels: [N].
      train: whether in training, where the mean w moves and styles are mixed.
      truncation: psi, the distance from the mean w that is kept (StyleGAN,
        appendix B); 1: all of it.
      cutoff: layers that are truncated, from 4 px upwards; None: all.

    Returns:
      [N, L, style_size], L = `layers`.
    """
    mixes = train and self.mixing and not self.is_initializing()
    w, other = self._two(z, labels) if mixes else (self.mapping(z, labels), 0)
    mean = self.average.value
    if train and not self.is_initializing():
      new = jnp.mean(w, 0)
      self.average.value = new + W_DECAY * (mean - new)
    w = jnp.repeat(w[:, None], self.layers, 1)
    if mixes:
      w = jnp.where(self._second(len(z)), other[:, None], w)
    cut = self.layers if cutoff is None else cutoff
    kept = jnp.where(jnp.arange(self.layers) < cut, truncation, 1.0)[:, None]
    return mean + kept * (w - mean)

  def _two(self, z, labels):
    """The w of latents, and of others: normal, as those on a sphere are.

    In one pass, side by side: on several devices the mapping network's gradient
    is then summed once. The others have the same labels.
    """
    other = jax.random.normal(self.make_rng('noise'), z.shape)
    both = jnp.stack([z, other], 1)
    if self.classes:
      labels = jnp.stack([labels, labels], 1)
    w = self.mapping(both, labels)
    return w[:, 0], w[:, 1]

  def _second(self, count: int):
    """Which layers take the second w: style mixing (StyleGAN, section 3.1).

    Whether and from which layer on is drawn for each sample, as that paper's
    "percentage of images" has it; from the second layer at the earliest, so
    that both w are seen.

    Returns:
      Booleans [count, L, 1].
    """
    keys = jax.random.split(self.make_rng('noise'))
    mixed = jax.random.bernoulli(keys[0], self.mixing, (count, 1, 1))
    first = jax.random.randint(keys[1], (count, 1, 1), 1, self.layers)
    return mixed & (jnp.arange(self.layers)[:, None] >= first)

  @nn.compact
  def synthesise(self, styles, start=None, *, train: bool) -> Made:
    """The second half of a pass.

    Args:
      styles: [N, L, style_size], see `styles`; or [N, style_size], one w for
        all layers.
      start: a `networks.Start`, to leave out all layers up to that level; its
        `rgb` is the sum of pictures so far, of no use to a residual G.
      train: whether in training.

    Returns:
      Pictures [N, S, S, C], about in [-1, 1], and each level's map
      [N, side, side, width] by side as text, all float32.
    """
    if styles.ndim == 2:
      styles = jnp.repeat(styles[:, None], self.layers, 1)
    if start is None:
      side, rgb = 4, None
      first = nn.initializers.normal(1.0)
      const = self.param('const', first, (4, 4, self.width(4)))
      x = jnp.broadcast_to(const, (len(styles), *const.shape))
      x = self._layer(x, styles, 4, 1, train)
      rgb = self._picture(x, styles, 4, rgb)
    else:
      side, x, rgb = start
    features = {str(side): precision.full(x)}
    while side < self.shape[0]:
      side *= 2
      block = lambda net, x, side=side: net.doubled(x, styles, side, train)
      x = remat.block(self, block, x)
      features[str(side)] = precision.full(x)
      rgb = self._picture(x, styles, side, rgb)
    return Made(rgb, features)

  def __call__(self, z, labels=None, *, train: bool):
    """[N, Z] and labels [N] -> pictures [N, S, S, C], about in [-1, 1]."""
    styles = self.styles(z, labels, train=train)
    return self.synthesise(styles, train=train).samples

  def doubled(self, x, styles, side: int, train: bool):
    """[N, side / 2, side / 2, C] -> [N, side, side, C']."""
    gain, beside = 1.0, 0.0
    if self.form == 'residual':
      more = dict(kernel_size=1, use_bias=False, gain=HALF)
      more |= dict(dtype=self.dtype(side), name=f'skip_{side}')
      gain, beside = HALF, UpConv(self.width(side), **more)(x)
    x = self._layer(x, styles, side, 0, train, up=True)
    return beside + self._layer(x, styles, side, 1, train, gain=gain)

  def _layer(self, x, styles, side: int, k: int, train: bool, **more):
    layer = style.StyledConv(
      self.width(side),
      noise=self.noise,
      clamp=self.clamp,
      dtype=self.dtype(side),
      name=f'conv_{side}_{k}',
      **more,
    )
    return layer(x, styles[:, _first(side) + k], train=train)

  def _picture(self, x, styles, side: int, below):
    """The sum of pictures [N, side, side, C] up to a level."""
    if self.form == 'residual' and side < self.shape[0]:
      return None
    layer = style.ToRGB(self.shape[-1], self.clamp, name=f'to_rgb_{side}')
    rgb = layer(x, styles[:, _first(side) + 2])
    skips = self.form == 'skip' and below is not None
    return upsample(below) + rgb if skips else rgb


def _first(side: int) -> int:
  """Which w the first layer of a block takes; -1 at 4 px, which has none."""
  return 2 * int(math.log2(side)) - 5


class Discriminator(_Levels):
  """Pictures to one logit each; with classes it is told the label.

  A label enters as a projection: the logit is the product of D's last vector
  with what a mapping network makes of the label (the released code).
  """

  group_size: int = field(stddev.GROUP_SIZE)
  group_layout: str = field(stddev.GROUP_LAYOUT)

  @property
  def per_sample(self) -> bool:
    """Whether a logit depends on its own picture only."""
    return self.group_size == 1

  def check_batch(self, batch: int) -> None:
    """Refuses a batch that does not fall into groups, before it is passed.

    Raises:
      UserError: as a training pass of so many samples would.
    """
    stddev.group_of(batch, self.group_size, train=True)

  @nn.compact
  def __call__(self, images, labels=None, *, train: bool) -> Judgement:
    """[N, S, S, C] and labels [N] -> logits [N], features, all float32.

    Args:
      images: about in [-1, 1].
      labels: of them, with classes.
      train: whether in training.

    Returns:
      A Judgement; its features by side as text: at S the pictures' first map,
      below it what the block of twice the side gives, down to '4', which goes
      into the head.

    Raises:
      UserError: in training, if the batch does not fall into groups.
    """
    side = self.shape[0]
    x = self._layer(images, 'from_rgb', self.width(side), kernel_size=1)
    features = {str(side): x}
    x = x.astype(self.dtype(side) or x.dtype)  # as the next layer has it
    while side > 4:
      x = remat.block(self, lambda net, x, side=side: net.halved(x, side), x)
      side //= 2
      features[str(side)] = precision.full(x)
    how = self.group_size, self.group_layout
    x = stddev.spread(features['4'], *how, train=train)
    x = self._layer(x, 'conv_4', self.width(4))
    x = equal.Dense(self.width(4), name='dense')(x.reshape(len(x), -1))
    x = activated(x)
    if not self.classes:
      return Judgement(equal.Dense(1, name='score')(x)[:, 0], features)
    size = self.width(4)
    told = style.Mapping(size, self.depth, self.classes, name='mapping')
    x = equal.Dense(size, name='score')(x) * told(labels=labels)
    return Judgement(jnp.sum(x, -1) / math.sqrt(size), features)

  def _layer(self, x, name, width, kind=equal.Conv, gain=1.0, **more):
    """A convolution with its activation."""
    x = kind(width, gain=1.0, name=name, **more)(x)
    y = activated(precision.full(x), self.clamp, gain)
    return y.astype(x.dtype)

  def halved(self, x, side: int):
    """[N, side, side, C] -> [N, side / 2, side / 2, C']."""
    dtype, width = self.dtype(side), self.width(side // 2)
    skip = dict(kernel_size=1, use_bias=False, gain=HALF, dtype=dtype)
    beside = DownConv(width, name=f'skip_{side}', **skip)(x)
    own = f'conv_{side}_0', self.width(side)
    x = self._layer(x, *own, dtype=dtype)
    down = f'conv_{side}_1', width, DownConv, HALF
    return beside + self._layer(x, *down, dtype=dtype)
