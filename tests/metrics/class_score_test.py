"""Inception score against torch-fidelity and StyleGAN2-ADA."""

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax.errors import UserError
from gan_jax.metrics.class_score import InceptionScore, inception_score
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('metrics')


@pytest.mark.parametrize('case', ['is', 'is_wide'])
@pytest.mark.parametrize(
  'seed, name',
  [
    (None, 'torch_fidelity_unshuffled'),
    (2020, 'torch_fidelity_shuffle2020'),
    (None, 'stylegan2_ada'),
  ],
)
def test_golden(case, seed, name):
  about = ABOUT['cases'][case]
  logits = inputs.value(ABOUT, ARRAYS, about['in']['logits'])
  mean, std = inception_score(logits, about['args']['splits'], seed, block=64)
  out = about['out']
  assert mean == pytest.approx(out[f'is_mean_{name}']['value'], rel=1e-6)
  assert std == pytest.approx(out[f'is_std_{name}']['value'], rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(
  count=st.integers(3, 30), splits=st.integers(1, 3), scale=st.floats(0, 2000)
)
def test_against_the_definition(count, splits, scale):
  rng = np.random.default_rng(count)
  logits = scale * rng.normal(size=(count, 4))
  p = np.exp(logits - logits.max(1, keepdims=True))
  p /= p.sum(1, keepdims=True)
  scores = []
  for i in range(splits):
    part = p[i * count // splits : (i + 1) * count // splits]
    terms = scipy.special.rel_entr(part, part.mean(0))
    scores.append(np.exp(terms.sum(1).mean()))
  mean, std = inception_score(logits, splits)
  assert mean == pytest.approx(np.mean(scores), rel=1e-9)
  assert std == pytest.approx(np.std(scores), rel=1e-6, abs=1e-9)
  assert 1 - 1e-9 <= mean <= 4 + 1e-9


def test_images_that_are_sure_and_differ_score_the_number_of_classes():
  logits = 1000 * np.eye(7)[np.arange(70) % 7]
  assert inception_score(logits, 10) == pytest.approx((7.0, 0.0))


def test_too_few_and_too_many_images():
  with pytest.raises(UserError, match='10 splits'):
    inception_score(np.zeros((9, 3)))
  score = InceptionScore(4, 2)
  score.add(np.zeros((3, 3)))
  with pytest.raises(ValueError, match='3 of 4'):
    score.result()
  with pytest.raises(ValueError, match='more than the 4'):
    score.add(np.zeros((2, 3)))
