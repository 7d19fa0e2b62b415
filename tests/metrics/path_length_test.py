"""Perceptual path lengths of generators whose speed is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.errors import UserError
from gan_jax.metrics import path_length


def squared(a, b):
  return jnp.sum(jnp.square(a - b), tuple(range(1, a.ndim)))


def test_a_linear_generator_has_the_squared_length_of_its_path():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(2, 6, 8)).astype(np.float32)
  kernel = rng.normal(size=(8, 12)).astype(np.float32)
  got = path_length.path_lengths(
    lambda z: (z @ kernel).reshape(-1, 2, 2, 3), squared, a, b,
    np.linspace(0, 1, 6, dtype=np.float32), epsilon=1e-2,
  )  # fmt: skip
  expected = np.sum(np.square((b - a) @ kernel), 1)
  np.testing.assert_allclose(got, expected, rtol=1e-3)


def test_the_sphere_is_walked_at_the_speed_of_the_angle():
  rng = np.random.default_rng(1)
  a, b = rng.normal(size=(2, 5, 16)).astype(np.float32)
  got = path_length.path_lengths(
    lambda z: z, squared, a, b, np.full(5, 0.3, np.float32),
    path_length.slerp, 1e-2,
  )  # fmt: skip
  ua, ub = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
  angle = np.arccos(np.sum(ua * ub, 1))
  np.testing.assert_allclose(got, angle**2, rtol=1e-3)
  ends = [path_length.slerp(a, b, np.full((5, 1), t)) for t in (0.0, 1.0)]
  np.testing.assert_allclose(ends, [ua, ub], atol=1e-5)


def test_normal_vectors_stay_where_they_are_dense():
  rng = np.random.default_rng(3)
  a, b = rng.normal(size=(2, 4, 64)).astype(np.float32)
  for t in (0.0, 0.4, 1.0):
    on = path_length.on_sphere(a, b, np.full((4, 1), t, np.float32))
    np.testing.assert_allclose(np.linalg.norm(on, axis=1), 8, rtol=1e-5)


def test_the_mean_leaves_out_the_outermost_percent():
  lengths = np.arange(1000.0)
  lengths[-3:] = 1e9
  low, high = 9, 990  # percentiles 1 (below) and 99 (above) of 1,000
  expected = lengths[low : high + 1].mean()
  assert path_length.trimmed_mean(lengths) == pytest.approx(expected)


def test_both_networks_are_asked_at_full_precision():
  kernel = jnp.ones((3, 3))
  step = jax.jit(
    lambda a, b, t: path_length.path_lengths(
      lambda z: z @ kernel, lambda a, b: jnp.sum((a - b) @ kernel, 1), a, b, t
    )
  )
  a = jnp.ones((2, 3))
  text = (
    step.trace(a, 2 * a, a[:, 0]).lower(lowering_platforms=('tpu',)).as_text()
  )
  products = [line for line in text.splitlines() if 'dot_general' in line]
  assert len(products) == 2 and all('HIGHEST' in line for line in products)


def test_batches():
  rng = np.random.default_rng(2)
  batches = [
    (*rng.normal(size=(2, 4, 3)).astype(np.float32), np.zeros(4, np.float32))
    for _ in range(3)
  ]
  got = path_length.perceptual_path_length(
    iter(batches), lambda z: z, squared, epsilon=0.1
  )
  single = [np.sum(np.square(b - a), 1) for a, b, _ in batches]
  expected = path_length.trimmed_mean(np.concatenate(single))
  assert got == pytest.approx(expected, rel=1e-4)
  with pytest.raises(UserError, match='at least one path'):
    path_length.perceptual_path_length(iter([]), lambda z: z, squared)
