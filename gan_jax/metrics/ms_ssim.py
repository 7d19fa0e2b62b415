"""Multi-scale structural similarity (Wang, Simoncelli and Bovik 2003).

Between pairs of generated images it measures variation: 1 is a pair of equal
images (Odena et al. 2017; ProGAN, section 6.1, 10,000 pairs).
"""

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.errors import UserError

Array = jax.Array

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest scale first
_WINDOW, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03


def _blur(x: Array) -> Array:
  """The Gaussian window over [N, H, W, C], only where it fits.

  A small image has a smaller window, of min(11, H, W) taps and a width in
  proportion; an even one is centred between pixels.
  """
  taps = min(_WINDOW, *x.shape[1:3])
  at = np.arange(taps) - (taps - 1) / 2
  window = np.exp(-(at**2) / (2 * (taps * _SIGMA / _WINDOW) ** 2))
  window = (window / window.sum()).astype(np.float32)
  for axis in (1, 2):
    count = x.shape[axis] - taps + 1
    x = sum(
      w * jax.lax.slice_in_dim(x, i, i + count, 1, axis)
      for i, w in enumerate(window)
    )
    # Else XLA would take all 121 taps of both directions at every pixel.
    x = jax.lax.optimization_barrier(x)
  return x


@jax.jit
def ssim(a: Array, b: Array) -> tuple[Array, Array]:
  """One scale: mean similarity, and mean contrast-structure term.

  Args:
    a: images [N, H, W, C] in 0..255.
    b: their partners.

  Returns:
    [N] and [N], means over pixels and channels.
  """
  c1, c2 = (_K1 * 255) ** 2, (_K2 * 255) ** 2
  # Variances do not feel a shift; without it their squares would cancel.
  a, b = (jnp.asarray(x, jnp.float32) - 127.5 for x in (a, b))
  blurred = _blur(jnp.concatenate([a, b, a * a, b * b, a * b]))
  mean_a, mean_b, square_a, square_b, product = jnp.split(blurred, 5)
  var_a, var_b = square_a - mean_a**2, square_b - mean_b**2
  cov = product - mean_a * mean_b
  structure = (2 * cov + c2) / (var_a + var_b + c2)
  mean_a, mean_b = mean_a + 127.5, mean_b + 127.5
  luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
  axes = (1, 2, 3)
  return jnp.mean(luminance * structure, axes), jnp.mean(structure, axes)


def _halve(x: Array) -> Array:
  """Means of 2x2 pixels; an odd last row or column counts twice."""
  n, h, w, c = x.shape
  x = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode='edge')
  return x.reshape(n, -(-h // 2), 2, -(-w // 2), 2, c).mean((2, 4))


@jax.jit
def ms_ssim(a: Array, b: Array) -> Array:
  """Multi-scale similarity of each pair, over five scales.

  A negative contrast-structure term, which has no fractional power, counts as
  zero.

  Args:
    a: images [N, H, W, C] in 0..255.
    b: their partners.

  Returns:
    [N], in [0, 1].
  """
  a, b = jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)
  value = 1.0
  for i, weight in enumerate(WEIGHTS):
    similarity, structure = ssim(a, b)
    last = i == len(WEIGHTS) - 1
    term = similarity if last else structure
    value = value * jnp.maximum(term, 0) ** weight
    a, b = (a, b) if last else (_halve(a), _halve(b))
  return value


def ms_ssim_among(images, batch: int = 64) -> float:
  """Mean over the pairs (0, 1), (2, 3), ... of a set of generated images.

  Args:
    images: [N, H, W, C] in 0..255, anything sliceable; the last of an odd
      number is left out.
    batch: images at a time, even.

  Raises:
    UserError: with fewer than two images.
  """
  count = len(images) // 2 * 2
  if not count:
    raise UserError(
      f'MS-SSIM needs pairs of images, got {len(images)}: raise the number of '
      'samples'
    )
  values = []
  for start in range(0, count, batch):
    part = images[start : min(start + batch, count)]
    values.append(np.asarray(ms_ssim(part[0::2], part[1::2]), np.float64))
  return float(np.concatenate(values).mean())
