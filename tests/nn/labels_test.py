"""A class behind a network's input, of vectors and of maps."""

import jax
import numpy as np
import pytest

from gan_jax.nn.labels import with_label

LABELS = np.array([2, 0, 1, 2])


@pytest.mark.parametrize('middle', [(), (5,), (3, 2)])
def test_every_place_has_the_one_hot_class_behind_it(middle):
  x = np.random.default_rng(0).normal(size=(4, *middle, 6)).astype(np.float32)
  got = np.asarray(jax.jit(with_label, static_argnums=2)(x, LABELS, 3))
  assert got.shape == (4, *middle, 9) and got.dtype == np.float32
  np.testing.assert_array_equal(got[..., :6], x)
  for row, label in zip(got, LABELS, strict=True):
    places = row[..., 6:].reshape(-1, 3)
    assert all(place.tolist() == np.eye(3)[label].tolist() for place in places)


def test_without_classes_nothing_changes():
  x = np.ones((2, 3))
  assert with_label(x, None, 0) is x
