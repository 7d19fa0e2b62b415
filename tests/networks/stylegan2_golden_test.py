"""StyleGAN2's layers and networks against its released code, run in float64."""

import functools
import re

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.networks import stylegan2
from gan_jax.nn import resample, style
from gan_jax.nn.conv import conv
from gan_jax.nn.norm import pixel_norm
from gan_jax.nn.stddev import minibatch_stddev
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('stylegan2')
CASES = ABOUT['cases']
FORWARD = 1e-4  # the reference README's tolerance for float32
QUICK = {'xla_backend_optimization_level': 0}


def value(key):
  return jnp.asarray(inputs.value(ABOUT, ARRAYS, key))


def error(ours, case, name):
  ours = inputs.nchw(ours) if np.ndim(ours) == 4 else ours
  return rule.relative_error(ours, *rule.stored(ABOUT, ARRAYS, case, name))


# A released parameter's name: ours, the collection in front.
NAMES = [
  (r'mapping\.w_avg', r'w_average/mean'),
  (r'synthesis\.b4\.const', r'params/const'),
  (r'(.*\.)?b(\d+)\.conv(\d)\.noise_const', r'noise_maps/conv_\2_\3/map'),
  (r'mapping\.fc(\d)', r'params/mapping/dense_\1'),
  (r'mapping\.embed', r'params/mapping/embed'),
  (r'(.*\.)?b(\d+)\.conv(\d)', r'params/conv_\2_\3'),
  (r'(.*\.)?b(\d+)\.torgb', r'params/to_rgb_\2'),
  (r'b(\d+)\.fromrgb', r'params/from_rgb'),
  (r'b(\d+)\.skip', r'params/skip_\1'),
  (r'b4\.conv', r'params/conv_4'),
  (r'b4\.fc', r'params/dense'),
  (r'b4\.out', r'params/score'),
]
LEAVES = {'weight': 'kernel', 'bias': 'bias', 'noise_strength': 'strength'}


def ours(name):
  """The path of a released parameter among our variables."""
  layer, _, leaf = name.rpartition('.')
  if leaf in LEAVES:
    layer, affine = re.subn(r'\.affine$', '', layer)
    path = ours(layer) + ('style',) * affine
    return (*path, LEAVES[leaf])
  for pattern, path in NAMES:
    if re.fullmatch(pattern, name):
      return tuple(re.sub(pattern, path, name).split('/'))
  raise KeyError(name)


def to_ours(name, x):
  """An array in the released layout in ours."""
  if name == 'b4.fc.weight':  # flattens channel, y, x
    x = x.reshape(len(x), -1, 4, 4).transpose(2, 3, 1, 0)
    return x.reshape(-1, x.shape[-1])
  if name.endswith('noise_const'):
    return x[None, :, :, None]
  if name == 'synthesis.b4.const':
    return x.transpose(1, 2, 0)
  if name.endswith('weight'):
    return (
      x.transpose(*range(x.ndim)[:1:-1], 1, 0)[::1].swapaxes(0, x.ndim // 2 - 1)
      if x.ndim == 4
      else x.T
    )
  return x


def to_released(name, x, shape):
  """The way back."""
  x = np.asarray(x)
  if name == 'b4.fc.weight':
    return x.reshape(4, 4, -1, shape[0]).transpose(3, 2, 0, 1).reshape(shape)
  if name == 'synthesis.b4.const':
    return x.transpose(2, 0, 1)
  if name.endswith('weight'):
    return x.transpose(3, 2, 0, 1) if x.ndim == 4 else x.T
  return x


@functools.cache
def network(name, base=512, most=32, **more):
  """(module, variables) of a reference network."""
  net = ABOUT['nets'][name]
  ctor = net['ctor']
  side, classes = ctor['img_resolution'], ctor.get('c_dim', 0)
  synthesis = ctor.get('synthesis_kwargs', ctor)
  fields = dict(
    shape=(side, side, ctor['img_channels']),
    classes=classes,
    fmap_base=synthesis['channel_base'],
    fmap_max=synthesis['channel_max'],
    depth=ctor.get('mapping_kwargs', {}).get('num_layers', 8),
    clamp=0.0,
  )
  if name[0] == 'G':
    module = stylegan2.Generator(
      style_size=ctor['w_dim'], noise='const', **fields
    )
  else:
    size = ctor['epilogue_kwargs']['mbstd_group_size']
    module = stylegan2.Discriminator(
      group_size=size, group_layout='strided', **fields
    )
  arrays = {ours(k): to_ours(k, x) for k, x in rule.weights(net).items()}
  return module, flax.traverse_util.unflatten_dict(arrays)


def released(name, gradient):
  """A gradient's arrays by released name, as far as they are parameters."""
  found = flax.traverse_util.flatten_dict({'params': gradient})
  return {
    row['name']: to_released(
      row['name'], found[ours(row['name'])], row['shape']
    )
    for row in ABOUT['nets'][name]['params']
    if ours(row['name']) in found
  }


@functools.cache
def primitives():
  """Ours of the case `ops`, by released name."""
  x, styles, b, x6 = (value(k) for k in ('op_x', 'op_styles', 'op_b', 'op_x6'))
  # Four-dimensional inputs come as pictures do: undone for kernels.
  w, w1 = (value(k).transpose(1, 2, 3, 0) for k in ('op_w', 'op_w1'))
  found = {}
  for end, taps in (('', (1, 3, 3, 1)), ('_asym', (1, 2, 5, 1))):
    found |= {
      f'up2{end}': resample.upsample(x, taps),
      f'down2{end}': resample.downsample(x, taps),
      f'filter{end}': resample.smooth(x, 2, 1, taps),
      f'conv_up2{end}': resample.up_conv(x, w, taps),
      f'conv_down2{end}': resample.down_conv(x, w, taps),
      f'conv1x1_up2{end}': resample.up_conv(x, w1, taps),
      f'conv1x1_down2{end}': resample.down_conv(x, w1, taps),
    }
  return found | {
    'modconv_fused0': style.modulated(x, w, styles),
    'modconv_up2_fused0': style.modulated(x, w, styles, up=True),
    'modconv_nodemod': style.modulated(x, w, styles, demodulate=False),
    'bias_lrelu': style.activated(x + b),
    'bias_lrelu_clamp': style.activated(x + b, 0.8),
    'bias_linear': x + b,
    'mbstd_g2_f1': minibatch_stddev(x6, 2, 'strided'),
    'mbstd_gNone_f1': minibatch_stddev(x6, 6),
    'norm2': pixel_norm(x[:, 0, 0]),
  }


@pytest.mark.parametrize('name', CASES['ops']['out'])
def test_primitives(name):
  print(name, CASES['ops'].get('args'))
  assert error(primitives()[name], 'ops', name) < FORWARD
