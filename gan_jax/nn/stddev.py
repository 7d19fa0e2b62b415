"""Minibatch standard deviation: what tells D how much its samples vary.

A network that offers it has a field `group_size` with `GROUP_SIZE` and may have
`group_layout` with `GROUP_LAYOUT`, and passes its map through `spread`.
"""

import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.nn import precision
from gan_jax.settings import Setting

# How the samples of a batch fall into M groups of G: neighbours, which on a
# mesh lie on one device; or sample g M + m is member g of group m, as in
# NVIDIA's released networks, whose groups then cross devices.
LAYOUTS = ('contiguous', 'strided')

GROUP_SIZE = Setting(
  4,
  'samples over which the minibatch stddev is taken; 0: the whole batch, 1:'
  ' D does not see it',
  low=0,
  high=2**16,
)
GROUP_LAYOUT = Setting(
  'contiguous',
  'which samples are a group: neighbours, or each batch/group_size-th, as'
  ' in the released networks',
  choices=LAYOUTS,
)


def group_of(count: int, wanted: int, *, train: bool) -> int:
  """Samples of a group.

  Args:
    count: samples of the batch.
    wanted: of a group; 0 for the whole batch, which is also what a smaller
      batch gives.
    train: whether the batch is a training run's, and not what some job has
      put together.

  Returns:
    `wanted` or `count`. In use, where `wanted` does not divide the batch, the
    largest number below it that does.

  Raises:
    UserError: if that happens in training.
  """
  size = min(wanted or count, count)
  if count % size and train:
    raise UserError(
      f'A batch of {count} samples does not fall into groups of {size}: set'
      ' config.discriminator.group_size to a divisor of every batch of the run,'
      ' or to 0 for the whole batch.'
    )
  return next(k for k in range(size, 0, -1) if count % k == 0)


def minibatch_stddev(x, group: int, layout: str = 'contiguous'):
  """Appends a map of how much a group of samples varies (ProGAN, section 3).

  The deviation over a group of each number of a map, with the biased variance
  and 1e-8 inside the root, averaged over the map: one number a group, computed
  in float32 at least.

  Args:
    x: [N, H, W, C].
    group: samples of a group, a divisor of N.
    layout: one of `LAYOUTS`.

  Returns:
    [N, H, W, C + 1].
  """
  count = len(x) // group
  strided = layout == 'strided'
  groups = (group, count) if strided else (count, group)
  parts = precision.full(x).reshape(*groups, *x.shape[1:])
  deviation = jnp.sqrt(jnp.var(parts, axis=0 if strided else 1) + 1e-8)
  found = jnp.mean(deviation, (1, 2, 3))  # [M]
  each = jnp.tile(found, group) if strided else jnp.repeat(found, group)
  wide = jnp.broadcast_to(each[:, None, None, None], (*x.shape[:-1], 1))
  return jnp.concatenate([x, wide.astype(x.dtype)], -1)


def spread(x, size: int, layout: str = 'contiguous', *, train: bool):
  """A map with the deviation of its groups behind its channels.

  Args:
    x: [N, H, W, C].
    size: samples of a group, see `group_of`; 1 leaves the map as it is.
    layout: one of `LAYOUTS`.
    train: see `group_of`.

  Returns:
    [N, H, W, C + 1], or x.

  Raises:
    UserError: see `group_of`.
  """
  if size == 1:
    return x
  return minibatch_stddev(x, group_of(len(x), size, train=train), layout)
