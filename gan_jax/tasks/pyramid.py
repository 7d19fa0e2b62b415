"""GLeaD's decoder h: D's maps, from 4 px upwards (Bai et al. 2023, Table 5).

As released, and the paper says no more: from level to level a 1x1 convolution,
linear and at an equalised rate, a doubling by StyleGAN2's filter, and the bias,
which stands behind the filter so that borders have as much of it as the middle.
From the second level on D's map of that side is put behind what has come from
below. A map of D of side r is what the block of 2r px gives, in StyleGAN2's D;
in others the one of that name.
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.networks.stylegan2 import UpConv
from gan_jax.tasks.heads import check_maps

Array = jax.Array

FIRST = 4  # px, of the map it begins with
SIDES = tuple(2**k for k in range(3, 9))  # to which it may go


def between(side: int) -> tuple[int, ...]:
  """The sides of the levels up to one: 8, 16, ... side."""
  return tuple(k for k in SIDES if k <= side)


class Pyramid(nn.Module):
  """D's maps to one.

  Attributes:
    widths: (side, channels) of each level, from 8 px up; () for the map at 4 px
      as it is.
  """

  widths: Sequence[tuple[int, int]]

  @nn.compact
  def __call__(self, maps: Mapping[str, Array]) -> Array:
    """D's features by name -> [N, side, side, channels]."""
    x = maps[str(FIRST)]
    for side, width in self.widths:
      if side > 2 * FIRST:
        x = jnp.concatenate([x, maps[str(side // 2)]], -1)
      x = UpConv(width, kernel_size=1, gain=1.0, name=f'up_{side}')(x)
    return x


def as_wide_as(maps: Mapping[str, Array], side: int) -> tuple:
  """`widths` up to a side, those of D's maps of these sides, as released."""
  return tuple((k, maps[str(k)].shape[-1]) for k in between(side))


def of(own) -> Pyramid:
  """The one that parameters belong to; what lies beside them is not asked."""
  sides = (int(name[3:]) for name in own if name.startswith('up_'))
  return Pyramid(tuple((k, own[f'up_{k}']['bias'].size) for k in sorted(sides)))


def check(path: str, side: int, shape, features: Mapping) -> None:
  """Refuses a side up to which D has no maps.

  Args:
    path: of the setting, such as 'tasks.lead.resolution'.
    side: where the pyramid ends.
    shape: of the samples that D judges.
    features: shapes of D's features by name.

  Raises:
    UserError: see `heads.check_maps`.
  """
  names = [str(k) for k in (FIRST, *between(side))]
  check_maps(path, names, shape, features)


def check_entry(path: str, side: int, most: int, made: Mapping) -> None:
  """Refuses a side at which G has no map to be replaced, or compared with.

  Args:
    path: of the setting, such as 'tasks.lead.resolution'.
    side: of the map.
    most: the largest side that makes sense.
    made: shapes of G's features by name.

  Raises:
    UserError: if G has no such map.
  """
  section = path.rpartition('.')[0]
  have = sorted(size[1] for size in made.values() if size[1] <= most)
  if side not in have:
    found = (
      f'maps of {", ".join(map(str, have))} px: name one of these'
      if have
      else 'no map: begin with larger pictures'
    )
    raise UserError(
      f'config.{path} = {side}, and up to {most} px config.generator has'
      f' {found}, or set config.{section}.weight = 0.0.'
    )
