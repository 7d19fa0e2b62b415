"""Released arrays as variables and back; arrays that are not a network's.

That the networks compute the released ones' function is held by
tests/networks/dcgan_golden_test.py.
"""

import jax
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax import convert
from gan_jax.convert import files
from gan_jax.errors import UserError
from gan_jax.networks import dcgan
from tests.golden import rule
from tests.networks.dcgan_golden_test import ABOUT

NETS = {
  'G': 'osgan.generator',
  'D_gn': 'osgan.discriminator',
  'D_bn': 'osgan.discriminator',
}
WEIGHTS = {net: rule.weights(ABOUT['nets'][net]) for net in NETS}


@pytest.mark.parametrize('net', NETS)
def test_there_and_back(net):
  arrays, kind = WEIGHTS[net], NETS[net]
  _, variables = convert.released(kind, arrays)
  back = convert.under_released_names(kind, variables)
  assert set(back) == set(arrays)
  for name, array in arrays.items():
    np.testing.assert_array_equal(back[name], array)
    assert back[name].dtype == np.float32


@settings(deadline=None, max_examples=8)
@given(
  st.sampled_from(['G', 'batch', 'group']),
  st.integers(1, 3),
  st.sampled_from([1, 3]),
  st.integers(1, 5),
)
def test_sizes_are_read_from_shapes(role, width, channels, latent):
  shape = (64, 64, channels)
  if role == 'G':
    module, example = dcgan.Generator(shape, width=width), (1, latent)
  else:
    module = dcgan.Discriminator(shape, width=width, norm=role)
    example = (1, *shape)
  kind = 'osgan.generator' if role == 'G' else 'osgan.discriminator'
  shapes = jax.eval_shape(
    lambda: module.init(jax.random.key(0), np.zeros(example), train=True)
  )
  variables = jax.tree.map(lambda x: np.ones(x.shape, np.float32), shapes)
  arrays = convert.under_released_names(kind, variables)
  found, again = convert.released(kind, arrays)
  assert found == module
  assert jax.tree.map(np.shape, again) == jax.tree.map(np.shape, variables)
  # PyTorch's count of batches is no part of the function.
  if role != 'group':
    first = 'deconv1' if role == 'G' else 'conv2'
    arrays[f'{first}_bn.num_batches_tracked'] = np.int64(7)
    assert convert.released(kind, arrays)[0] == module


@pytest.mark.parametrize('dtype', [np.float16, np.float64, ml_dtypes.bfloat16])
def test_floats_of_any_width(dtype):
  arrays = {k: v.astype(dtype) for k, v in WEIGHTS['D_gn'].items()}
  _, variables = convert.released('osgan.discriminator', arrays)
  kernel = variables['params']['Conv_0']['kernel']
  assert kernel.dtype == np.float32
  expected = WEIGHTS['D_gn']['conv1.weight'].astype(dtype)
  np.testing.assert_array_equal(
    kernel[1, 2, 0, 5], expected[5, 0, 1, 2].astype(np.float32)
  )


def test_files_that_pytorch_wrote():
  """Names, shapes and numbers of tests/golden/torch_files.py."""
  for name, net, norm in (('g', 'G', 'batch'), ('d', 'D_gn', 'group')):
    arrays = files.read(rule.FOLDER / f'torch_osgan_{name}.pth')
    assert convert.find(arrays) == [(NETS[net], '')]
    module, variables = convert.released(NETS[net], arrays)
    assert (module.width, module.norm, module.shape[-1]) == (1, norm, 1)
    back = convert.under_released_names(NETS[net], variables)
    first = next(iter(arrays))
    expected = rule.rule(first, arrays[first].shape, 1, 0.3)
    np.testing.assert_array_equal(back[first], expected)


def test_networks_are_found_by_their_names():
  both = {f'g.{k}': v for k, v in WEIGHTS['G'].items()}
  both |= {f'module.d.{k}': v for k, v in WEIGHTS['D_bn'].items()}
  assert sorted(convert.find(both)) == [
    ('osgan.discriminator', 'module.d.'),
    ('osgan.generator', 'g.'),
  ]
  assert convert.find({'conv1.weight': np.ones(3)}) == []
  # The end of another name is not the name.
  assert convert.find({f'my_{k}': v for k, v in WEIGHTS['G'].items()}) == []


def changed(net, **arrays):
  """A network's arrays, some replaced and those given as None left out."""
  names = {k.replace('__', '.'): v for k, v in arrays.items()}
  table = WEIGHTS[net] | names
  return {k: v for k, v in table.items() if v is not None}


MISTAKES = {
  'missing': (
    changed('G', deconv2__bias=None),
    'these arrays are no osgan.generator: deconv2.bias is missing.',
  ),
  'many missing': (
    {},
    'deconv3.bias and 20 more are missing.',
  ),
  'left over': (
    changed('G', extra__weight=np.ones(1), more=np.ones(1)),
    'extra.weight and more are left over.',
  ),
  'shape': (
    changed('G', deconv3__weight=np.ones((32, 32, 4, 4), np.float32)),
    'deconv3.weight has shape [32, 32, 4, 4]; beside the other arrays it must'
    ' be [64, 32, 4, 4].',
  ),
  'dimensions': (
    changed('G', deconv1__weight=np.ones((100, 128), np.float32)),
    'deconv1.weight has shape [100, 128], not 4 dimensions',
  ),
  'empty': (
    changed('G', deconv5__weight=np.ones((0, 3, 4, 4), np.float32)),
    'deconv5.weight has shape [0, 3, 4, 4], not 4 dimensions of 1 or more',
  ),
  'type': (
    changed('G', deconv4__bias=np.ones(16, np.int8)),
    'deconv4.bias is of type int8, not a float.',
  ),
  'finite': (
    changed('G', deconv4__bias=np.full(16, np.nan, np.float32)),
    'deconv4.bias holds numbers that are not finite.',
  ),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_arrays_of_no_network_are_refused_in_one_sentence(mistake):
  arrays, words = MISTAKES[mistake]
  with pytest.raises(UserError) as error:
    convert.released('osgan.generator', arrays)
  assert words in str(error.value) and '\n' not in str(error.value)


def test_an_unknown_name_is_refused():
  with pytest.raises(UserError, match='did you mean osgan.generator'):
    convert.released('osgan.generater', WEIGHTS['G'])
