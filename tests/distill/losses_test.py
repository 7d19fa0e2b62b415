"""Losses of classifiers against their formulas, in NumPy and float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gan_jax import distill
from gan_jax.config import defaults
from gan_jax.distill.losses import attention_transfer
from gan_jax.networks import Judgement

N, K = 4, 3
logits = hnp.arrays(np.float32, (N, K), elements=st.floats(-30, 30, width=32))
labels = hnp.arrays(np.int32, N, elements=st.integers(0, K - 1))


def probabilities(x):
  x = np.exp(np.float64(x) - np.float64(x).max(-1, keepdims=True))
  return x / x.sum(-1, keepdims=True)


def kl(t, s):
  p, q = probabilities(t), probabilities(s)
  return np.mean(np.sum(p * (np.log(p) - np.log(q)), -1))


def entropy(s, labels):
  return -np.mean(np.log(probabilities(s)[np.arange(N), labels]))


def judged(x, **features):
  return Judgement(jnp.asarray(x), features)


@settings(max_examples=50, deadline=None)
@given(logits, logits, labels)
def test_every_loss_is_its_formula(s, t, labels):
  kd = dict(temperature=5.0, alpha=0.3)
  section = defaults().loss
  section.update(name='kd', **kd)
  cases = {
    'cross_entropy': entropy(s, labels),
    # Hinton et al. 2015, section 2.
    'kd': 0.3 * 25 * kl(t / 5.0, s / 5.0) + 0.7 * entropy(s, labels),
    'dfad': np.mean(np.abs(np.float64(t) - s)),
    'zskt': kl(t, s),
  }
  assert set(cases) == set(distill.LOSSES)
  for name, want in cases.items():
    loss = distill.build_loss(section) if name == 'kd' else distill.LOSSES[name]
    got = loss.d_loss(judged(s), judged(t), jnp.asarray(labels))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    if loss.data_free:
      assert loss.symmetric
      np.testing.assert_allclose(
        loss.g_loss(judged(s), judged(t)), -want, rtol=1e-4, atol=1e-4
      )


def test_attention_transfer_compares_where_networks_look():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(2, N, 4, 4, 5)).astype(np.float32)

  def attention(x):
    x = np.mean(np.float64(x) ** 2, -1).reshape(N, -1)
    return x / np.sqrt((x**2).sum(-1, keepdims=True))

  want = np.mean((attention(a) - attention(b)) ** 2)
  got = lambda a, b: attention_transfer(judged(0.0, m=a), judged(0.0, m=b))
  np.testing.assert_allclose(got(a, b), want, rtol=1e-4)
  # Only the place counts: neither the scale nor the channel.
  np.testing.assert_allclose(got(a, 7 * a[..., ::-1]), 0.0, atol=1e-9)
  gradient = jax.grad(lambda a: got(a, b))(jnp.zeros_like(a))
  assert np.isfinite(gradient).all()


def test_attention_is_the_students_alone():
  section = defaults().loss
  section.update(name='zskt', attention=2.0)
  loss = distill.build_loss(section)
  rng = np.random.default_rng(1)
  s, t = (
    judged(rng.normal(size=(N, K)), m=rng.normal(size=(N, 2, 2, 3)))
    for _ in range(2)
  )
  assert not loss.symmetric
  extra = loss.d_loss(s, t, None) + loss.g_loss(s, t)
  assert float(extra) == pytest.approx(
    2.0 * float(attention_transfer(s, t)), rel=1e-4
  )
