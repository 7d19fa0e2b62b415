"""DiffAugment: random changes of real pictures and fakes in front of D.

Zhao et al. 2020, section 3.3: what D sees is changed, real or not, by functions
that gradient passes through, so that D cannot know few pictures by heart and G
is not drawn to make changed ones. FastGAN trains with colour and translation.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.data.augment import Augmentation, windows
from gan_jax.settings import Setting


class Draws(NamedTuple):
  """What is drawn for a batch of pictures, all of U[0, 1).

  Places are shares of a picture's size, so that one draw serves pictures of
  several sizes.

  Attributes:
    brightness: [N].
    saturation: [N].
    contrast: [N].
    shift: [N, 2], along rows and columns.
    centre: [N, 2], of the hole, its row and column.
  """

  brightness: jax.Array
  saturation: jax.Array
  contrast: jax.Array
  shift: jax.Array
  centre: jax.Array


def draw(key, count: int) -> Draws:
  """The draws for `count` pictures; the same whichever changes are on."""
  u = jax.random.uniform(key, (count, 7))
  return Draws(u[:, 0], u[:, 1], u[:, 2], u[:, 3:5], u[:, 5:7])


def color(pictures, draws: Draws):
  """Brightness, saturation and contrast, in this order.

  Brightness adds U[-0.5, 0.5), saturation multiplies each pixel's distance
  from its mean over channels by U[0, 2) (a grey picture stays as it is),
  contrast each value's distance from the picture's mean by U[0.5, 1.5).

  Args:
    pictures: [N, H, W, C] in [-1, 1]; what comes out may lie outside.
    draws: for N pictures.
  """
  brightness, saturation, contrast = (u[:, None, None, None] for u in draws[:3])
  pictures = pictures + (brightness - 0.5)
  mean = jnp.mean(pictures, axis=-1, keepdims=True)
  pictures = mean + 2.0 * saturation * (pictures - mean)
  mean = jnp.mean(pictures, axis=(1, 2, 3), keepdims=True)
  return mean + (contrast + 0.5) * (pictures - mean)


def translation(pictures, draws: Draws):
  """A shift by up to an eighth of height and width, with 0 where nothing is.

  By whole pixels, up to the side over 8, rounded, to either side.

  Args:
    pictures: [N, H, W, C].
    draws: for N pictures.
  """
  height, width = pictures.shape[1:3]
  rows, columns = (_portion(side, 1 / 8) for side in (height, width))
  border = ((0, 0), (rows, rows), (columns, columns), (0, 0))
  # Of the widened picture the window at `rows` is the picture itself.
  corner = [
    _whole(draws.shift[:, k], 2 * reach + 1)
    for k, reach in enumerate((rows, columns))
  ]
  return windows(
    jnp.pad(pictures, border), jnp.stack(corner, axis=1), (height, width)
  )


def cutout(pictures, draws: Draws):
  """A hole of 0 of half the height and width, with its centre anywhere.

  What of it lies outside is not made up for.

  Args:
    pictures: [N, H, W, C].
    draws: for N pictures.
  """
  rows, columns = (
    _in_hole(draws.centre[:, k], pictures.shape[1 + k]) for k in (0, 1)
  )
  hole = rows[:, :, None, None] & columns[:, None, :, None]
  return jnp.where(hole, 0.0, pictures)


def _in_hole(centre, side: int):
  """Which rows, or columns, are in the hole: bool [N, side]."""
  size = _portion(side, 1 / 2)
  # An even hole has one more place: as much of it can lie outside either way.
  first = _whole(centre, side + 1 - size % 2) - size // 2
  place = jnp.arange(side) - first[:, None]
  return (place >= 0) & (place < size)


def _portion(side: int, share: float) -> int:
  """A share of a side in whole pixels, a half rounded up."""
  return int(side * share + 0.5)


def _whole(u, count: int):
  """U[0, 1) to int32 in [0, count), each as likely as another."""
  # The product is rounded, up to `count` where u is next to 1.
  return jnp.minimum(jnp.floor(u * count), count - 1).astype(jnp.int32)


# In the order in which they are applied, whichever order a config has.
CHANGES: dict[str, Callable] = {
  'color': color,
  'translation': translation,
  'cutout': cutout,
}

SETTINGS = {
  'diff': Setting(
    (),
    'random changes of what D sees, real pictures and fakes (DiffAugment);'
    ' empty: none',
    choices=CHANGES,
  ),
  'scales': Setting(
    'independent',
    'where a fake is a picture and a small one: they are changed each by its'
    ' own draws (FastGAN), or by the same',
    choices=('independent', 'same'),
    when={'diff': True},
  ),
}

# 'color' is defined for these numbers of channels: others are no colours.
CHANNELS = (1, 3)


@dataclasses.dataclass(frozen=True)
class DiffAugment(Augmentation):
  """The changes that a config names, drawn anew for each picture and pass.

  A sample of several pictures (FastGAN's `Scales`) is changed picture by
  picture, and each by itself: on a mesh nothing of a batch passes between
  devices.

  Attributes:
    changes: names of `CHANGES`.
    scales: of a sample of several pictures: 'independent' draws for each of
      them, as the released FastGAN has it, or the 'same' for all.
  """

  changes: tuple[str, ...]
  scales: str = 'independent'

  def __call__(self, samples, carried, key) -> Any:
    """See `Augmentation`; samples are pictures [N, H, W, C]."""
    pictures, tree = jax.tree.flatten(samples)
    keys = [key] * len(pictures)
    if self.scales == 'independent':
      keys = jax.random.split(key, len(pictures))
    changed = map(self._changed, pictures, keys)
    return jax.tree.unflatten(tree, changed)

  def _changed(self, pictures, key):
    draws = draw(key, len(pictures))
    for name, change in CHANGES.items():
      if name in self.changes:
        pictures = change(pictures, draws)
    return pictures


def build(section) -> DiffAugment | None:
  """The augmentation of `config.augment`; None for one that changes nothing."""
  if not section.diff:
    return None
  return DiffAugment(tuple(section.diff), section.scales)
