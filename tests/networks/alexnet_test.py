"""AlexNet against torchvision's model, on rule weights."""

import jax
import numpy as np
import pytest

from gan_jax.convert import feature_nets
from gan_jax.errors import UserError
from gan_jax.networks import alexnet
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('feature_nets')
NAMES = {f'features.{i}': f'relu{k}' for k, i in enumerate((1, 4, 7, 9, 11), 1)}


def test_features():
  released = rule.weights(ABOUT['nets']['alexnet'])
  module, variables = feature_nets.alexnet(released)
  as_is = module.clone(shift=(0.0,) * 3, scale=(1.0,) * 3)
  x = inputs.value(ABOUT, ARRAYS, 'norm_64')
  out = jax.jit(as_is.apply)(variables, x)
  for theirs, ours in NAMES.items():
    kept = rule.stored(ABOUT, ARRAYS, 'alexnet_64', theirs)
    error = rule.relative_error(inputs.nchw(out[ours]), *kept)
    assert error < 1e-5, theirs
  # Images in [-1, 1] are standardised before the same kernels.
  images = x * np.float32(module.scale) + np.float32(module.shift)
  again = jax.jit(module.apply)(variables, images)
  np.testing.assert_allclose(again['relu5'], out['relu5'], atol=1e-3)


def test_missing_arrays_are_named():
  released = rule.weights(ABOUT['nets']['alexnet'])
  del released['features.6.bias']
  with pytest.raises(UserError, match='features.6.bias is missing'):
    feature_nets.alexnet(released)
  assert len(alexnet.LAYERS) == 5
