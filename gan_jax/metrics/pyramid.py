"""Laplacian pyramids (Burt and Adelson 1983)."""

import functools

import jax
import jax.numpy as jnp

Array = jax.Array

_TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def _along(x: Array, axis: int, start: int, count: int, step: int) -> Array:
  return jax.lax.slice_in_dim(
    x, start, start + (count - 1) * step + 1, step, axis
  )


@jax.jit
def down(x: Array) -> Array:
  """The binomial low pass of 5 taps, then every second pixel.

  Args:
    x: [N, H, W, C], H and W even and at least 4; borders are mirrored about
      the edge pixel.

  Returns:
    [N, H/2, W/2, C].
  """
  for axis in (1, 2):
    half = x.shape[axis] // 2
    pads = [(2, 2) if i == axis else (0, 0) for i in range(4)]
    padded = jnp.pad(x, pads, mode='reflect')
    x = sum(w * _along(padded, axis, i, half, 2) for i, w in enumerate(_TAPS))
  return x


@jax.jit
def up(x: Array) -> Array:
  """Zeros between the pixels, then the low pass, four times as strong.

  Args:
    x: [N, H, W, C].

  Returns:
    [N, 2H, 2W, C].
  """
  for axis in (1, 2):
    n = x.shape[axis]
    # Mirrored about the edge of the doubled array, whose last pixel is a zero
    # in between: before the first pixel lies the second, after the last, it.
    before = _along(x, axis, min(1, n - 1), 1, 1)
    after = _along(x, axis, n - 1, 1, 1)
    padded = jnp.concatenate([before, x, after], axis)
    left, here, right = (_along(padded, axis, i, n, 1) for i in range(3))
    even = left / 8 + here * (6 / 8) + right / 8
    odd = (here + right) / 2
    shape = [s * 2 if i == axis else s for i, s in enumerate(x.shape)]
    x = jnp.stack([even, odd], axis + 1).reshape(shape)
  return x


@functools.partial(jax.jit, static_argnames='levels')
def laplacian_pyramid(x: Array, levels: int) -> list[Array]:
  """Band-pass images, each half the size of the one before.

  Args:
    x: [N, H, W, C], H and W divisible by 2^(levels - 1).
    levels: how many.

  Returns:
    `levels` arrays; level i is the image at that size less what the next size
    predicts of it, the last one the low pass itself. Float32.
  """
  x = jnp.asarray(x, jnp.float32)
  pyramid = []
  for _ in range(levels - 1):
    smaller = down(x)
    pyramid.append(x - up(smaller))
    x = smaller
  return [*pyramid, x]
