"""Ways through latent space: walks that end where they begin, and paths."""

from collections.abc import Sequence

import jax
import numpy as np
from scipy import ndimage, special

from gan_jax.state import stream


def walk(
  seeds: Sequence[int], frames: int, size: int, sigma: float, distribution: str
) -> np.ndarray:
  """Latent vectors that move smoothly, a walk for each seed.

  A latent vector is drawn for each frame, and they are blurred across time by a
  Gaussian (ProGAN, section 4), wrapped around, as the released code does: after
  the last frame the first may follow.

  Args:
    seeds: whole numbers below 2^32; a walk depends on its own seed alone.
    frames: T, at least 1.
    size: Z.
    sigma: of the Gaussian, in frames: the paper's 45 at 60 Hz.
    distribution: of the latents that the generator was trained with.

  Returns:
    float32 [T, N, Z]; each vector is one that the generator may have met.
  """
  one = lambda seed: jax.random.normal(
    stream(jax.random.key(seed), 'walk'), (frames, size)
  )
  blurred = np.empty((frames, len(seeds), size), np.float32)
  for k, seed in enumerate(np.asarray(seeds, np.uint32)):
    noise = np.asarray(one(seed))
    blurred[:, k] = ndimage.gaussian_filter1d(noise, sigma, 0, mode='wrap')
  # Of what the noise has become: the root of the sum of squared weights.
  impulse = np.zeros(frames)
  impulse[0] = 1.0
  weights = ndimage.gaussian_filter1d(impulse, sigma, mode='wrap')
  blurred /= np.float32(np.linalg.norm(weights))
  return BY_DISTRIBUTION[distribution](blurred)


def on_sphere(x: np.ndarray) -> np.ndarray:
  """Standard normal vectors [..., Z] at the radius sqrt(Z) that they lie near.

  ProGAN's hypersphere, which its generator takes vectors of any length to; and
  where those of all others are, with many numbers.
  """
  mean = np.mean(np.square(x, dtype=np.float32), -1, keepdims=True)
  return x / np.sqrt(mean)


def in_cube(x: np.ndarray) -> np.ndarray:
  """Standard normal numbers as uniform ones in [-1, 1]."""
  return np.float32(2 * special.ndtr(x) - 1)


BY_DISTRIBUTION = {'normal': on_sphere, 'uniform': in_cube}


def straight(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
  """Points of the line from a to b [...], at t [T] in [0, 1]: [T, ...]."""
  t = np.asarray(t, np.float32).reshape(-1, *[1] * a.ndim)
  return (1 - t) * a + t * b


def turned(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
  """Points of the arc from a to b [Z], at t [T] in [0, 1]: [T, Z].

  The direction turns at an even speed (slerp), the length changes at one: so
  all points are as long as vectors that the generator has met, and the ends,
  whatever their lengths, are a and b. Where they have one direction, or
  opposite ones, the arc is the line.
  """
  lengths = [np.linalg.norm(x) for x in (a, b)]
  if not all(lengths):
    return straight(a, b, t)
  one, other = (x / n for x, n in zip((a, b), lengths, strict=True))
  angle = np.arccos(np.clip(np.dot(one, other), -1, 1))
  if np.sin(angle) < 1e-3:
    return straight(a, b, t)
  t = np.asarray(t, np.float64)[:, None]
  rest, way = np.sin((1 - t) * angle), np.sin(t * angle)
  direction = (rest * one + way * other) / np.sin(angle)
  return np.float32(direction * ((1 - t) * lengths[0] + t * lengths[1]))


# The path that stays among the vectors of a latent distribution, by its name.
PATHS = {'normal': turned, 'uniform': straight}
