"""StyleGAN2's released networks: names such as synthesis.b8.conv0.weight.

Those of its PyTorch versions, stylegan2-ada-pytorch and the StyleGAN2
configurations of stylegan3, whose snapshots are pickles of G, D and G_ema with
the settings that each layer was made with; persistence.py gives these as
arrays, LAYER.init/NAME. The clamp and the size of D's groups are read there;
without them (files of bare arrays) they are 256 and 4, the defaults in training
there. All else is in names and shapes: G is residual where its blocks have
skips, and without noise where its layers have none.

`num_fp16_res`, the levels that were computed in float16, is not taken over: a
converted network is computed in float32. bfloat16, which `bfloat16_from` stands
for, is coarser than float16 (8 bits, not 11), and pictures would differ.
"""

import re
from collections.abc import Mapping

import flax
import jax.numpy as jnp
import numpy as np

from gan_jax import networks, settings
from gan_jax.convert import layout
from gan_jax.convert.layout import CONV, Kind, Row
from gan_jax.convert.persistence import is_setting, told
from gan_jax.errors import UserError
from gan_jax.networks import stylegan2
from gan_jax.nn import resample
from gan_jax.nn.style import NOISE_MAPS
from gan_jax.terms import TERMS

DENSE = (1, 0)  # [out, in] to [in, out]
SIDES = tuple(2**k for k in range(2, 11))
FILTER = 'resample_filter'  # a constant, kept as an array of each layer
CLOSING = 'b4.fc.weight'
SLOWED = 0.01  # the learning rate of the mapping network, to that of the rest
GROUP = 4


def _clamp(arrays) -> float:
  """The largest number behind a layer; 0.0: any."""
  value = told(arrays, 'conv_clamp', 256.0)
  if value is not None and not 0 < value <= 1e30:
    raise UserError(f'conv_clamp is {value}, and must be above 0.')
  return value or 0.0


def _check_layers(arrays) -> None:
  """Refuses layers that compute something else than ours."""
  taps = np.asarray(resample.TAPS, np.float64) / sum(resample.TAPS)
  for name, array in arrays.items():
    if name.rpartition('.')[2] == FILTER:
      wanted = np.outer(taps, taps)
      if np.shape(array) != wanted.shape or not np.allclose(array, wanted):
        raise UserError(
          f'{name} is another filter than that of {list(resample.TAPS)}, the'
          ' only one that is built here.'
        )
  own = {k: a for k, a in arrays.items() if k.startswith('mapping.fc')}
  slowed = told(own, 'lr_multiplier', SLOWED)
  if slowed != SLOWED:
    raise UserError(
      f'lr_multiplier of the mapping network is {slowed}, and only {SLOWED} is'
      ' built here.'
    )


def check_names(rows: list[Row], arrays: Mapping) -> None:
  """Checks the names, those of filters and settings let pass.

  Raises:
    UserError: see `layout.check_names`.
  """
  own = [row.released for row in rows]
  beside = [
    name
    for name in arrays
    if is_setting(name)
    or (name not in own and name.rpartition('.')[2] == FILTER)
  ]
  layout.check_names(rows, arrays, beside)


def _dense(released: str, *ours: str) -> list[Row]:
  home = ('params', *ours)
  return [
    Row(f'{released}.weight', (*home, 'kernel'), DENSE),
    Row(f'{released}.bias', (*home, 'bias')),
  ]


def conv(released: str, *ours: str, bias: bool = True) -> list[Row]:
  """The arrays of a convolution.

  Args:
    released: its name.
    *ours: its path among our parameters.
    bias: whether it has one.
  """
  home = ('params', *ours)
  kernel = Row(f'{released}.weight', (*home, 'kernel'), CONV)
  return [kernel, Row(f'{released}.bias', (*home, 'bias'))][: 1 + bias]


def _mapping(depth: int, classes: int) -> list[Row]:
  found = _dense('mapping.embed', 'mapping', 'embed') if classes else []
  for k in range(depth):
    found += _dense(f'mapping.fc{k}', 'mapping', f'dense_{k}')
  return found


def _generator(module: stylegan2.Generator) -> list[Row]:
  """The arrays of a G."""
  rows = [
    *_mapping(module.depth, module.classes),
    Row('mapping.w_avg', (stylegan2.W_AVERAGE, 'mean')),
    Row('synthesis.b4.const', ('params', 'const'), (1, 2, 0)),
  ]
  top, residual = module.shape[0], module.form == 'residual'
  for side in (side for side in SIDES if side <= top):
    block = f'synthesis.b{side}'
    for k in (0, 1) if side > 4 else (1,):
      name, ours = f'{block}.conv{k}', f'conv_{side}_{k}'
      rows += conv(name, ours)
      rows += _dense(f'{name}.affine', ours, 'style')
      if module.noise != 'none':
        rows.append(Row(f'{name}.noise_strength', ('params', ours, 'strength')))
        rows.append(Row(f'{name}.noise_const', (NOISE_MAPS, ours, 'map')))
    if residual and side > 4:
      rows += conv(f'{block}.skip', f'skip_{side}', bias=False)
    if side == top or not residual:
      rows += conv(f'{block}.torgb', f'to_rgb_{side}')
      rows += _dense(f'{block}.torgb.affine', f'to_rgb_{side}', 'style')
  return rows


def discriminator_rows(module: stylegan2.Discriminator) -> list[Row]:
  """The arrays of a D."""
  rows = _mapping(module.depth, module.classes) if module.classes else []
  top = module.shape[0]
  rows += conv(f'b{top}.fromrgb', 'from_rgb')
  for side in (side for side in SIDES[1:] if side <= top):
    for k in (0, 1):
      rows += conv(f'b{side}.conv{k}', f'conv_{side}_{k}')
    rows += conv(f'b{side}.skip', f'skip_{side}', bias=False)
  rows += conv('b4.conv', 'conv_4')
  return [*rows, *_dense('b4.fc', 'dense'), *_dense('b4.out', 'score')]


def brought_over(arrays: Mapping) -> dict:
  """Arrays whose axes a `Row` can bring into our order."""
  found = dict(arrays)
  for name, array in arrays.items():
    if name.endswith('.noise_const'):
      layout.shape_of(arrays, name, 2)
      found[name] = np.asarray(array)[None, :, :, None]
  if CLOSING in arrays:  # its maps are flattened channels first
    out, numbers = layout.shape_of(arrays, CLOSING, 2)
    if numbers % 16:
      raise UserError(
        f'{CLOSING} has shape {[out, numbers]}, and {numbers} numbers are no'
        ' map of 4 by 4.'
      )
    maps = np.asarray(arrays[CLOSING]).reshape(out, -1, 4, 4)
    found[CLOSING] = maps.transpose(0, 2, 3, 1).reshape(out, numbers)
  return found


def brought_back(arrays: dict) -> dict:
  """The way back of `brought_over`."""
  found = dict(arrays)
  for name, array in arrays.items():
    if name.endswith('.noise_const'):
      found[name] = array[0, :, :, 0]
  if CLOSING in arrays:
    maps = arrays[CLOSING].reshape(len(arrays[CLOSING]), 4, 4, -1)
    found[CLOSING] = maps.transpose(0, 3, 1, 2).reshape(len(maps), -1)
  return found


def _top(arrays, part: str) -> int:
  """The side of the pictures, as the names of the highest block have it.

  Args:
    arrays: by released name.
    part: in front of the blocks' names.
  """
  begins = lambda side: any(n.startswith(f'{part}b{side}.') for n in arrays)
  found = [side for side in SIDES[1:] if begins(side)]
  if not found:
    raise UserError(f'{part}b8.conv1.weight is missing.')
  return found[-1]


def _mapped(arrays) -> dict:
  """The settings that a mapping network's arrays tell."""
  depth = sum(f'mapping.fc{k}.weight' in arrays for k in range(64))
  embed, classes = 'mapping.embed.weight', 0
  if embed in arrays:
    classes = layout.shape_of(arrays, embed, 2)[1]
  return dict(depth=depth, classes=classes) if depth else {}


def _width(arrays, name: str) -> int:
  """The channels that a convolution gives."""
  if name not in arrays:
    raise UserError(f'{name} is missing.')
  return layout.shape_of(arrays, name, 4)[0]


def _sizes(widths: Mapping[int, int]) -> dict:
  """The settings of our networks that give these channels, by side.

  Raises:
    UserError: if there are none.
  """
  most = max(widths.values())
  # One channel is what there is of ever so few.
  more = {side: width for side, width in widths.items() if width > 1}
  least = max([1, *(width * side for side, width in more.items())])
  chosen = dict(fmap_base=least, fmap_max=most)
  module = stylegan2.Generator((32, 32, 3), **chosen)
  if any(module.width(side) != width for side, width in widths.items()):
    raise UserError(
      f'the channels, {dict(widths)} by side, do not halve from level to level.'
    )
  return chosen


def read_generator(arrays):
  """Arrays by released name -> (stylegan2.Generator, variables)."""
  top = _top(arrays, 'synthesis.')
  sides = [side for side in SIDES if side <= top]
  if 'mapping.fc0.weight' not in arrays:
    raise UserError('mapping.fc0.weight is missing.')
  size, inputs = layout.shape_of(arrays, 'mapping.fc0.weight', 2)
  block = 'synthesis.b{}.conv1.weight'
  module = stylegan2.Generator(
    (top, top, _width(arrays, f'synthesis.b{top}.torgb.weight')),
    **_sizes({side: _width(arrays, block.format(side)) for side in sides}),
    **_mapped(arrays),
    style_size=size,
    clamp=_clamp(arrays),
    form='residual' if 'synthesis.b8.skip.weight' in arrays else 'skip',
    noise=(
      'random' if 'synthesis.b4.conv1.noise_strength' in arrays else 'none'
    ),
  )
  rows = _generator(module)
  _check_layers(arrays)
  check_names(rows, arrays)
  size = inputs - size * bool(module.classes)
  if size < 1:
    raise UserError(
      f'mapping.fc0.weight has {inputs} inputs, of which the labels take all.'
    )
  args = jnp.zeros((1, size)), jnp.zeros(1, jnp.int32)
  shapes = layout.shapes(module, *args, train=False)
  return module, layout.fill(rows, brought_over(arrays), shapes)


def _group_size(arrays, channels: int) -> int:
  """The size of D's groups.

  Args:
    arrays: by released name.
    channels: of the map that they are behind.
  """
  more = layout.shape_of(arrays, 'b4.conv.weight', 4)[1] - channels
  if not more:
    return 1  # D does not see them
  size = told(arrays, 'group_size', told(arrays, 'mbstd_group_size', GROUP))
  if size is not None and (not 0 < size <= 2**16 or size != int(size)):
    raise UserError(f'the size of its groups, {size}, is no whole number.')
  return int(size or 0)


def judge_of(arrays) -> tuple[stylegan2.Discriminator, list[Row]]:
  """The module that a D's arrays tell, and its rows."""
  top = _top(arrays, '')
  if 'b8.skip.weight' not in arrays and f'b{top}.skip.weight' not in arrays:
    raise UserError(
      "D's blocks have no skips, and only the architecture resnet is built"
      ' here: take G alone, by --as=stylegan2.generator.'
    )
  image = f'b{top}.fromrgb.weight'
  widths = {top: _width(arrays, image)}
  for side in (side for side in SIDES[1:] if side <= top):
    widths[side // 2] = _width(arrays, f'b{side}.conv1.weight')
  if 'b4.conv.weight' not in arrays:
    raise UserError('b4.conv.weight is missing.')
  module = stylegan2.Discriminator(
    (top, top, layout.shape_of(arrays, image, 4)[1]),
    **_sizes(widths),
    **_mapped(arrays),
    clamp=_clamp(arrays),
    group_size=_group_size(arrays, widths[4]),
    group_layout='strided',
  )
  _check_layers(arrays)
  return module, discriminator_rows(module)


def read_discriminator(arrays):
  """Arrays by released name -> (stylegan2.Discriminator, variables)."""
  module, rows = judge_of(arrays)
  check_names(rows, arrays)
  args = jnp.zeros((1, *module.shape)), jnp.zeros(1, jnp.int32)
  shapes = layout.shapes(module, *args, train=False)
  return module, layout.fill(rows, brought_over(arrays), shapes)


def write(network, rows_of, variables, more=()) -> dict[str, np.ndarray]:
  """Variables, or gradients by them, under released names.

  Args:
    network: a class of `networks.stylegan2`.
    rows_of: a module of it -> its rows.
    variables: of some collections.
    more: rows of a task's heads, which are not looked at without them.

  Raises:
    UserError: there are layers that the released networks have not.
  """
  heads = {row.ours for row in more}
  own = {
    path: array
    for path, array in flax.traverse_util.flatten_dict(variables).items()
    if TERMS not in path[:2] or path in heads
  }
  text = ' '.join('/'.join(path) for path in own)
  numbers = lambda name: [int(n) for n in re.findall(rf'/{name}(\d+)', text)]
  top = max(numbers('(?:conv|skip|to_rgb)_'), default=4)
  fields = dict(depth=1 + max(numbers('dense_'), default=0))
  if '/skip_' in text and network is stylegan2.Generator:
    fields |= dict(form='residual')
  module = network((top, top, 3), int('/embed/' in text), **fields)
  rows = [row for row in (*rows_of(module), *more) if row.ours in own]
  left = own.keys() - {row.ours for row in rows}
  if left:
    names = sorted({'/'.join(path[1:-1]) for path in left})
    raise UserError(
      f'{", ".join(names)}: the released networks have no such layers.'
    )
  tree = flax.traverse_util.unflatten_dict(own)
  return brought_back(layout.write(rows, tree))


def write_generator(variables):
  """Our variables -> arrays by released name."""
  return write(stylegan2.Generator, _generator, variables)


def write_discriminator(variables):
  """Our variables -> arrays by released name."""
  return write(stylegan2.Discriminator, discriminator_rows, variables)


def _generator_facts(module, variables):
  first = variables['params']['mapping']['dense_0']['kernel']
  size = first.shape[0] - module.style_size * bool(module.classes)
  return {'latent.size': size, 'latent.distribution': 'normal'}


def _generator_hints(module):
  """The D that plays against this G, and how they train: as paper256 does."""
  own = settings.values(networks.settings('discriminator', 'stylegan2'))
  same = ('fmap_base', 'fmap_max', 'clamp')
  sizes = {name: getattr(module, name) for name in same}
  return {
    'discriminator': own | sizes | dict(name='stylegan2', group_size=8),
    'loss.name': 'non_saturating',
    'penalties.r1.weight': 1.0,
    'penalties.r1.every': 16,
    'penalties.r1.phase': 'after',
    'penalties.path_length.weight': 2.0,
    'penalties.path_length.every': 4,
    'penalties.path_length.phase': 'after',
    'train.batch': 64,
    **layout.training_hints(lr=2.5e-3, b1=0.0, b2=0.99),
    'ema.name': 'half_life',
    'ema.half_life': 20_000.0,
    'ema.ramp_up': 0.0,
  }


GENERATOR = Kind(
  role='generator',
  marks=(('mapping.fc0.weight', 'synthesis.b4.const'),),
  read=read_generator,
  write=write_generator,
  facts=_generator_facts,
  hints=_generator_hints,
  averages={'G_ema.': 'G.'},
)
DISCRIMINATOR = Kind(
  role='discriminator',
  marks=(('b4.fc.weight', 'b4.out.weight'),),
  unless=('b8_dec.weight',),  # of GLeaD's, see glead.py
  read=read_discriminator,
  write=write_discriminator,
)
