"""FID's Inception against torch-fidelity and pytorch-fid, on rule weights."""

import jax
import numpy as np
import pytest

from gan_jax.convert import feature_nets
from gan_jax.errors import UserError
from gan_jax.metrics import resize
from gan_jax.networks import inception
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('feature_nets')
SIZES = (32, 64, 299)
NAMES = {'pool3_2048': 'pool_2048'}  # reference's to ours, where they differ


@pytest.fixture(scope='module')
def released():
  return rule.weights(ABOUT['nets']['inception'])


@pytest.fixture(scope='module')
def features(released):
  """{case: features}, of all reference images in one batch."""
  module, variables = feature_nets.inception(released)
  cases, batch = [], []
  for size in SIZES:
    images = inputs.value(ABOUT, ARRAYS, f'img_{size}x{size}')
    for short, name in (('tf', 'tf1_bilinear'), ('hp', 'half_pixel_bilinear')):
      cases += [f'inception_{short}_{size}x{size}'] * len(images)
      batch.append(resize.for_inception(images, name))
  out = jax.jit(module.apply)(variables, np.concatenate(batch))
  cases = np.array(cases)
  return {
    case: {k: np.asarray(v)[cases == case] for k, v in out.items()}
    for case in dict.fromkeys(cases.tolist())
  }


def test_the_rule_re_creates_the_weights(released):
  for name, first in ABOUT['nets']['inception']['rule_check'].items():
    np.testing.assert_allclose(released[name].reshape(-1)[:3], first, rtol=1e-6)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('short', ['tf', 'hp'])
def test_features(features, short, size):
  case = f'inception_{short}_{size}x{size}'
  outputs = list(ABOUT['cases'][case]['out'])
  assert outputs
  for name in outputs:
    kept = rule.stored(ABOUT, ARRAYS, case, name)
    ours = features[case][NAMES.get(name, name)]
    assert rule.relative_error(ours, *kept) < 1e-5, name


def test_mean_pool_leaves_the_border_out_of_the_count():
  x = np.random.default_rng(0).normal(size=(1, 5, 4, 2)).astype(np.float32)
  expected = np.zeros_like(x)
  for i in range(5):
    for j in range(4):
      part = x[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
      expected[:, i, j] = part.mean((1, 2))
  np.testing.assert_allclose(inception._mean_pool(x), expected, atol=1e-6)


def test_counters_and_the_auxiliary_head_are_let_be(released):
  extra = released | {
    'Conv2d_1a_3x3.bn.num_batches_tracked': np.zeros((), np.int64),
    'AuxLogits.fc.weight': np.zeros((3, 3), np.float32),
    'AuxLogits.conv0.conv.weight': np.zeros((3, 3, 1, 1), np.float32),
  }
  _, variables = feature_nets.inception(extra)
  _, plain = feature_nets.inception(released)
  jax.tree.map(np.testing.assert_array_equal, variables, plain)


def test_other_weights_are_refused(released):
  torchvision = released | {'fc.weight': np.zeros((1000, 2048), np.float32)}
  with pytest.raises(UserError, match='not FID'):
    feature_nets.inception(torchvision)
  for name in (
    'Mixed_6a.branch3x3.conv.weight',
    'Mixed_7c.branch_pool.bn.bias',
  ):
    part = {k: v for k, v in released.items() if k != name}
    with pytest.raises(UserError, match=f'{name} is missing'):
      feature_nets.inception(part)
  bent = released | {'Mixed_6a.branch3x3.bn.bias': np.zeros(3, np.float32)}
  with pytest.raises(UserError, match=r'bn.bias has shape \[3\]'):
    feature_nets.inception(bent)
  with pytest.raises(UserError, match='left over'):
    feature_nets.inception(released | {'what.weight': np.zeros(3, np.float32)})
