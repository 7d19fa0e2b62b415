"""FastGAN's released networks: names such as feat_8.1.weight_orig.

Its runs write ITER.pth, {'g': G's average, 'd': D}, and all_ITER.pth, {'g',
'd', 'g_ema', 'opt_g', 'opt_d'}, where the average is a list of G's parameters
in their order, without statistics; some files hold the state of G or D alone.
Runs on several GPUs have `module.` before all names. Spectral norm keeps
`weight_orig` and the vectors `weight_u`, `weight_v` of [out, in * kh * kw].

D's decoders are its task's here (tasks/autoencode.py): they lie where a run has
them, among D's variables under `TERMS`, which D itself does not look at. Arrays
of a D without them will do as well.
"""

import re
from collections.abc import Collection, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import networks, settings
from gan_jax.convert import layout
from gan_jax.convert.layout import CONV, TRANSPOSED, Kind, Row
from gan_jax.errors import UserError
from gan_jax.networks import fastgan
from gan_jax.nn.spectral import COLLECTION
from gan_jax.tasks.autoencode import Autoencode
from gan_jax.tasks.decoder import doublings_for
from gan_jax.terms import TERMS
from gan_jax.view import View

TASK = 'autoencode'
CARRIED = 'carried'  # its statistics, see terms.py
# The task's decoders by their released names.
DECODERS = {
  'decoder_big': 'whole_8',
  'decoder_small': 'whole_small_8',
  'decoder_part': 'part_16',
}
COUNTER = '.num_batches_tracked'  # of the training passes of a batch norm
OPENING = 'init.init.0'
DOUBLED = (8, 32, 128, 512)
# D's names count how often a side is halved from 512 px.
BLOCKS = {128: 4, 64: 8, 32: 16, 16: 32, 8: 64}
FIRST_BLOCKS = {32: 2, 16: 3, 8: 4}  # of the second branch
# The average in all_ITER.pth, and the G that it is of.
AVERAGES = {'g_ema.': 'g.', 'g_ema.module.': 'g.module.'}

Layers = list[tuple[str, tuple[str, ...]]]  # released name, our path


class _Parts:
  """The layers of a network under both names, by kind."""

  def __init__(self):
    self.convs: Layers = []
    self.norms: Layers = []
    self.noises: Layers = []

  def add(self, conv: str, name: str, norm: str = '', noise: str = ''):
    """A convolution conv_NAME with what follows it."""
    self.convs.append((conv, (f'conv_{name}',)))
    if noise:
      self.noises.append((noise, (f'noise_{name}',)))
    if norm:
      self.norms.append((norm, (f'norm_{name}', 'BatchNorm_0')))

  def gate(self, released: str, side: int):
    """An excitation gate_SIDE."""
    for k, name in ((1, 'squeeze'), (3, 'excite')):
      ours = (f'gate_{side}', name)
      self.convs.append((f'{released}.main.{k}', ours))

  def decoder(self, released: str, doublings: int):
    """A decoder of D's task."""
    home = (TERMS, TASK, DECODERS[released])
    for k in range(doublings):
      at = f'{released}.main.{k + 1}'
      self.convs.append((f'{at}.1', (*home, f'conv{k}')))
      self.norms.append((f'{at}.2', (*home, f'norm{k}', 'BatchNorm_0')))
    self.convs.append((f'{released}.main.5', (*home, 'rgb')))

  def rows(self) -> list[Row]:
    """All arrays."""
    found = []
    for name, ours in self.convs:
      axes = TRANSPOSED if name == OPENING else CONV
      found.append(
        Row(f'{name}.weight_orig', ('params', *ours, 'kernel'), axes)
      )
      for k in 'uv':
        found.append(
          Row(f'{name}.weight_{k}', (*_carried(COLLECTION, ours), k))
        )
    for name, ours in self.norms:
      found.append(Row(f'{name}.weight', ('params', *ours, 'scale')))
      found.append(Row(f'{name}.bias', ('params', *ours, 'bias')))
      for stat in ('mean', 'var'):
        home = _carried('batch_stats', ours)
        found.append(Row(f'{name}.running_{stat}', (*home, stat)))
    for name, ours in self.noises:
      found.append(Row(f'{name}.weight', ('params', *ours, 'strength')))
    return found


def _carried(collection: str, ours: tuple[str, ...]) -> tuple[str, ...]:
  """Where the statistics of a layer lie: of a task's apart from D's own."""
  if ours[0] != TERMS:
    return (collection, *ours)
  *home, head = ours[:3]
  return (*home, CARRIED, head, collection, *ours[3:])


def _generator(top: int) -> _Parts:
  """The layers of a G of `top` px."""
  parts = _Parts()
  parts.add(OPENING, '4', 'init.init.1')
  side = 4
  while side < top:
    side *= 2
    name = f'feat_{side}'
    if side in DOUBLED:
      parts.add(f'{name}.1', f'{side}_0', f'{name}.3', f'{name}.2')
      parts.add(f'{name}.5', f'{side}_1', f'{name}.7', f'{name}.6')
    else:
      parts.add(f'{name}.1', f'{side}_0', f'{name}.2')
    if 64 <= side <= 512:
      parts.gate(f'se_{side}', side)
  parts.add('to_128', 'small')
  parts.add('to_big', 'image')
  return parts


def _discriminator(top: int, decoders: Collection[str]) -> _Parts:
  """The layers of a D of `top` px, with these decoders by released name."""
  parts = _Parts()
  parts.add('down_from_big.0', 'stem')
  if top == 1024:
    parts.add('down_from_big.2', 'stem_256', 'down_from_big.3')
  for side, n in BLOCKS.items():
    if side >= top:
      continue
    for path, name in (('main.0', '0'), ('main.3', '1'), ('direct.1', 'skip')):
      kind, k = path.split('.')
      norm = f'down_{n}.{kind}.{int(k) + 1}'
      parts.add(f'down_{n}.{path}', f'{side}_{name}', norm)
    if 8 * side <= min(top, 256):
      parts.gate(f'se_{n // 8}_{n}', side)
  parts.add('rf_big.0', 'head', 'rf_big.1')
  parts.add('rf_big.3', 'score')
  first = min(top, 128) // 2
  parts.add('down_from_small.0', f'small_{first}')
  for side, k in FIRST_BLOCKS.items():
    if side < first:
      name = f'down_from_small.{k}.main'
      parts.add(f'{name}.0', f'small_{side}', f'{name}.1')
  parts.add('rf_small', 'small_score')
  for name in decoders:
    parts.decoder(name, doublings_for(top))
  return parts


def _ours(parts: _Parts, arrays: Mapping) -> dict:
  """Arrays whose vectors v are in the order of our kernels, [kh, kw, in]."""
  found = dict(arrays)
  for name, _ in parts.convs:
    first, second, *window = layout.shape_of(arrays, f'{name}.weight_orig', 4)
    form = (first if name == OPENING else second, *window)
    v = np.asarray(arrays[f'{name}.weight_v'])
    if v.size != np.prod(form):
      raise UserError(
        f'{name}.weight_v has {v.size} numbers; beside the other arrays it must'
        f' have {np.prod(form)}.'
      )
    found[f'{name}.weight_v'] = v.reshape(form).transpose(1, 2, 0).ravel()
  return found


def _theirs(parts: _Parts, arrays: dict) -> dict:
  """The way back of `_ours`."""
  found = dict(arrays)
  for name, _ in parts.convs:
    key = f'{name}.weight_v'
    if key in arrays and f'{name}.weight_orig' in arrays:
      first, second, *window = arrays[f'{name}.weight_orig'].shape
      form = (*window, first if name == OPENING else second)
      found[key] = arrays[key].reshape(form).transpose(2, 0, 1).ravel()
  return found


def _size(arrays, name: str, axis: int, share: int) -> int:
  """The width, as one layer of `share` times as many channels has it."""
  channels = layout.shape_of(arrays, name, 4)[axis]
  if channels % share:
    raise UserError(
      f'{name} has {channels} channels, which {share} does not divide.'
    )
  return channels // share


def _filled(module, parts: _Parts, arrays, shapes):
  return module, layout.fill(parts.rows(), _ours(parts, arrays), shapes)


def _checked(parts: _Parts, arrays) -> None:
  counters = [name for name in arrays if name.endswith(COUNTER)]
  layout.check_names(parts.rows(), arrays, counters)


def _with_decoders(module: fastgan.Discriminator, decoders: Collection[str]):
  """The shapes of D's variables, its task's among them as a run has them."""

  def make(key):
    picture = jnp.zeros((1, *module.shape))
    judgement, variables = module.init_with_output(key, picture, train=False)
    view = View(**dict.fromkeys(View._fields))
    view = view._replace(on_real=judgement, seen_real=picture)
    heads, carried = Autoencode().init(view, key)
    chosen = lambda tree: {n: x for n, x in tree.items() if n in wanted}
    params = variables['params'] | {TERMS: {TASK: chosen(heads)}}
    stats = {TERMS: {TASK: {CARRIED: chosen(carried)}}}
    return dict(variables) | {'params': params} | stats

  wanted = [DECODERS[name] for name in decoders]
  if not wanted:
    return layout.shapes(module, jnp.zeros((1, *module.shape)), train=False)
  return jax.eval_shape(make, jax.random.key(0))


def read_generator(arrays):
  """Arrays by released name -> (fastgan.Generator, variables)."""
  top = max(
    (s for s in fastgan.RESOLUTIONS if f'feat_{s}.1.weight_orig' in arrays),
    default=fastgan.RESOLUTIONS[0],
  )
  parts = _generator(top)
  _checked(parts, arrays)
  first = f'{OPENING}.weight_orig'
  channels = layout.shape_of(arrays, 'to_big.weight_orig', 4)[0]
  module = fastgan.Generator(
    (top, top, channels),
    width=_size(arrays, first, 1, 32),
    final_tanh='official',
  )
  latent = layout.shape_of(arrays, first, 4)[0]
  shapes = layout.shapes(module, jnp.zeros((1, latent)), train=False)
  return _filled(module, parts, arrays, shapes)


def read_discriminator(arrays):
  """Arrays by released name -> (fastgan.Discriminator, variables).

  The decoders' are in variables['params'][TERMS] and variables[TERMS].
  """
  stem = 'down_from_big.0.weight_orig'
  if stem not in arrays:
    raise UserError(f'{stem} is missing.')
  _, channels, kernel, _ = layout.shape_of(arrays, stem, 4)
  if kernel == 4:
    top = 1024 if 'down_from_big.2.weight_orig' in arrays else 512
  else:
    blocks = [
      s for s, n in BLOCKS.items() if f'down_{n}.main.0.weight_orig' in arrays
    ]
    top = max(fastgan.RESOLUTIONS[0], 2 * max(blocks, default=0))
  heads = [d for d in DECODERS if any(n.startswith(f'{d}.') for n in arrays)]
  parts = _discriminator(top, heads)
  _checked(parts, arrays)
  width = _size(arrays, 'rf_big.0.weight_orig', 0, 16)
  module = fastgan.Discriminator((top, top, channels), width=width)
  return _filled(module, parts, arrays, _with_decoders(module, heads))


def _names(variables) -> set[str]:
  """Of a network's layers, as its parameters or else its statistics have."""
  first = variables.get('params', next(iter(variables.values())))
  return set(first) - {TERMS}


def _decoders(variables) -> list[str]:
  """Those that parameters have, by released name."""
  heads = variables.get('params', {}).get(TERMS, {}).get(TASK, {})
  return [name for name, ours in DECODERS.items() if ours in heads]


def _highest(variables) -> int:
  """The highest side of a layer conv_SIDE_0 or norm_SIDE_0."""
  found = re.findall(r'\b(?:conv|norm)_(\d+)_0\b', ' '.join(_names(variables)))
  return max(map(int, found))


def _write(parts: _Parts, variables):
  own = {ours[0] for _, ours in (*parts.convs, *parts.norms, *parts.noises)}
  own -= {TERMS}
  given = _names(variables)
  if given - own or ('params' in variables and own - given):
    raise UserError(
      f'{", ".join(sorted(given ^ own))}: the released networks differ in these'
      ' layers.'
    )
  return _theirs(parts, layout.write(parts.rows(), variables))


def write_generator(variables):
  """Our variables -> arrays by released name; vectors want kernels beside."""
  return _write(_generator(_highest(variables)), variables)


def write_discriminator(variables):
  """Our variables -> arrays by released name; vectors want kernels beside."""
  top = 2 * _highest(variables)
  if 'conv_stem_256' in _names(variables):
    top = 1024
  elif 'params' in variables:
    if len(variables['params']['conv_stem']['kernel']) == 4:
      top = 512
  return _write(_discriminator(top, _decoders(variables)), variables)


def with_averages(arrays: Mapping) -> Mapping:
  """A file's arrays with the average of G, a list, under the names of G's.

  Args:
    arrays: of a file; of G in their order there.

  Returns:
    The same with g_ema.NAME, statistics taken from G, in place of g_ema.0,
    g_ema.1, ...; as it is if there is no such list.
  """
  found = dict(arrays)
  for average, plain in AVERAGES.items():
    own = {n: a for n, a in arrays.items() if n.startswith(plain)}
    ends = ('.weight_orig', '.weight', '.bias')
    learned = [name for name in own if name.endswith(ends)]
    listed = [f'g_ema.{i}' for i in range(len(learned))]
    if f'{plain}{OPENING}.weight_orig' not in own or listed[0] not in arrays:
      continue
    if listed[-1] not in arrays or f'g_ema.{len(listed)}' in arrays:
      raise UserError(
        'holds an average, g_ema, of other arrays than its generator, g: take'
        ' another checkpoint of the run.'
      )
    own |= {n: arrays[i] for n, i in zip(learned, listed, strict=True)}
    found = {n: a for n, a in found.items() if n not in listed}
    found |= {average + n.removeprefix(plain): a for n, a in own.items()}
  return found


def _generator_facts(module, variables):
  size = variables['params']['conv_4']['kernel'].shape[2] - module.classes
  return {'latent.size': size, 'latent.distribution': 'normal'}


def _generator_hints(module):
  """The D that plays against this G, and how they train (spec 4.3)."""
  own = settings.values(networks.settings('discriminator', 'fastgan'))
  return {
    'discriminator': own | dict(name='fastgan', width=module.width),
    'loss.name': 'hinge',
    'loss.margin_jitter': 0.2,
    f'tasks.{TASK}.weight': 1.0,
    f'tasks.{TASK}.loss': 'lpips',
    f'tasks.{TASK}.reduction': 'sum',
    'augment.mirror': True,
    'augment.diff': ('color', 'translation'),
    'scheme.fakes': 'shared',
    'train.batch': 8,
    'train.steps': 50_000,
    **layout.training_hints(lr=2e-4, b1=0.5, b2=0.999),
  }


GENERATOR = Kind(
  role='generator',
  marks=((f'{OPENING}.weight_orig', 'feat_8.1.weight_orig'),),
  read=read_generator,
  write=write_generator,
  facts=_generator_facts,
  hints=_generator_hints,
  averages=AVERAGES,
)
DISCRIMINATOR = Kind(
  role='discriminator',
  marks=(('down_from_big.0.weight_orig', 'rf_big.0.weight_orig'),),
  read=read_discriminator,
  write=write_discriminator,
)
