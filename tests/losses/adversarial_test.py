"""Losses against their formulas in NumPy float64, from probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax.losses import LOSSES


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


# The papers' own forms, with D = sigmoid(logit) where they speak of
# probabilities; (real term, fake term, generator's term).
FORMULAS = {
  'minimax': (
    lambda r: -np.log(sigmoid(r)),
    lambda s: -np.log(1 - sigmoid(s)),
    lambda s: np.log(1 - sigmoid(s)),
  ),
  'non_saturating': (
    lambda r: -np.log(sigmoid(r)),
    lambda s: -np.log(1 - sigmoid(s)),
    lambda s: -np.log(sigmoid(s)),
  ),
  'least_squares': (
    lambda r: np.square(r - 1),
    np.square,
    lambda s: np.square(s - 1),
  ),
  'hinge': (
    lambda r: np.maximum(0, 1 - r),
    lambda s: np.maximum(0, 1 + s),
    lambda s: -s,
  ),
  'wasserstein': (lambda r: -r, lambda s: s, lambda s: -s),
}

scores = st.lists(st.floats(-15, 15, width=32), min_size=1, max_size=6).map(
  np.asarray
)


def test_every_loss_has_a_formula_here():
  assert set(FORMULAS) == set(LOSSES)


@pytest.mark.parametrize('name', LOSSES)
@settings(max_examples=25, deadline=None)
@given(real=scores, fake=scores)
def test_loss_is_the_mean_of_its_formula(name, real, fake):
  loss = LOSSES[name]
  on_real, on_fake, on_g = FORMULAS[name]
  expected = np.mean(on_real(real)) + np.mean(on_fake(fake))
  got = loss.d_loss(jnp.float32(real), jnp.float32(fake))
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
  got = loss.g_loss(jnp.float32(fake))
  np.testing.assert_allclose(got, np.mean(on_g(fake)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', LOSSES)
def test_extreme_scores_give_finite_losses_and_gradients(name):
  loss = LOSSES[name]
  extreme = jnp.float32([-1e4, -100, 0, 100, 1e4])
  for term in loss:
    assert np.all(np.isfinite(term(extreme)))
    assert np.all(np.isfinite(jax.vmap(jax.grad(term))(extreme)))


@pytest.mark.parametrize('name', LOSSES)
def test_the_players_pull_in_opposite_directions(name):
  """At s = 0.25 D wants a fake's score lower and G wants it higher."""
  loss = LOSSES[name]
  s = jnp.float32(0.25)  # between least squares' labels 0 and 1
  assert jax.grad(loss.d_fake)(s) > 0 > jax.grad(loss.g)(s)
  assert jax.grad(loss.d_real)(s) < 0


def test_patches_count_like_samples():
  loss = LOSSES['non_saturating']
  real, fake = np.random.default_rng(0).normal(size=(2, 4, 5))
  whole = loss.d_loss(real, fake)
  apart = np.mean([loss.d_loss(r, f) for r, f in zip(real, fake, strict=True)])
  np.testing.assert_allclose(whole, apart, rtol=1e-6)
