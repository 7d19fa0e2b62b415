"""Resolutions of a growing network: down, up, and from one to the next."""

import jax.numpy as jnp
import numpy as np


def reduce_to(image, side: int):
  """Exact area averages of pictures.

  Args:
    image: [..., H, W, C]; `side` divides H and W.
    side: pixels.

  Returns:
    [..., side, side, C]; the pictures as they are if they have that side.
  """
  *lead, height, width, channels = image.shape
  if height == side:
    return image
  blocks = (side, height // side, side, width // side, channels)
  return jnp.mean(image.reshape(*lead, *blocks), (-4, -2))


def double(image):
  """Nearest neighbours: [..., H, W, C] -> [..., 2 H, 2 W, C]."""
  return image.repeat(2, -3).repeat(2, -2)


def nearest(image, side: int):
  """The pixels of row and column floor(i * H / side), as PyTorch takes them.

  Args:
    image: [..., H, W, C].
    side: pixels.

  Returns:
    [..., side, side, C]; the pictures as they are if they have that side.
  """
  for axis in (-3, -2):
    size = image.shape[axis]
    if size != side:
      rows = np.arange(side) * size // side
      image = jnp.take(image, rows, axis)
  return image


def fade(below, above, alpha):
  """From one level to the next (ProGAN, Figure 2).

  Args:
    below: what the level below gives, at the new one's resolution.
    above: what the new level gives, of the same shape.
    alpha: scalar in [0, 1]; at its ends the result is one of the two, to the
      bit.
  """
  return (1.0 - alpha) * below + alpha * above


def faded(image, alpha):
  """Pictures between the level below and their own, [..., H, W, C]."""
  return fade(double(reduce_to(image, image.shape[-2] // 2)), image, alpha)
