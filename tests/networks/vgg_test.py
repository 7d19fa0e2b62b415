"""VGG-16 against torchvision's model, on rule weights; Oxford's layout."""

import pathlib

import jax
import numpy as np
import pytest

from gan_jax.convert import feature_nets
from gan_jax.errors import UserError
from gan_jax.networks import vgg
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('feature_nets')
NAMES = {
  'features.3': 'relu1_2',
  'features.8': 'relu2_2',
  'features.15': 'relu3_3',
  'features.22': 'relu4_3',
  'features.29': 'relu5_3',
  'final_pool': 'pool5',
}
OXFORD = (
  pathlib.Path(__file__).parents[3]
  / 'shared/data/weights/vgg16_conv_oxford_hwio_fp16.npz'
)


@pytest.fixture(scope='module')
def released():
  return rule.weights(ABOUT['nets']['vgg16'])


@pytest.mark.parametrize('size', [32, 64])
def test_features(released, size):
  module, variables = feature_nets.vgg16(released)
  as_is = module.clone(shift=(0.0,) * 3, scale=(1.0,) * 3)
  x = inputs.value(ABOUT, ARRAYS, f'norm_{size}')
  out = jax.jit(as_is.apply)(variables, x)
  for theirs, ours in NAMES.items():
    kept = rule.stored(ABOUT, ARRAYS, f'vgg16_{size}', theirs)
    error = rule.relative_error(inputs.nchw(out[ours]), *kept)
    assert error < 1e-5, theirs


def oxford_layout(released):
  """The same kernels as an Oxford file would hold them: HWIO, BGR, fp16."""
  arrays = {}
  for ours, theirs in feature_nets._vgg_layers():
    block, layer = ours.removeprefix('conv').split('_')
    kernel = released[f'{theirs}.weight'].transpose(2, 3, 1, 0)
    if ours == 'conv1_1':
      kernel = kernel[:, :, ::-1]
    name = f'block{block}_conv{layer}__'
    arrays[f'{name}kernel'] = kernel.astype(np.float16)
    arrays[f'{name}bias'] = released[f'{theirs}.bias'].astype(np.float16)
  return arrays


def test_oxfords_layout_and_units(released):
  """BGR in 0..255 less the means, in plain NumPy, through the same kernels."""
  arrays = oxford_layout(released)
  module, variables = feature_nets.vgg16(arrays)
  assert variables['params']['conv1_1']['kernel'].dtype == np.float32
  x = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3))
  out = module.apply(variables, x.astype(np.float32))
  bgr = ((x + 1) * 127.5)[..., ::-1] - (103.939, 116.779, 123.68)
  padded = np.pad(bgr, ((0, 0), (1, 1), (1, 1), (0, 0)))
  windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
  layers = [
    arrays[f'block1_conv1__{k}'].astype(float) for k in ('kernel', 'bias')
  ]
  first = np.einsum('nhwcij,ijcd->nhwd', windows, layers[0]) + layers[1]
  ours = vgg.Conv(64, 3).apply(
    {'params': variables['params']['conv1_1']},
    ((x - module.shift) / module.scale).astype(np.float32),
  )
  np.testing.assert_allclose(ours, first, rtol=1e-3, atol=1e-2)
  assert out['pool5'].shape == (1, 1, 1, 512)


@pytest.mark.skipif(not OXFORD.exists(), reason='needs the real weights')
def test_the_real_weights():
  """Trained features are sparse and of one scale; a wrong layout's are not."""
  module, variables = feature_nets.vgg16(dict(np.load(OXFORD)))
  rows = np.linspace(-1, 1, 64)[None, :, None, None]
  out = jax.jit(module.apply)(
    variables, np.broadcast_to(rows, (1, 64, 64, 3)).astype(np.float32)
  )
  zeros = np.mean(np.asarray(out['relu5_3']) == 0)
  assert 0.5 < zeros < 1
  assert all(np.isfinite(v).all() for v in out.values())


def test_arrays_of_another_network_are_refused(released):
  part = {k: v for k, v in released.items() if not k.startswith('features.28')}
  with pytest.raises(UserError, match='features.28.weight'):
    feature_nets.vgg16(part)
  with pytest.raises(UserError, match='left over'):
    feature_nets.vgg16(released | {'features.30.weight': np.zeros(3)})
  head = {'classifier.0.weight': np.zeros((4, 4), np.float32)}
  feature_nets.vgg16(released | head)
