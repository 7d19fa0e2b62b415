"""OSGAN's released DCGANs: 64 pixels, names such as deconv1.weight.

A state dict of G or of D each; D with batch norm (conv2_bn) or group norm
(conv2_gn). The released G takes latents [N, Z, 1, 1], ours [N, Z].
"""

import jax.numpy as jnp

from gan_jax.convert import layout
from gan_jax.convert.layout import CONV, TRANSPOSED, Kind, Row
from gan_jax.networks import dcgan

SIZE = 64
LAYERS = 5
# PyTorch counts the training passes of every batch norm.
COUNTERS = tuple(
  f'{conv}{i}_bn.num_batches_tracked'
  for conv in ('conv', 'deconv')
  for i in range(1, LAYERS)
)


def _rows(released: str, ours: str, axes, normed, norm: str) -> list[Row]:
  """The arrays of one network.

  Args:
    released: 'conv' or 'deconv'.
    ours: class of our layer.
    axes: of its kernel.
    normed: numbers of the layers that a norm follows.
    norm: 'batch' or 'group'.
  """
  rows = []
  for i in range(LAYERS):
    name, layer = f'{released}{i + 1}', ('params', f'{ours}_{i}')
    rows.append(Row(f'{name}.weight', (*layer, 'kernel'), axes))
    rows.append(Row(f'{name}.bias', (*layer, 'bias')))
  short, module = {'batch': ('bn', 'BatchNorm'), 'group': ('gn', 'GroupNorm')}[
    norm
  ]
  for k, i in enumerate(normed):
    name, layer = f'{released}{i}_{short}', f'{module}_{k}'
    rows.append(Row(f'{name}.weight', ('params', layer, 'scale')))
    rows.append(Row(f'{name}.bias', ('params', layer, 'bias')))
    if norm == 'batch':
      for stat in ('mean', 'var'):
        rows.append(Row(f'{name}.running_{stat}', ('batch_stats', layer, stat)))
  return rows


def _generator_rows() -> list[Row]:
  return _rows('deconv', 'ConvTranspose', TRANSPOSED, range(1, LAYERS), 'batch')


def _discriminator_rows(norm: str) -> list[Row]:
  return _rows('conv', 'Conv', CONV, range(2, LAYERS), norm)


def read_generator(arrays):
  """Arrays by released name -> (dcgan.Generator, variables)."""
  rows = _generator_rows()
  layout.check_names(rows, arrays, COUNTERS)
  latent = layout.shape_of(arrays, 'deconv1.weight', 4)[0]
  width, channels, *_ = layout.shape_of(arrays, 'deconv5.weight', 4)
  module = dcgan.Generator((SIZE, SIZE, channels), width=width, norm='batch')
  shapes = layout.shapes(module, jnp.zeros((1, latent)), train=False)
  return module, layout.fill(rows, arrays, shapes)


def read_discriminator(arrays):
  """Arrays by released name -> (dcgan.Discriminator, variables)."""
  norm = 'group' if any('_gn.' in name for name in arrays) else 'batch'
  rows = _discriminator_rows(norm)
  layout.check_names(rows, arrays, COUNTERS)
  width, channels, *_ = layout.shape_of(arrays, 'conv1.weight', 4)
  shape = (SIZE, SIZE, channels)
  module = dcgan.Discriminator(shape, width=width, norm=norm)
  shapes = layout.shapes(module, jnp.zeros((1, *shape)), train=False)
  return module, layout.fill(rows, arrays, shapes)


def write_generator(variables):
  """Our variables -> arrays by released name."""
  return layout.write(_generator_rows(), variables)


def write_discriminator(variables):
  """Our variables -> arrays by released name."""
  norm = 'group' if 'GroupNorm_0' in variables['params'] else 'batch'
  return layout.write(_discriminator_rows(norm), variables)


def _generator_facts(module, variables):
  del module
  kernel = variables['params']['ConvTranspose_0']['kernel']
  return {'latent.size': kernel.shape[2], 'latent.distribution': 'normal'}


def _generator_hints(module):
  """The data of the released runs, and the D that plays against this G."""
  colour = module.shape[-1] == 3
  return {
    'data.source': 'tfds:celeb_a' if colour else 'tfds:mnist',
    'discriminator': dict(
      name='dcgan', width=module.width, norm='group', spectral=False, bias=True
    ),
  }


GENERATOR = Kind(
  role='generator',
  marks=(('deconv1.weight', 'deconv5.weight', 'deconv1_bn.weight'),),
  read=read_generator,
  write=write_generator,
  facts=_generator_facts,
  hints=_generator_hints,
)
DISCRIMINATOR = Kind(
  role='discriminator',
  marks=(
    ('conv1.weight', 'conv5.weight', 'conv2_gn.weight'),
    ('conv1.weight', 'conv5.weight', 'conv2_bn.weight'),
  ),
  read=read_discriminator,
  write=write_discriminator,
)
