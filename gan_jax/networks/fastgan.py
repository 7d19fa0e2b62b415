"""FastGAN (Liu et al. 2021): pictures of 64 to 1024 px from few of them.

G doubles a map by nearest neighbours from 4 px on, with gated linear units, and
lets low maps scale the channels of maps 16 times as large (skip-layer
excitation); it gives a small companion with each picture. D judges a picture in
patches, in a residual branch and in a plain one that sees it at 128 px; what
makes it an encoder is the task `autoencode`. Every convolution has spectral
norm and no bias.

Where paper and released code differ, the defaults are the released code's but
for the tanh; the paper's choices are `PAPER`. The released networks are of 256,
512 and 1024 px. Smaller pictures, which are ours, leave out what lies above: G
ends at their side, and D's stem, a 3x3 layer, goes straight to the map of that
side with the channels that it has there in the larger networks (128 px: 32, 64
px: 64). The second branch of a D of 64 px likewise begins one layer later.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.networks.judgement import Judgement
from gan_jax.networks.made import Scales
from gan_jax.networks.upsample import DoublingConv
from gan_jax.nn import norm as norms
from gan_jax.nn import precision, remat
from gan_jax.nn.conv import Conv, ConvTranspose
from gan_jax.nn.excitation import ACTIVATIONS, Excitation
from gan_jax.nn.labels import with_label
from gan_jax.nn.levels import nearest, reduce_to
from gan_jax.nn.norm import CROSS_SAMPLE, normalise
from gan_jax.nn.spectral import COLLECTION, spectral_norm
from gan_jax.settings import Setting, field

RESOLUTIONS = (64, 128, 256, 512, 1024)
SMALL = 128  # side of the companion, at most
TOP = 256  # side of D's first map, at most
REACH = 16  # an excitation's high map is so many times as large as its low one
D_REACH = 8

# Channels by the side of a map, in widths.
G_CHANNELS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1}
G_CHANNELS |= {256: 1 / 2, 512: 1 / 4, 1024: 1 / 8}
D_CHANNELS = {512: 1 / 8, 256: 1 / 4, 128: 1 / 2, 64: 1, 32: 2, 16: 4, 8: 8}
D_CHANNELS |= {4: 16}  # within the head

# What the paper says where the released code does other than the defaults.
PAPER = {
  'generator': dict(
    sle_from=(8, 16, 32),
    sle_act='leaky_relu',
    doubled=(),
    noise=False,
    small=False,
    top_width=3,
  ),
  'discriminator': dict(gates=False, small=False, top_width=3),
}

_WIDTH = Setting(
  64,
  'channels of the map of 128 px in G, of 64 px in D, which those of the others'
  ' follow; 64 is released',
  low=1,
  high=2**12,
)
_TOP_WIDTH = Setting(
  0,
  'channels of maps of 512 px and above; 0: a quarter and an eighth of width,'
  ' as released; the paper has 3',
  low=0,
  high=2**12,
)


def _scale_init(key, shape, dtype=jnp.float32):
  """N(1, 0.02), of norms."""
  return 1.0 + 0.02 * jax.random.normal(key, shape, dtype)


class Norm(nn.Module):
  """A normalisation layer; see `nn.norm.normalise`."""

  norm: str

  @nn.compact
  def __call__(self, x, *, train: bool):
    """[N, H, W, C] -> [N, H, W, C]."""
    return normalise(x, self.norm, train=train, scale_init=_scale_init)


class Noise(nn.Module):
  """Adds a picture of N(0, 1), the same for all channels, times a strength.

  The strength is learned and 0 at first. In training each sample of each pass
  has a draw of its own. In use, ours, all samples of a layer have one draw by
  the stream 'noise', so that a latent vector gives one picture in whatever
  batch; without such a stream there is none. The released code draws anew.
  """

  @nn.compact
  def __call__(self, x, *, train: bool):
    """[N, H, W, C] -> [N, H, W, C]."""
    strength = self.param('strength', nn.initializers.zeros, (1,))
    count = len(x) if train else 1
    if train or self.has_rng('noise'):
      drawn = strength * self.draw((count, *x.shape[1:3], 1))
      x = (precision.full(x) + drawn).astype(x.dtype)
    return x

  def draw(self, shape):
    """The noise of a pass, [N or 1, H, W, 1]."""
    return jax.random.normal(self.make_rng('noise'), shape)


class _FastGAN(nn.Module):
  """What the two networks share.

  Attributes:
    shape: (S, S, C) of a picture; S in `RESOLUTIONS`.
    classes: number of classes if labels are given, else 0. FastGAN has none;
      ours enter as DCGAN's do.
    norm: of all layers but those to pictures, of gates and next to pictures.
  """

  resolutions = RESOLUTIONS
  averages = (COLLECTION,)

  shape: tuple[int, int, int]
  classes: int = 0
  width: int = field(_WIDTH)
  top_width: int = field(_TOP_WIDTH)
  norm: str = field(norms.SETTING)
  remat: str = field(remat.SETTING)
  bfloat16_from: int = field(precision.SETTING)

  def channels(self, shares, side: int) -> int:
    """Of the maps of a side; `shares` is one of the tables above."""
    if self.top_width and side >= 512:
      return self.top_width
    return max(int(shares[side] * self.width), 1)

  def dtype(self, side: int):
    """What layers of a level compute in; see `nn.precision`."""
    return precision.dtype_at(side, self.bfloat16_from)

  def conv(self, x, name: str, width: int, kind=Conv, *, train: bool, **more):
    """The layer conv_NAME, for a compact method; its kernel is 3x3."""
    more = dict(kernel_size=3) | more
    layer = kind(width, use_bias=False, name=f'conv_{name}', **more)
    return spectral_norm(layer, True, train=train)(x)


class Generator(_FastGAN):
  """Latent vectors to pictures, with a small companion each."""

  sle_from: tuple[int, ...] = field(
    Setting(
      (4, 8, 16, 32),
      f'sides of the maps that excite those {REACH} times as large; the paper'
      ' has (8, 16, 32); (): no skip layers, as the baseline of Table 2',
      choices=(4, 8, 16, 32),
      entry=int,
    )
  )
  sle_act: str = field(
    Setting(
      'swish',
      'activation within an excitation; the paper has leaky_relu',
      choices=ACTIVATIONS,
    )
  )
  doubled: tuple[int, ...] = field(
    Setting(
      (8, 32, 128, 512),
      'sides of the levels with two layers, the others have one; the paper has'
      ' none with two',
      choices=(8, 16, 32, 64, 128, 256, 512, 1024),
      entry=int,
    )
  )
  noise: bool = field(
    Setting(True, 'whether noise is added at levels with two layers')
  )
  small: bool = field(
    Setting(True, 'whether each picture has a companion of 128 px or less')
  )
  final_tanh: str = field(
    Setting(
      'all',
      'which pictures end in tanh; official: those of 1024 px only',
      choices=('all', 'official'),
    )
  )

  @property
  def gates(self) -> tuple[int, ...]:
    """Sides of the maps that are excited."""
    return tuple(
      side
      for side in G_CHANNELS
      if side <= self.shape[0] and side // REACH in self.sle_from
    )

  def __call__(self, z, labels=None, *, train: bool):
    """[N, Z] and labels [N] -> `Scales`, or without `small` [N, S, S, C]."""
    return self._pass(z, labels, {}, train)[0]

  def drivers(self, z, labels=None, *, train: bool) -> dict:
    """The low maps that excite others, by the sides of those (`gates`).

    They lie below every gate, so that nothing has excited them.
    """
    maps = self._pass(z, labels, {}, train)[1]
    return {side: maps[side // REACH] for side in self.gates}

  def mixed(self, z, drivers, labels=None, *, train: bool):
    """As a call, but other samples' low maps excite (the paper's Figure 7).

    Args:
      z: whose maps are excited, [N, Z].
      drivers: what `drivers` gives of N samples, or some of its entries; the
        other maps are excited by the samples' own.
      labels: of z.
      train: whether in training.
    """
    return self._pass(z, labels, drivers, train)[0]

  @nn.compact
  def _pass(self, z, labels, drivers, train: bool):
    """The samples, and the maps of all levels by their sides."""
    top = self.shape[0]
    x = with_label(z, labels, self.classes)[:, None, None, :]  # [N, 1, 1, Z]
    opening = dict(kind=ConvTranspose, kernel_size=4, stride=1, padding=0)
    side = 4
    x = self._layer(x, side, '4', False, train=train, **opening)
    maps = {side: x}
    while side < top:
      side *= 2
      block = lambda net, x, side=side: net.up(x, side, train)
      x = remat.block(self, block, x)
      if side in self.gates:
        gate = Excitation(self.sle_act, name=f'gate_{side}')
        low = drivers.get(side, maps[side // REACH])
        x = gate(low, x, train=train)
      maps[side] = x
    image = self._picture(x, 'image', 3, train)
    if not self.small:
      return image, maps
    low = maps[min(top, SMALL)]
    return Scales(image, self._picture(low, 'small', 1, train)), maps

  def up(self, x, side: int, train: bool):
    """[N, side / 2, side / 2, C] -> [N, side, side, C'], not excited yet."""
    two = side in self.doubled
    more = dict(noise=two and self.noise, train=train)
    x = self._layer(x, side, f'{side}_0', kind=DoublingConv, **more)
    return self._layer(x, side, f'{side}_1', **more) if two else x

  def _layer(self, x, side: int, name: str, noise: bool, *, train, **more):
    """A convolution, noise, norm and gated linear unit."""
    width = self.channels(G_CHANNELS, side)
    more['dtype'] = self.dtype(side)
    x = self.conv(x, name, 2 * width, train=train, **more)
    if noise:
      x = Noise(name=f'noise_{name}')(x, train=train)
    x = Norm(self.norm, name=f'norm_{name}')(x, train=train)
    return jax.nn.glu(x)  # the first half times the sigmoid of the second

  def _picture(self, x, name: str, kernel: int, train: bool):
    """[N, side, side, width] -> [N, side, side, C]."""
    more = dict(kernel_size=kernel, train=train)
    x = self.conv(precision.full(x), name, self.shape[-1], **more)
    ends = self.final_tanh == 'all' or self.shape[0] == 1024
    return jnp.tanh(x) if ends else x


class Discriminator(_FastGAN):
  """Pictures to logits of patches: 25 of each branch."""

  gates: bool = field(
    Setting(
      True,
      f'whether maps excite those {D_REACH} times as small; the paper has none',
    )
  )
  small: bool = field(
    Setting(True, 'whether a second branch judges pictures of 128 px or less')
  )

  @property
  def per_sample(self) -> bool:
    """Whether a logit depends on its own picture only."""
    return self.norm not in CROSS_SAMPLE

  @nn.compact
  def __call__(self, images, labels=None, *, train: bool) -> Judgement:
    """Pictures and labels [N] -> logits [N, 50], or [N, 25] without `small`.

    Args:
      images: `Scales`; or [N, H, W, C], which each branch sees at its own side
        by nearest neighbours.
      labels: as constant one-hot maps behind the pictures' channels.
      train: whether in training.

    Returns:
      A Judgement: logits are all of the first branch, row by row, then all of
      the second; features '256' (or '128', '64') to '8' of the first branch,
      excited, 'small_64' to 'small_8' of the second, which has no map of 64 px
      if pictures have no more.
    """
    side = self.shape[0]
    if not isinstance(images, Scales):
      images = Scales(images, images)
    seen = with_label(nearest(images.image, side), labels, self.classes)
    features = self._residual(seen, side, train)
    more = dict(kernel_size=1, train=train, dtype=self.dtype(8))
    x = self._layer(features['8'], 'head', self._width(4), **more)
    logits = [self._logits(x, 'score', train)]
    if self.small:
      side = min(side, SMALL)
      seen = with_label(nearest(images.small, side), labels, self.classes)
      below = self._plain(seen, side, train)
      features |= {f'small_{side}': x for side, x in below.items()}
      logits.append(self._logits(below[8], 'small_score', train))
    features = jax.tree.map(precision.full, features)
    return Judgement(jnp.concatenate(logits, -1), features)

  def _width(self, side: int) -> int:
    return self.channels(D_CHANNELS, side)

  def _layer(self, x, name: str, width: int, norm=True, *, train, **more):
    """A convolution, norm and LeakyReLU."""
    x = self.conv(x, name, width, train=train, **more)
    if norm:
      x = Norm(self.norm, name=f'norm_{name}')(x, train=train)
    return nn.leaky_relu(x, 0.2)

  def _logits(self, x, name: str, train: bool):
    """[N, 8, 8, C] -> [N, 25]."""
    x = precision.full(x)
    x = self.conv(x, name, 1, kernel_size=4, padding='VALID', train=train)
    return x.reshape(len(x), -1)

  def _halved(self, x, name: str, width: int, norm=True, *, train):
    """To half the side, by a 4x4 layer; one without a norm is the first."""
    more = dict(kernel_size=4, stride=2, padding=1)
    if norm:
      more['dtype'] = self.dtype(x.shape[1] // 2)
    x = self._layer(x, name, width, norm, train=train, **more)
    return x if norm else precision.kept(x, self.bfloat16_from)

  def _residual(self, x, side: int, train: bool) -> dict:
    """The first branch's maps by side as text, each half the one before."""
    if side <= TOP:
      x = self._layer(x, 'stem', self._width(side), False, train=train)
      x = precision.kept(x, self.bfloat16_from)
    while side > TOP:
      side //= 2
      first = side == self.shape[0] // 2
      name = 'stem' if first else f'stem_{side}'
      x = self._halved(x, name, self._width(side), not first, train=train)
    maps = {side: x}
    while side > 8:
      side //= 2
      block = lambda net, x, side=side: net.down(x, side, train)
      x = remat.block(self, block, x)
      if self.gates and D_REACH * side in maps:
        gate = Excitation(name=f'gate_{side}')
        x = gate(maps[D_REACH * side], x, train=train)
      maps[side] = x
    return {str(side): x for side, x in maps.items()}

  def down(self, x, side: int, train: bool):
    """[N, 2 side, 2 side, C] -> [N, side, side, C'], not excited yet."""
    width, beside = self._width(side), reduce_to(x, side)
    more = dict(dtype=self.dtype(side), train=train)
    x = self._halved(x, f'{side}_0', width, train=train)
    x = self._layer(x, f'{side}_1', width, **more)
    more['kernel_size'] = 1
    return (x + self._layer(beside, f'{side}_skip', width, **more)) / 2

  def _plain(self, x, side: int, train: bool) -> dict:
    """The second branch's maps by side."""
    maps, norm = {}, False  # the first layer has none
    while side > 8:
      side //= 2
      own = f'small_{side}', max(self._width(side) // 2, 1), norm
      block = lambda net, x, own=own: net._halved(x, *own, train=train)
      x = remat.block(self, block, x)
      maps[side], norm = x, True
    return maps
