"""Inception-v3 in the form that FID is defined by, for inference only.

The network of Szegedy et al. 2015 as TensorFlow published it in December
2015, of 1008 outputs. It differs from the usual form in its average pools,
which leave the padding out of the count, and in a max pool in its last block.
Batch normalisation (epsilon 0.001) is folded into the convolutions when
weights are converted (`gan_jax.convert.feature_nets`).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nn.conv import Conv

Array = jax.Array

SIZE = 299
CLASSES = 1008  # fewer means other weights than FID's


def _windows(x: Array, axis: int, stride: int) -> list[Array]:
  """The three shifted views of windows of 3 along an axis."""
  count = (x.shape[axis] - 3) // stride + 1
  stop = (count - 1) * stride + 1
  return [jax.lax.slice_in_dim(x, i, i + stop, stride, axis) for i in range(3)]


def _max_pool(x: Array, stride: int) -> Array:
  """Maxima of 3x3 windows; without stride, the size is kept."""
  # Slices: XLA's own windows are ten times slower on the CPU.
  for axis in (1, 2):
    if stride == 1:
      pads = [(1, 1) if i == axis else (0, 0) for i in range(4)]
      x = jnp.pad(x, pads, constant_values=-jnp.inf)
    a, b, c = _windows(x, axis, stride)
    x = jnp.maximum(jnp.maximum(a, b), c)
  return x


def _mean_pool(x: Array) -> Array:
  """Means of 3x3 windows of the pixels there are; the size is kept."""
  for axis in (1, 2):
    n = x.shape[axis]
    pads = [(1, 1) if i == axis else (0, 0) for i in range(4)]
    a, b, c = _windows(jnp.pad(x, pads), axis, 1)
    shape = [n if i == axis else 1 for i in range(4)]
    count = jnp.full(n, 3.0).at[0].add(-1).at[-1].add(-1).reshape(shape)
    x = (a + b + c) / count
  return x


def _spatial_mean(x: Array) -> Array:
  return jnp.mean(x, (1, 2))


class _Unit(Conv):
  """A convolution and a ReLU, VALID unless said otherwise.

  With `mean_pool`, means of 3x3 windows are taken of what the kernel gives:
  the same as before it, the two being linear, and cheaper, as the pooling
  branches have fewer channels behind their kernel.
  """

  padding: str = 'VALID'
  mean_pool: bool = False

  def product(self, x: Array, kernel: Array) -> Array:
    y = super().product(x, kernel)
    return _mean_pool(y) if self.mean_pool else y

  def __call__(self, x: Array) -> Array:
    return nn.relu(super().__call__(x))


class Inception(nn.Module):
  """Images of 299 pixels to FID's features.

  Modules carry the released names, so `Mixed_5b.branch1x1` here holds the
  folded `Mixed_5b.branch1x1.conv` and `.bn`.
  """

  def _chain(self, block: str, x: Array, branch: str, *units) -> Array:
    """Convolutions of one branch in a row: (suffix, features, window)."""
    for suffix, features, window in units:
      name = f'{block}.{branch}{suffix}'
      x = _Unit(features, window, 1, 'SAME', name=name)(x)
    return x

  def _strided(self, name: str, x: Array, features: int) -> Array:
    return _Unit(features, 3, 2, name=name)(x)

  def _pooled(self, block: str, x: Array, features: int) -> Array:
    """The pooling branch with means."""
    name = f'{block}.branch_pool'
    return _Unit(features, 1, mean_pool=True, name=name)(x)

  def _block_a(self, b: str, x: Array, pool: int) -> Array:
    return jnp.concatenate(
      [
        self._chain(b, x, 'branch1x1', ('', 64, 1)),
        self._chain(b, x, 'branch5x5', ('_1', 48, 1), ('_2', 64, 5)),
        self._chain(
          b, x, 'branch3x3dbl', ('_1', 64, 1), ('_2', 96, 3), ('_3', 96, 3)
        ),
        self._pooled(b, x, pool),
      ],
      -1,
    )

  def _block_b(self, b: str, x: Array) -> Array:
    double = self._chain(b, x, 'branch3x3dbl', ('_1', 64, 1), ('_2', 96, 3))
    return jnp.concatenate(
      [
        self._strided(f'{b}.branch3x3', x, 384),
        self._strided(f'{b}.branch3x3dbl_3', double, 96),
        _max_pool(x, 2),
      ],
      -1,
    )

  def _block_c(self, b: str, x: Array, width: int) -> Array:
    row, column = (1, 7), (7, 1)
    double = [
      ('_1', width, 1),
      ('_2', width, column),
      ('_3', width, row),
      ('_4', width, column),
      ('_5', 192, row),
    ]
    single = [('_1', width, 1), ('_2', width, row), ('_3', 192, column)]
    return jnp.concatenate(
      [
        self._chain(b, x, 'branch1x1', ('', 192, 1)),
        self._chain(b, x, 'branch7x7', *single),
        self._chain(b, x, 'branch7x7dbl', *double),
        self._pooled(b, x, 192),
      ],
      -1,
    )

  def _block_d(self, b: str, x: Array) -> Array:
    three = self._chain(b, x, 'branch3x3', ('_1', 192, 1))
    seven = self._chain(
      b, x, 'branch7x7x3', ('_1', 192, 1), ('_2', 192, (1, 7)),
      ('_3', 192, (7, 1)),
    )  # fmt: skip
    return jnp.concatenate(
      [
        self._strided(f'{b}.branch3x3_2', three, 320),
        self._strided(f'{b}.branch7x7x3_4', seven, 192),
        _max_pool(x, 2),
      ],
      -1,
    )

  def _block_e(self, b: str, x: Array, max_pool: bool) -> Array:
    def split(y: Array, branch: str, prefix: str) -> list[Array]:
      parts = ((f'{prefix}a', 384, (1, 3)), (f'{prefix}b', 384, (3, 1)))
      return [self._chain(b, y, branch, part) for part in parts]

    three = self._chain(b, x, 'branch3x3', ('_1', 384, 1))
    double = self._chain(b, x, 'branch3x3dbl', ('_1', 448, 1), ('_2', 384, 3))
    if max_pool:
      pooled = self._chain(b, _max_pool(x, 1), 'branch_pool', ('', 192, 1))
    else:
      pooled = self._pooled(b, x, 192)
    return jnp.concatenate(
      [
        self._chain(b, x, 'branch1x1', ('', 320, 1)),
        *split(three, 'branch3x3', '_2'),
        *split(double, 'branch3x3dbl', '_3'),
        pooled,
      ],
      -1,
    )

  @nn.compact
  def __call__(self, x: Array) -> dict[str, Array]:
    """Features by name, those of torch-fidelity.

    Args:
      x: [N, 299, 299, 3], resized and scaled as the weights expect: see
        `gan_jax.metrics.resize.for_inception`.

    Returns:
      Spatial means 'pool_64', 'pool_192' and 'pool_768' [N, 64, ...];
      'pool_2048' [N, 2048], FID's own; 'logits' [N, 1008], and
      'logits_unbiased', without their bias, the inception score's.
    """
    out = {}
    x = self._strided('Conv2d_1a_3x3', x, 32)
    x = _Unit(32, 3, name='Conv2d_2a_3x3')(x)
    x = _Unit(64, 3, 1, 'SAME', name='Conv2d_2b_3x3')(x)
    x = _max_pool(x, 2)
    out['pool_64'] = _spatial_mean(x)
    x = _Unit(80, 1, name='Conv2d_3b_1x1')(x)
    x = _Unit(192, 3, name='Conv2d_4a_3x3')(x)
    x = _max_pool(x, 2)
    out['pool_192'] = _spatial_mean(x)
    for name, pool in (('5b', 32), ('5c', 64), ('5d', 64)):
      x = self._block_a(f'Mixed_{name}', x, pool)
    x = self._block_b('Mixed_6a', x)
    for name, width in (('6b', 128), ('6c', 160), ('6d', 160), ('6e', 192)):
      x = self._block_c(f'Mixed_{name}', x, width)
    out['pool_768'] = _spatial_mean(x)
    x = self._block_d('Mixed_7a', x)
    x = self._block_e('Mixed_7b', x, max_pool=False)
    x = self._block_e('Mixed_7c', x, max_pool=True)
    out['pool_2048'] = _spatial_mean(x)
    fc = nn.Dense(CLASSES, use_bias=False, name='fc')
    bias = self.param('fc_bias', nn.initializers.zeros, (CLASSES,))
    out['logits_unbiased'] = fc(out['pool_2048'])
    out['logits'] = out['logits_unbiased'] + bias
    return out
