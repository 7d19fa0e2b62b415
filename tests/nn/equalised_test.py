"""Equalised layers against He's constant, written out."""

import jax
import numpy as np
import pytest

from gan_jax.nn import conv, equalised

X = np.random.default_rng(0).normal(size=(2, 6, 6, 5)).astype('f')
Z = X[:, :1, :1]
# Of each: an input, the plain function and the fan-in of He et al.
LAYERS = {
  '3x3': (equalised.Conv(7), X, conv.conv, 9 * 5),
  '1x1': (equalised.Conv(7, 1), X, conv.conv, 5),
  'up': (equalised.UpConv(7), X, conv.upsample_conv, 9 * 5),
  'down': (equalised.DownConv(7), X, conv.downsample_conv, 9 * 5),
  'opening': (
    equalised.Opening(7),
    Z,
    lambda z, k: np.einsum('nc,hwcd->nhwd', z[:, 0, 0], k),
    16 * 5,
  ),
}


def first(layer, x):
  """A layer's first parameters."""
  return dict(layer.init(jax.random.key(0), x)['params'])


@pytest.mark.parametrize('name', LAYERS)
@pytest.mark.parametrize('gain', [2**0.5, 1.0])
def test_the_constant_multiplies_the_kernel_and_not_the_bias(name, gain):
  layer, x, plain, fan_in = LAYERS[name]
  layer = layer.clone(gain=gain)
  params = first(layer, x)
  params['bias'] = np.arange(7.0, dtype='f')
  found = layer.apply({'params': params}, x)
  kernel = params['kernel'] * (gain / np.sqrt(fan_in))
  np.testing.assert_allclose(
    found, plain(x, kernel) + params['bias'], rtol=1e-4, atol=1e-5
  )


@pytest.mark.parametrize('gain', [2**0.5, 1.0])
def test_weights_are_drawn_from_a_normal_distribution_of_deviation_1(gain):
  """Or, without the constant, of the deviation that it stands for."""
  x = np.zeros((1, 4, 4, 64), 'f')
  told = dict(gain=None, kernel_init=equalised.he(gain))
  drawn = [
    first(equalised.Conv(128, **more), x) for more in (dict(gain=gain), told)
  ]
  assert all(not np.any(params['bias']) for params in drawn)
  run_time, drawn_so = (np.ravel(params['kernel']) for params in drawn)
  assert np.std(run_time) == pytest.approx(1.0, rel=0.02)
  assert abs(np.mean(run_time)) < 0.02
  he = gain / np.sqrt(9 * 64)
  assert np.std(drawn_so) == pytest.approx(he, rel=0.02)
  assert np.abs(run_time).max() > 3.5  # not cut off


def test_without_a_constant_the_kernel_stands_as_it_is():
  layer = equalised.Conv(7, gain=None, kernel_init=equalised.he())
  params = first(layer, X)
  np.testing.assert_array_equal(
    layer.apply({'params': params}, X), conv.conv(X, params['kernel'])
  )
