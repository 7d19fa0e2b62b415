"""Losses against their formulas in NumPy float64, from probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax import losses
from gan_jax.config import defaults
from gan_jax.losses import LOSSES
from gan_jax.losses.adversarial import Fisher, Hinge, hinge
from tests.golden import rule

ABOUT, ARRAYS = rule.load('hinge')


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def mean_of(term, *others):
  return lambda *scores: sum(
    np.mean(t(x)) for t, x in zip((term, *others), scores, strict=True)
  )


def of_fake(term):
  return lambda r, s: np.mean(term(s))


log_sigmoid = lambda x: np.log(sigmoid(x))
VANILLA_D = mean_of(lambda r: -log_sigmoid(r), lambda s: -log_sigmoid(-s))
MULTIPLIER, RHO = 0.7, 0.3


def fisher_d(r, s):
  omega = (np.mean(r**2) + np.mean(s**2)) / 2
  lagrangian = (
    np.mean(r)
    - np.mean(s)
    + MULTIPLIER * (1 - omega)
    - RHO / 2 * (omega - 1) ** 2
  )
  return -lagrangian


# The papers' own forms, with D = sigmoid(logit) where they speak of
# probabilities; (D's loss, G's loss), both of (real, fake).
FORMULAS = {
  'minimax': (VANILLA_D, of_fake(lambda s: np.log(1 - sigmoid(s)))),
  'non_saturating': (VANILLA_D, of_fake(lambda s: -log_sigmoid(s))),
  'least_squares': (
    mean_of(lambda r: np.square(r - 1), np.square),
    of_fake(lambda s: np.square(s - 1)),
  ),
  'inverted_least_squares': (
    mean_of(np.square, lambda s: (1 - s) ** 2 / 10),
    of_fake(np.square),
  ),
  'hinge': (
    mean_of(lambda r: np.maximum(0, 1 - r), lambda s: np.maximum(0, 1 + s)),
    of_fake(np.negative),
  ),
  'wasserstein': (mean_of(np.negative, np.positive), of_fake(np.negative)),
  'boundary_seeking': (
    VANILLA_D,
    of_fake(lambda s: (np.log(sigmoid(s)) - np.log(1 - sigmoid(s))) ** 2 / 2),
  ),
  'relativistic_paired': (
    lambda r, s: -np.mean(log_sigmoid(r - s)),
    lambda r, s: -np.mean(log_sigmoid(s - r)),
  ),
  'relativistic_average': (
    lambda r, s: (
      -np.mean(log_sigmoid(r - np.mean(s)))
      - np.mean(np.log(1 - sigmoid(s - np.mean(r))))
    ),
    lambda r, s: (
      -np.mean(log_sigmoid(s - np.mean(r)))
      - np.mean(np.log(1 - sigmoid(r - np.mean(s))))
    ),
  ),
  'fisher': (fisher_d, of_fake(np.negative)),
}
CARRIED = {'multiplier': jnp.float32(MULTIPLIER)}

scores = st.integers(1, 6).flatmap(
  lambda n: st.tuples(
    *[st.lists(st.floats(-8, 8, width=32), min_size=n, max_size=n)] * 2
  )
)


def loss_of(name):
  return Fisher(rho=RHO) if name == 'fisher' else LOSSES[name]


def test_every_loss_has_a_formula_here():
  assert set(FORMULAS) == set(LOSSES)


@pytest.mark.parametrize('name', LOSSES)
@settings(max_examples=25, deadline=None)
@given(scores=scores)
def test_loss_is_its_formula(name, scores):
  loss, exact = loss_of(name), [np.float64(x) for x in scores]
  r, s = (jnp.float32(x) for x in scores)
  for method, formula in zip(
    (loss.d_loss, loss.g_loss), FORMULAS[name], strict=True
  ):
    got = method(r, s, CARRIED)
    np.testing.assert_allclose(got, formula(*exact), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', LOSSES)
def test_extreme_scores_give_finite_losses_and_gradients(name):
  loss = loss_of(name)
  extreme = jnp.float32([-1e4, -100, 0, 100, 1e4])
  for method in (loss.d_loss, loss.g_loss):
    for pair in ((extreme, extreme), (extreme, extreme[::-1])):
      value, gradients = jax.value_and_grad(method, (0, 1))(*pair, CARRIED)
      assert np.isfinite(value) and np.all(np.isfinite(gradients))


@pytest.mark.parametrize('name', LOSSES)
def test_the_players_pull_in_opposite_directions(name):
  """At s = 0.25 D wants a fake's score lower and G wants it higher.

  The inverted least squares have it the other way round.
  """
  loss = loss_of(name)
  # Between least squares' labels 0 and 1; under real scores.
  r, s = jnp.float32([0.5]), jnp.float32([0.25])
  to_r, to_s = jax.grad(loss.d_loss, (0, 1))(r, s, loss.start())
  inverted = name == 'inverted_least_squares'
  assert to_s < 0 < to_r if inverted else to_r < 0 < to_s
  of_g = jax.grad(loss.g_loss, 1)(r, s, loss.start())
  # BGAN's generator seeks D = 1/2, a score of 0, from either side.
  assert (of_g > 0) == (inverted or name == 'boundary_seeking')


@pytest.mark.parametrize('name', LOSSES)
def test_symmetric_says_whether_g_mirrors_d(name):
  loss = loss_of(name)
  r, s = jnp.float32([1.0, -2.0, 0.5]), jnp.float32([-3.0, 0.25, 2.0])
  of_d = jax.grad(loss.d_loss, 1)(r, s, CARRIED)
  of_g = jax.grad(loss.g_loss, 1)(r, s, CARRIED)
  assert loss.symmetric == np.allclose(of_d, -of_g, rtol=1e-6)


def test_patches_count_like_samples():
  loss = LOSSES['non_saturating']
  real, fake = np.random.default_rng(0).normal(size=(2, 4, 5))
  whole = loss.d_loss(real, fake, {})
  apart = np.mean(
    [loss.d_loss(r, f, {}) for r, f in zip(real, fake, strict=True)]
  )
  np.testing.assert_allclose(whole, apart, rtol=1e-6)


def test_fisher_raises_its_multiplier_while_the_scores_are_too_large():
  loss = Fisher(rho=0.5)
  r, s = jnp.float32([3.0, 1.0]), jnp.float32([-1.0, 1.0])
  # Omega = ((9 + 1) / 2 + (1 + 1) / 2) / 2 = 3; the multiplier moves by
  # rho (Omega - 1).
  carried = loss.advance(r, s, loss.start())
  assert float(carried['multiplier']) == pytest.approx(0.5 * 2)
  shrunk = loss.advance(0.1 * r, 0.1 * s, carried)
  assert shrunk['multiplier'] < carried['multiplier']


def test_a_config_sets_the_loss_and_its_setting():
  section = defaults().loss
  assert losses.build_loss(section) is LOSSES['non_saturating']
  section.update(name='fisher', rho=0.25)
  assert losses.build_loss(section) == Fisher(rho=0.25)
  section.update(name='hinge', margin_jitter=0.2)
  assert losses.build_loss(section) == Hinge(margin_jitter=0.2)


@pytest.mark.parametrize('case', ABOUT['cases'])
def test_hinge_is_the_released_one_on_given_margins(case):
  """The released FastGAN's, on its own logits, 50 a picture."""
  row = ABOUT['cases'][case]
  out = {name: x['value'] for name, x in row['out'].items() if 'value' in x}
  real, fake = (ARRAYS[f'out/{case}/logits_{x}'] for x in ('real', 'fake'))
  drawn = [ARRAYS[f'in/{row["in"][f"jitter_{x}"]}'] for x in ('real', 'fake')]
  patches = lambda x: jnp.asarray(x).reshape(-1, 50)
  got = hinge(patches(real), patches(fake), [patches(x) for x in drawn])
  wanted = out['hinge_real_jitter'] + out['hinge_fake_jitter']
  assert float(got) == pytest.approx(wanted, rel=1e-6)
  loss = LOSSES['hinge']
  plain = loss.d_loss(patches(real), patches(fake), {})
  wanted = out['hinge_real_m1'] + out['hinge_fake_m1']
  assert float(plain) == pytest.approx(wanted, rel=1e-6)
  if case.endswith('eval'):  # in training mode G's are those of another pass
    of_g = loss.g_loss(patches(real), patches(fake), {})
    assert float(of_g) == pytest.approx(out['loss_g'], rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(jitter=st.floats(2**-6, 1, width=32), seed=st.integers(0, 2**31 - 1))
def test_a_margin_is_drawn_for_each_score(jitter, seed):
  """At scores of 0 what a score costs is its margin."""
  loss, key = Hinge(margin_jitter=jitter), jax.random.key(seed)
  zero = jnp.zeros((40, 5))
  of = lambda real, fake: loss.d_loss(real, fake, {}, key)
  # A score costs its margin up to the margin, and nothing beyond.
  nothing = jnp.full((40, 5), 2.0)
  real, fake = of(zero, -nothing), of(nothing, zero)
  sd = jitter / np.sqrt(12 * 200)
  for mean in (real, fake):
    assert abs(float(mean) - (1 - jitter / 2)) < 5 * sd + 1e-6
  assert real != fake  # each batch draws by itself
  assert of(zero, zero) == pytest.approx(float(real + fake), rel=1e-6)
  assert of(zero, zero) != loss.d_loss(zero, zero, {}, jax.random.key(seed + 1))
  # All within bounds, and not all one.
  edge = of(jnp.full((40, 5), 1 - jitter), -nothing)
  assert edge > 0
  assert of(jnp.full((40, 5), 1.0), -nothing) == 0
  below = of(jnp.full((40, 5), -jitter), -nothing)  # no kink was passed
  assert below == pytest.approx(float(real) + jitter, rel=1e-5)
  assert edge == pytest.approx(float(real) - (1 - jitter), abs=1e-5)
