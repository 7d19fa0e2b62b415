"""Feature networks under their released names: Inception, VGG, AlexNet, LPIPS.

| function | files it knows |
|---|---|
| inception | pt_inception-2015-12-05 of pytorch-fid and torch-fidelity |
| vgg16 | torchvision's vgg16; Oxford's, as block1_conv1__kernel, HWIO, BGR |
| alexnet | torchvision's alexnet |
| lpips | one of these two and the heads, lin0.model.1.weight; or all in one |

Each takes all arrays of the file (or files) by name and gives (module,
variables). Classifier heads and counters, which no feature needs, may be
there.
"""

import re
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from gan_jax.convert import layout
from gan_jax.convert.layout import CONV, Kind, Row
from gan_jax.errors import UserError
from gan_jax.networks import inception as inception_lib
from gan_jax.networks.alexnet import LAYERS as ALEXNET_LAYERS
from gan_jax.networks.alexnet import AlexNet
from gan_jax.networks.lpips import Lpips
from gan_jax.networks.vgg import BLOCKS, Vgg16

BN_EPSILON = 1e-3
# The arrays of one of Inception's convolutions.
UNIT = (
  'conv.weight',
  'bn.weight',
  'bn.bias',
  'bn.running_mean',
  'bn.running_var',
)
ALEXNET_INDICES = (0, 3, 6, 8, 10)  # of torchvision's `features`
# Oxford's weights take BGR in 0..255 less these means (here in RGB).
OXFORD_MEAN = (123.68, 116.779, 103.939)

Arrays = Mapping[str, np.ndarray]


def _fill(rows, arrays: Arrays, shapes, unused: str | None = None):
  """The variables of the rows; names that match `unused` may be there."""
  extra = [name for name in arrays if unused and re.search(unused, name)]
  layout.check_names(rows, arrays, extra)
  return layout.fill(rows, arrays, shapes)


def _require(names, arrays: Arrays) -> None:
  rows = [Row(name, ()) for name in names]
  layout.check_names(rows, {n: arrays[n] for n in names if n in arrays})


def _folded(unit: str, arrays: Arrays) -> dict[str, np.ndarray]:
  """X.conv.weight and X.bn.* as X.weight and X.bias, in float64."""
  names = [f'{unit}.{part}' for part in UNIT]
  size = layout.shape_of(arrays, names[0], 4)[0]
  for name in names[1:]:
    if np.shape(arrays[name]) != (size,):
      raise UserError(
        f'{name} has shape {list(np.shape(arrays[name]))}; beside {names[0]} '
        f'it must be [{size}].'
      )
  kernel, scale, bias, mean, var = (
    np.asarray(arrays[name], np.float64) for name in names
  )
  scale = scale / np.sqrt(var + BN_EPSILON)
  return {
    f'{unit}.weight': kernel * scale[:, None, None, None],
    f'{unit}.bias': bias - mean * scale,
  }


def inception(arrays: Arrays) -> tuple[inception_lib.Inception, dict]:
  """FID's Inception-v3; batch norms are folded into the convolutions.

  Raises:
    UserError: for arrays that are not these, torchvision's among them, whose
      distance is no FID.
  """
  module = inception_lib.Inception()
  size = inception_lib.SIZE
  shapes = layout.shapes(module, jnp.zeros((1, size, size, 3)))
  units = [name for name in shapes['params'] if not name.startswith('fc')]
  norms = [f'{unit}.{part}' for unit in units for part in UNIT]
  _require(['fc.weight', 'fc.bias', *norms], arrays)
  classes = layout.shape_of(arrays, 'fc.weight', 2)[0]
  if classes != inception_lib.CLASSES:
    raise UserError(
      f"fc.weight has {classes} classes, FID's Inception "
      f"{inception_lib.CLASSES}: these are other weights (torchvision's?), "
      'whose distance is not FID; take pt_inception-2015-12-05.'
    )
  rows = [
    Row('fc.weight', ('params', 'fc', 'kernel'), (1, 0)),
    Row('fc.bias', ('params', 'fc_bias')),
  ]
  folded = {k: v for k, v in arrays.items() if k not in norms}
  for unit in units:
    folded |= _folded(unit, arrays)
    rows.append(Row(f'{unit}.weight', ('params', unit, 'kernel'), CONV))
    rows.append(Row(f'{unit}.bias', ('params', unit, 'bias')))
  unused = r'num_batches_tracked$|^AuxLogits\.'
  return module, _fill(rows, folded, shapes, unused)


def _vgg_layers() -> list[tuple[str, str]]:
  """(our name, torchvision's) of each convolution."""
  layers, index = [], 0
  for i, (_, count) in enumerate(BLOCKS, 1):
    for j in range(1, count + 1):
      layers.append((f'conv{i}_{j}', f'features.{index}'))
      index += 2  # the ReLU
    index += 1  # the pool
  return layers


def _alexnet_layers() -> list[tuple[str, str]]:
  names = [f'conv{i}' for i in range(1, len(ALEXNET_LAYERS) + 1)]
  return [
    (name, f'features.{i}')
    for name, i in zip(names, ALEXNET_INDICES, strict=True)
  ]


def _rows(layers, path=('params',)) -> list[Row]:
  """The rows of torchvision's convolutions."""
  rows = []
  for ours, released in layers:
    rows.append(Row(f'{released}.weight', (*path, ours, 'kernel'), CONV))
    rows.append(Row(f'{released}.bias', (*path, ours, 'bias')))
  return rows


def vgg16(arrays: Arrays) -> tuple[Vgg16, dict]:
  """VGG-16's convolutions, from torchvision or from Oxford.

  The module takes images in [-1, 1] either way.

  Raises:
    UserError: for arrays that are neither's.
  """
  example = jnp.zeros((1, 32, 32, 3))
  if 'block1_conv1__kernel' not in arrays:
    module = Vgg16()
    rows, shapes = _rows(_vgg_layers()), layout.shapes(module, example)
    return module, _fill(rows, arrays, shapes, r'^classifier\.')
  arrays = dict(arrays)
  # The first kernel's input in the order of ours, RGB.
  first = 'block1_conv1__kernel'
  arrays[first] = np.asarray(arrays[first])[:, :, ::-1]
  rows = []
  for ours, _ in _vgg_layers():
    block, layer = ours.removeprefix('conv').split('_')
    for part in ('kernel', 'bias'):
      name = f'block{block}_conv{layer}__{part}'
      rows.append(Row(name, ('params', ours, part)))
  shift = tuple(mean / 127.5 - 1 for mean in OXFORD_MEAN)
  module = Vgg16(shift=shift, scale=(1 / 127.5,) * 3)
  return module, _fill(rows, arrays, layout.shapes(module, example), '^fc')


def alexnet(arrays: Arrays) -> tuple[AlexNet, dict]:
  """AlexNet's convolutions, from torchvision.

  Raises:
    UserError: for arrays that are not these.
  """
  module = AlexNet()
  shapes = layout.shapes(module, jnp.zeros((1, 64, 64, 3)))
  rows = _rows(_alexnet_layers())
  return module, _fill(rows, arrays, shapes, r'^classifier\.')


def lpips(arrays: Arrays) -> tuple[Lpips, dict]:
  """LPIPS on VGG-16 or AlexNet; which one is read from the first kernel.

  Args:
    arrays: a backbone, as `vgg16` and `alexnet` take it, and the heads of the
      lpips package in one mapping; or the state dict of its whole module,
      net.slice1.0.weight. The heads were fitted to torchvision's backbones.

  Raises:
    UserError: for arrays that are not these, or heads of the other network.
  """
  heads = {k: v for k, v in arrays.items() if re.match(r'lin\d\.', k)}
  rest = {
    re.sub(r'^net\.slice\d+\.', 'features.', name): value
    for name, value in arrays.items()
    if not re.match(r'lins?[\d.]|scaling_layer\.', name)
  }
  if 'block1_conv1__kernel' in rest:
    net, found = vgg16(rest)
  else:
    _require(['features.0.weight'], rest)
    window = layout.shape_of(rest, 'features.0.weight', 4)[-1]
    net, found = vgg16(rest) if window == 3 else alexnet(rest)
  rows = []
  for i in range(len(net.taps)):
    name = f'lin{i}.model.1.weight'
    rows.append(Row(name, ('params', f'head{i}')))
    if name in heads and np.shape(heads[name])[2:] == (1, 1):
      heads[name] = np.asarray(heads[name])[0, :, 0, 0]
  module, image = Lpips(net), jnp.zeros((1, 64, 64, 3))
  variables = _fill(rows, heads, layout.shapes(module, image, image))
  variables['params']['net'] = found['params']
  return module, variables


INCEPTION = Kind(
  role='features',
  marks=(('Mixed_7c.branch_pool.conv.weight', 'Conv2d_1a_3x3.conv.weight'),),
  read=inception,
)
VGG16 = Kind(
  role='features',
  marks=(
    ('features.28.weight', 'features.2.weight', 'features.0.weight'),
    ('block5_conv3__kernel', 'block1_conv1__kernel'),
  ),
  read=vgg16,
)
ALEXNET = Kind(
  role='features',
  # VGG-16 has the first of these too, VGG-16 with batch norm the others.
  marks=(('features.6.weight', 'features.8.weight', 'features.10.weight'),),
  read=alexnet,
)
LPIPS = Kind(
  role='features',
  marks=(('lin0.model.1.weight', 'lin4.model.1.weight'),),
  read=lpips,
)
