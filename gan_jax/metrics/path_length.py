"""Perceptual path length (StyleGAN, Karras et al. 2019, section 4.1).

How fast a perceptual distance changes along a path in latent space, per unit
of the path: E[d(G(w(t)), G(w(t + eps))) / eps^2].
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.errors import UserError

Array = jax.Array

EPSILON = 1e-4


def lerp(a: Array, b: Array, t: Array) -> Array:
  """The straight path, for w: latents [N, Z], t [N, 1]."""
  return a + (b - a) * t


def slerp(a: Array, b: Array, t: Array) -> Array:
  """The path on the unit sphere, for z: latents [N, Z], t [N, 1]."""
  a, b = (x / jnp.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
  angle = jnp.arccos(jnp.clip(jnp.sum(a * b, -1, keepdims=True), -1, 1))
  # The rest of b that stands upright on a.
  across = b - a * jnp.cos(angle)
  across = across / jnp.linalg.norm(across, axis=-1, keepdims=True)
  return a * jnp.cos(t * angle) + across * jnp.sin(t * angle)


def on_sphere(a: Array, b: Array, t: Array) -> Array:
  """`slerp` at the radius sqrt(Z), near which normal vectors lie.

  For generators that, other than ProGAN's and StyleGAN's, do not scale their
  latent vectors themselves.
  """
  return np.sqrt(a.shape[-1]) * slerp(a, b, t)


# The path that stays among the vectors of a latent distribution, by its name.
BY_DISTRIBUTION = {'normal': on_sphere, 'uniform': lerp}


def path_lengths(
  generate: Callable[[Array], Array],
  distance: Callable[[Array, Array], Array],
  a: Array,
  b: Array,
  t: Array,
  path: Callable[[Array, Array, Array], Array] = lerp,
  epsilon: float = EPSILON,
) -> Array:
  """The squared speed [N] at points of paths. A pure function, to be jitted.

  Args:
    generate: latents [N, Z] to images [N, H, W, C] in [-1, 1], the same noise
      for all; both ends of a step are made in one batch of 2 N.
    distance: images and images to [N], `Lpips` say (after a crop, a resize).
    a: where the paths start [N, Z].
    b: where they end [N, Z].
    t: where to measure [N], in [0, 1]; zeros measure at the start ('end' in
      the paper).
    path: `lerp` in w, `slerp` in z.
    epsilon: the step, 1e-4 in the paper.
  """
  points = [path(a, b, (t + e)[:, None]) for e in (0.0, epsilon)]
  # The default of GPUs and TPUs rounds most coordinates of both ends to the
  # same number: 64 of 100 with TF32, 92 with bfloat16.
  with jax.default_matmul_precision('highest'):
    images = generate(jnp.concatenate(points))
    return distance(*jnp.split(images, 2)) / epsilon**2


def trimmed_mean(lengths) -> float:
  """The mean of what lies within the 1st and the 99th percentile.

  So a few jumps do not decide the number; StyleGAN's paper leaves them out.
  """
  lengths = np.asarray(lengths, np.float64)
  low = np.percentile(lengths, 1, method='lower')
  high = np.percentile(lengths, 99, method='higher')
  return float(lengths[(lengths >= low) & (lengths <= high)].mean())


def perceptual_path_length(
  pairs: Iterator[tuple[Any, Any, Any]],
  generate: Callable[[Array], Array],
  distance: Callable[[Array, Array], Array],
  path: Callable[[Array, Array, Array], Array] = lerp,
  epsilon: float = EPSILON,
) -> float:
  """The trimmed mean over batches of paths.

  Args:
    pairs: batches (a, b, t) as in `path_lengths`, of one size; the paper
      draws 100,000 paths.
    generate: as in `path_lengths`.
    distance: as in `path_lengths`.
    path: as in `path_lengths`.
    epsilon: as in `path_lengths`.

  Raises:
    UserError: if there are no paths.
  """
  step = jax.jit(
    lambda a, b, t: path_lengths(generate, distance, a, b, t, path, epsilon)
  )
  lengths = [np.asarray(step(*batch)) for batch in pairs]
  if not lengths:
    raise UserError('a path length needs at least one path: raise their number')
  return trimmed_mean(np.concatenate(lengths))
