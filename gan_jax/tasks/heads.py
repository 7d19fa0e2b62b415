"""What the tasks of D have in common: maps by name, heads on their means.

Contrast, aspect ratio and rotation are told from D's maps of real pictures
that were cut or turned, so each costs a pass of D over a batch of such.
"""

from collections.abc import Iterable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.settings import Setting

Array = jax.Array

FEATURES = Setting(
  ('8',), "D's maps that it is told from, by name", filled=True
)


class Head(nn.Module):
  """Maps to numbers: the mean of each channel, then dense layers.

  Attributes:
    width: of the answer.
    hidden: of a layer with ReLU before; 0: none.
  """

  width: int
  hidden: int = 0

  @nn.compact
  def __call__(self, maps: Iterable[Array]) -> Array:
    """Maps [N, h, w, C], of any sides, to [N, width]."""
    x = jnp.concatenate([jnp.mean(x, (1, 2)) for x in maps], 1)
    if self.hidden:
      x = nn.relu(nn.Dense(self.hidden, name='hidden')(x))
    return nn.Dense(self.width, name='out')(x)


def chosen(judgement, names: Iterable[str]) -> list[Array]:
  """Maps of a Judgement by name."""
  return [judgement.features[name] for name in names]


def init(head: Head, names: Iterable[str]):
  """The `terms.Term.init` of a task with a head on D's maps."""

  def start(view, key):
    return head.init(key, chosen(view.on_real, names))['params'], {}

  return start


def check_maps(path: str, names: Iterable[str], shape, features: Mapping):
  """Refuses what a discriminator does not offer to a task.

  Args:
    path: of the setting that names the maps, 'tasks.rotation.features'.
    names: of maps.
    shape: of the samples that D judges; those of a run that grows differ from
      stage to stage.
    features: the shapes of all that it offers, by name.

  Raises:
    UserError: if a name is not among them, or is no map of a picture.
  """
  weight = f'config.{path.rpartition(".")[0]}.weight = 0.0'
  if len(shape) != 3:
    raise UserError(
      f'config.{path}: the task works on pictures, and the samples have the'
      f' shape {"x".join(map(str, shape))}: set {weight}.'
    )
  maps = [name for name, size in features.items() if len(size) == 4]
  maps.sort(key=lambda name: -features[name][1])
  missing = [name for name in names if name not in maps]
  if missing:
    have = (
      f'has the maps {", ".join(map(repr, maps))}: name some of these'
      if maps
      else 'has no maps: take another one'
    )
    raise UserError(
      f'config.{path} names {", ".join(map(repr, missing))}, and of pictures of'
      f' {shape[0]} px config.discriminator {have}, or set {weight}.'
    )


def check(setting: str, names: Iterable[str]):
  """The `terms.Term.check` of a task whose maps one setting names."""
  return lambda path, shape, features, made: check_maps(
    f'{path}.{setting}', names, shape, features
  )


def windows(pictures: Array, corner: Array, size: Array) -> Array:
  """A rectangle of each picture, stretched to the picture's size.

  Linear between pixels, with the mean of those that fall together.

  Args:
    pictures: [N, H, W, C].
    corner: its upper left, [N, 2], rows and columns as shares of 1.
    size: height and width, [N, 2], likewise, so that it lies inside.

  Returns:
    [N, H, W, C].
  """
  side = jnp.asarray(pictures.shape[1:3], jnp.float32)

  def one(picture, corner, size):
    scale = 1.0 / size
    return jax.image.scale_and_translate(
      picture, picture.shape, (0, 1), scale, -corner * side * scale, 'linear'
    )

  return jax.vmap(one)(pictures, corner, size)


def anywhere(key: Array, size: Array) -> Array:
  """Corners [N, 2] at which rectangles of a size [N, 2] lie inside."""
  return jax.random.uniform(key, size.shape) * (1.0 - size)
