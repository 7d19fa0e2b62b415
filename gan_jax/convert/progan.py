"""ProGAN's released networks: names such as 8x8/Conv0_up/weight.

Its TensorFlow version keeps kernels as [kh, kw, in, out] and dense ones as
[in, out], whose maps are flattened channels first. With its fused layers, the
default there, the kernels that double a map are those of a transposed
convolution, [kh, kw, out, in] and turned by half a circle against the plain
ones; those that halve a map are as the plain ones, but bias and activation
come after the mean. ToRGB and FromRGB are counted from the picture: lod0.

Its snapshots are pickles with the settings that a network was made with, which
tfutil.py gives as arrays: static_kwargs/label_size is how many of a G's inputs
are the label's, static_kwargs/mbstd_group_size the size of D's groups. Without
them (files of bare arrays) G has the classes of the D that comes with it, or
none, and groups are of 4, the default in both places. Where there are classes,
latent vector and one-hot label are normalised together, as in that version.
"""

import jax.numpy as jnp
import numpy as np

from gan_jax import networks, settings
from gan_jax.convert import layout
from gan_jax.convert.layout import Kind, Row
from gan_jax.convert.tfutil import SETTING
from gan_jax.errors import UserError
from gan_jax.networks import progan
from gan_jax.terms import TERMS

FADE = 'lod'  # levels that a network has still to grow by
LABELS, GROUP = f'{SETTING}label_size', f'{SETTING}mbstd_group_size'

# A dense kernel, reshaped to [in, C, 4, 4] and [C, 4, 4, out], to ours.
OPENING = (2, 3, 0, 1)
CLOSING = (1, 2, 0, 3)
TURNED = (0, 1, 3, 2)  # [kh, kw, out, in]


def _told(arrays, name: str, default: int) -> int:
  """A setting that a network was made with."""
  if name not in arrays:
    return default
  value = np.asarray(arrays[name])
  if value.size != 1 or not 0 <= value < 2**31 or value != int(value):
    raise UserError(f'{name} is no whole number from 0 on.')
  return int(value)


def _check_grown(arrays) -> None:
  """Refuses a network whose highest levels have not been trained yet."""
  levels = np.max(arrays.get(FADE, 0.0))
  if levels > 0:
    raise UserError(
      f'lod is {levels:.3g}: this snapshot is of a network that is still'
      ' growing, whose highest levels are untrained; take a later one, whose'
      ' lod is 0.'
    )


def _sides(arrays, rgb: str) -> list[int]:
  """The sides of a network's levels, from 4 on.

  Args:
    arrays: by released name.
    rgb: 'ToRGB' or 'FromRGB'.
  """
  count = sum(f'{rgb}_lod{k}/weight' in arrays for k in range(32))
  sides = progan.RESOLUTIONS
  if not 1 <= count <= len(sides):
    raise UserError(
      f'there are {count} layers {rgb}_lod0, ..., and networks of {sides[0]} to'
      f' {sides[-1]} pixels have 1 to {len(sides)}.'
    )
  return list(sides[:count])


def _layers(sides, fused: bool, down: bool) -> dict[str, tuple]:
  """Released layer -> our layer and the axes of its kernel, of one network."""
  found = {}
  for k, side in enumerate(reversed(sides)):
    rgb = ('FromRGB', 'from_rgb') if down else ('ToRGB', 'to_rgb')
    found[f'{rgb[0]}_lod{k}'] = (f'{rgb[1]}_{side}', None)
    if side == 4:
      continue
    first = 'Conv0_up' if fused and not down else 'Conv0'
    second = 'Conv1_down' if fused and down else 'Conv1'
    axes = TURNED if first == 'Conv0_up' else None
    found[f'{side}x{side}/{first}'] = (f'conv_{side}_0', axes)
    found[f'{side}x{side}/{second}'] = (f'conv_{side}_1', None)
  if down:
    found['4x4/Conv'] = ('conv_4_0', None)
    found['4x4/Dense0'] = ('conv_4_1', CLOSING)
    found['4x4/Dense1'] = ('score', None)
  else:
    found['4x4/Dense'] = ('conv_4_0', OPENING)
    found['4x4/Conv'] = ('conv_4_1', None)
  return found


def _rows(layers) -> list[Row]:
  rows = []
  for name, (ours, axes) in layers.items():
    rows.append(Row(f'{name}/weight', ('params', ours, 'kernel'), axes))
    rows.append(Row(f'{name}/bias', ('params', ours, 'bias')))
  return rows


def _widths(arrays, layers) -> dict[int, int]:
  """Channels by side, as the biases have them."""
  found = {}
  for name, (ours, _) in layers.items():
    if name == '4x4/Dense0':
      found[2] = layout.shape_of(arrays, f'{name}/bias', 1)[0]
    elif ours.startswith('conv') and ours.endswith('_0'):
      side = int(ours.split('_')[1])
      found[side] = layout.shape_of(arrays, f'{name}/bias', 1)[0]
  return found


def _sizes(widths: dict[int, int]) -> dict:
  """The settings of our networks that give these channels.

  Raises:
    UserError: if there are none.
  """
  most = max(widths.values())
  # One channel is what there is of ever so few.
  more = {side: width for side, width in widths.items() if width > 1}
  least = max([1, *(width * side // 2 for side, width in more.items())])
  chosen = dict(fmap_base=least, fmap_max=most)
  module = progan.Generator((4, 4, 3), **chosen)
  if any(module.width(side) != width for side, width in widths.items()):
    raise UserError(
      f'the channels, {widths} by side, do not halve from level to level.'
    )
  return chosen


def _reshaped(arrays, layers) -> dict[str, np.ndarray]:
  """Released arrays whose axes are those that a `Row` speaks of."""
  found = dict(arrays)
  for name, (_, axes) in layers.items():
    key = f'{name}/weight'
    if axes == TURNED:
      found[key] = arrays[key][::-1, ::-1]
    elif axes in (OPENING, CLOSING):
      rows, columns = layout.shape_of(arrays, key, 2)
      size = columns if axes == OPENING else rows
      if size % 16:
        raise UserError(
          f'{key} has shape {list(arrays[key].shape)}, and {size} numbers are'
          ' no map of 4 by 4.'
        )
      parts = (size // 16, 4, 4)
      shape = (rows, *parts) if axes == OPENING else (*parts, columns)
      found[key] = arrays[key].reshape(shape)
    elif name == '4x4/Dense1':
      found[key] = arrays[key].reshape(1, 1, *layout.shape_of(arrays, key, 2))
  return found


def _as_released(arrays, layers) -> dict[str, np.ndarray]:
  """The way back of `_reshaped`."""
  found = dict(arrays)
  for name, (_, axes) in layers.items():
    key = f'{name}/weight'
    if key not in arrays:
      continue
    array = arrays[key]
    if axes == TURNED:
      found[key] = array[::-1, ::-1]
    elif axes == OPENING:
      found[key] = array.reshape(len(array), -1)
    elif axes == CLOSING or name == '4x4/Dense1':
      found[key] = array.reshape(-1, array.shape[-1])
  return found


def _read(network, arrays, inputs, **chosen):
  """The module and its variables.

  Args:
    network: a class of `networks.progan`.
    arrays: by released name.
    inputs: module -> what it takes, a batch of one each.
    **chosen: settings of the module, beside its sizes.
  """
  down = network is progan.Discriminator
  _check_grown(arrays)
  rgb = 'FromRGB' if down else 'ToRGB'
  sides = _sides(arrays, rgb)
  mark = 'Conv1_down' if down else 'Conv0_up'
  fused = any(f'/{mark}/' in name for name in arrays)
  layers = _layers(sides, fused, down)
  rows = _rows(layers)
  told = [name for name in arrays if name.startswith(SETTING)]
  layout.check_names(rows, arrays, [FADE, *told])
  kernel = layout.shape_of(arrays, f'{rgb}_lod0/weight', 4)
  shape = (sides[-1], sides[-1], kernel[2 if down else 3])
  if down:
    chosen['fused_scale_order'] = fused
  sizes = _sizes(_widths(arrays, layers))
  module = network(shape, **sizes, **chosen)
  shapes = layout.shapes(module, *inputs(module), train=False)
  return module, layout.fill(rows, _reshaped(arrays, layers), shapes)


def read_generator(arrays):
  """Arrays by released name -> (progan.Generator, variables)."""
  classes = _told(arrays, LABELS, 0)

  def inputs(module):
    size = layout.shape_of(arrays, '4x4/Dense/weight', 2)[0] - module.classes
    if size < 1:
      raise UserError(
        f'{LABELS} is {classes}, and G has {size + classes} inputs in all.'
      )
    return jnp.zeros((1, size)), jnp.zeros(1, jnp.int32)

  chosen = dict(classes=classes, sphere='joint') if classes else {}
  return _read(progan.Generator, arrays, inputs, **chosen)


def read_discriminator(arrays):
  """Arrays by released name -> (progan.Discriminator, variables)."""
  if '4x4/Dense1/bias' not in arrays:
    raise UserError('4x4/Dense1/bias is missing.')
  (logits,) = layout.shape_of(arrays, '4x4/Dense1/bias', 1)
  return _read(
    progan.Discriminator,
    arrays,
    lambda module: (jnp.zeros((1, *module.shape)),),
    classes=logits - 1,
    # 0 and 1 are a D without it there, and its arrays then say so.
    group_size=_told(arrays, GROUP, 4),
    group_layout='strided',
  )


def _with_classes(arrays, discriminator):
  """A G's arrays, and the number of classes that D tells apart."""
  return {LABELS: np.int64(discriminator.classes)} | dict(arrays)


def _write(variables, fused: bool, down: bool):
  rgb = 'from_rgb_' if down else 'to_rgb_'
  first = next(iter(variables.values()))
  sides = sorted(
    int(name.removeprefix(rgb)) for name in first if name.startswith(rgb)
  )
  layers = _layers(sides, fused, down)
  own = {ours for ours, _ in layers.values()}
  if left := [name for name in first if name not in {*own, TERMS}]:
    raise UserError(
      f'{", ".join(left)}: the released networks have no such layers.'
    )
  return _as_released(layout.write(_rows(layers), variables), layers)


def write_generator(variables, fused: bool = False):
  """Our variables -> arrays by released name.

  Args:
    variables: of a G.
    fused: whether under the names and layouts of fused layers.
  """
  return _write(variables, fused, down=False)


def write_discriminator(variables, fused: bool = False):
  """Our variables -> arrays by released name.

  Args:
    variables: of a D.
    fused: whether it has `fused_scale_order`, which only the names tell.
  """
  return _write(variables, fused, down=True)


def _generator_facts(module, variables):
  inputs = variables['params']['conv_4_0']['kernel'].shape[2]
  size = inputs - module.classes
  return {'latent.size': size, 'latent.distribution': 'normal'}


def _generator_hints(module):
  """The D that plays against this G, and how they train (spec 1.3)."""
  sizes = dict(fmap_base=module.fmap_base, fmap_max=module.fmap_max)
  own = settings.values(networks.settings('discriminator', 'progan'))
  return {
    'discriminator': own | sizes | dict(name='progan'),
    'loss.name': 'wasserstein',
    'penalties.wgan_gp.weight': 10.0,
    'penalties.drift.weight': 1e-3,
    **layout.training_hints(lr=1e-3, b1=0.0, b2=0.99),
  }


GENERATOR = Kind(
  role='generator',
  marks=(('4x4/Dense/weight', '4x4/Conv/weight', 'ToRGB_lod0/weight'),),
  read=read_generator,
  write=write_generator,
  facts=_generator_facts,
  hints=_generator_hints,
  beside=_with_classes,
  averages={'Gs.': 'G.'},
)
DISCRIMINATOR = Kind(
  role='discriminator',
  marks=(('4x4/Dense0/weight', '4x4/Conv/weight', 'FromRGB_lod0/weight'),),
  read=read_discriminator,
  write=write_discriminator,
)
