"""LPIPS against the lpips package, on rule weights and its own heads."""

import functools

import jax
import numpy as np
import pytest

from gan_jax.convert import feature_nets
from gan_jax.errors import UserError
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('feature_nets')
BACKBONES = {'vgg': 'vgg16', 'alex': 'alexnet'}


@functools.cache
def released(net):
  arrays = rule.weights(ABOUT['nets'][BACKBONES[net]])
  for i in range(5):
    head = ARRAYS[f'in/lpips_{net}_lin{i}']
    arrays[f'lin{i}.model.1.weight'] = head[None, :, None, None]
  return arrays


def pairs(case):
  about = ABOUT['cases'][case]
  a, b = (inputs.value(ABOUT, ARRAYS, about['in'][k]) for k in 'ab')
  blend = np.array(about['args']['blend'], np.float32)[:, None, None, None]
  return a, a + blend * (b - a)


@pytest.mark.parametrize('net', ['vgg', 'alex'])
@pytest.mark.parametrize('size', [64, 128])
def test_values(net, size):
  case = f'lpips_{net}_{size}'
  module, variables = feature_nets.lpips(released(net))
  layers = jax.jit(functools.partial(module.apply, method='layers'))
  terms = np.asarray(layers(variables, *pairs(case)))
  for i in range(5):
    kept = rule.stored(ABOUT, ARRAYS, case, f'layer{i}')
    assert rule.relative_error(terms[:, i], *kept) < 1e-5, i
  kept = rule.stored(ABOUT, ARRAYS, case, 'value')
  assert rule.relative_error(terms.sum(1), *kept) < 1e-5


def gradient_error(case, dtype):
  module, variables = feature_nets.lpips(released(case.split('_')[1]))
  a, b = (x.astype(dtype) for x in pairs(case))
  # The weights as an argument: as constants XLA would fold what it can of them.
  total = lambda a, variables: module.apply(variables, a, b).sum()
  gradient = np.asarray(jax.jit(jax.grad(total))(a, variables))
  assert gradient.dtype == dtype
  kept = rule.stored(ABOUT, ARRAYS, case, 'grad_a')
  return rule.relative_error(inputs.nchw(gradient), *kept)


@pytest.mark.parametrize(
  'case, tolerance',
  [
    ('lpips_alex_64', 1e-4),
    ('lpips_alex_128', 1e-4),
    ('lpips_vgg_128', 1e-4),
    # One ReLU within rounding of zero: 0.1 %, gone in double precision.
    ('lpips_vgg_64', 5e-3),
  ],
)
def test_gradients(case, tolerance):
  assert gradient_error(case, np.float32) < tolerance


@pytest.mark.slow
def test_gradients_in_double_precision():
  with jax.enable_x64(True):
    assert gradient_error('lpips_vgg_64', np.float64) < 1e-5


def test_equal_images_are_at_no_distance_and_have_a_gradient():
  """Black images too, some of whose pixels have no features at all."""
  module, variables = feature_nets.lpips(released('alex'))
  a = np.zeros((1, 64, 64, 3), np.float32)
  total = lambda x, variables: module.apply(variables, x, a).sum()
  value, gradient = jax.jit(jax.value_and_grad(total))(a, variables)
  assert abs(float(value)) < 1e-12
  assert np.isfinite(gradient).all()


def test_the_state_dict_of_the_whole_package():
  """Backbone in slices, the scaling layer and the heads' second names."""
  arrays = released('alex')
  whole = {
    name.replace('features.', 'net.slice1.'): value
    for name, value in arrays.items()
  }
  whole['scaling_layer.shift'] = np.zeros((1, 3, 1, 1), np.float32)
  whole['lins.0.model.1.weight'] = arrays['lin0.model.1.weight']
  ours, expected = feature_nets.lpips(whole)[1], feature_nets.lpips(arrays)[1]
  jax.tree.map(np.testing.assert_array_equal, ours, expected)


def test_oxfords_backbone_computes_what_torchvisions_layout_does():
  """The same kernels in both layouts; only the units of the input differ."""
  arrays = released('vgg')
  oxford = {k: v for k, v in arrays.items() if k.startswith('lin')}
  for ours, theirs in feature_nets._vgg_layers():
    block, layer = ours.removeprefix('conv').split('_')
    kernel = arrays[f'{theirs}.weight'].transpose(2, 3, 1, 0)
    kernel = kernel[:, :, ::-1] if ours == 'conv1_1' else kernel
    oxford[f'block{block}_conv{layer}__kernel'] = kernel
    oxford[f'block{block}_conv{layer}__bias'] = arrays[f'{theirs}.bias']
  one, variables = feature_nets.lpips(arrays)
  other, same = feature_nets.lpips(oxford)
  jax.tree.map(np.testing.assert_array_equal, same, variables)
  assert one.net.scale != other.net.scale


def test_heads_of_the_other_network_are_refused():
  arrays = dict(released('alex'))
  vgg = released('vgg')
  arrays |= {k: v for k, v in vgg.items() if k.startswith('lin')}
  with pytest.raises(UserError, match='lin1.model.1.weight has shape'):
    feature_nets.lpips(arrays)
  with pytest.raises(UserError, match='features.0.weight is missing'):
    feature_nets.lpips({k: v for k, v in vgg.items() if k.startswith('lin')})
