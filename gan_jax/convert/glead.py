"""GLeaD's released discriminators: StyleGAN2's, a decoder and heads beside it.

bSIDE_dec are the decoder's levels; img_proj, feat_proj1 and feat_proj2 are the
heads of the basis, of the residual and of w. Without heads, as GGDR has it, the
last level tells G's map itself. G is StyleGAN2's.

Decoder and heads are a task's here (tasks/lead.py, tasks/align.py): they lie
where a run has them, among D's parameters under `TERMS`, which D itself does
not look at. The resolution at which G is entered stands in the settings that D
was made with, `glead_res_g`; files of bare arrays do not tell it.
"""

import jax
import jax.numpy as jnp

from gan_jax.convert import layout, stylegan2
from gan_jax.convert.layout import Kind, Row
from gan_jax.convert.persistence import told
from gan_jax.errors import UserError
from gan_jax.networks.stylegan2 import Discriminator
from gan_jax.tasks import pyramid
from gan_jax.tasks.lead import Heads
from gan_jax.terms import TERMS

LEAD, ALIGN = 'lead', 'align'
# The heads by their released names.
HEADS = {'img_proj': 'rgb', 'feat_proj1': 'features', 'feat_proj2': 'styles'}


def _task(arrays) -> str:
  """Whose decoder it is, by released names."""
  has_heads = any(f'{name}.weight' in arrays for name in HEADS)
  return LEAD if has_heads else ALIGN


def _sides(arrays) -> list[int]:
  """Those of the decoder's levels, of which the first is always there."""
  named = [k for k in pyramid.SIDES if f'b{k}_dec.weight' in arrays]
  return list(pyramid.between(max(named, default=pyramid.SIDES[0])))


def _rows(task: str, sides) -> list[Row]:
  """The arrays of decoder and heads."""
  layers = {f'b{side}_dec': f'up_{side}' for side in sides}
  if task == LEAD:
    layers |= HEADS
  return [
    row
    for name, ours in layers.items()
    for row in stylegan2.conv(name, TERMS, task, ours)
  ]


def _shapes(module: Discriminator, arrays, task: str, sides):
  """Those of D's variables, its task's among them as a run has them."""
  width = lambda name: layout.shape_of(arrays, f'{name}.bias', 1)[0]
  widths = tuple((side, width(f'b{side}_dec')) for side in sides)
  sizes = {HEADS[name]: width(name) for name in HEADS if task == LEAD}

  def make(key):
    args = jnp.zeros((1, *module.shape)), jnp.zeros(1, jnp.int32)
    judgement, variables = module.init_with_output(key, *args, train=False)
    decoder = pyramid.Pyramid(widths)
    x, own = decoder.init_with_output(key, judgement.features)
    heads = Heads(sizes).init(key, x).get('params', {})
    params = variables['params'] | {TERMS: {task: own['params'] | heads}}
    return dict(variables) | {'params': params}

  return jax.eval_shape(make, jax.random.key(0))


def read_discriminator(arrays):
  """Arrays by released name -> (stylegan2.Discriminator, variables).

  Decoder and heads are in variables['params'][TERMS].
  """
  module, rows = stylegan2.judge_of(arrays)
  task, sides = _task(arrays), _sides(arrays)
  if sides[-1] > module.shape[0]:
    raise UserError(
      f'its decoder goes to {sides[-1]} pixels, and pictures have'
      f' {module.shape[0]}.'
    )
  rows += _rows(task, sides)
  stylegan2.check_names(rows, arrays)
  shapes = _shapes(module, arrays, task, sides)
  return module, layout.fill(rows, stylegan2.brought_over(arrays), shapes)


def write_discriminator(variables):
  """Our variables -> arrays by released name."""
  heads = variables.get('params', {}).get(TERMS, {})
  tasks = [task for task in (LEAD, ALIGN) if task in heads]
  if len(tasks) > 1:
    raise UserError(
      'D has a decoder for tasks.lead and one for tasks.align, and the released'
      ' networks have one in all.'
    )
  more = [row for task in tasks for row in _rows(task, pyramid.SIDES)]
  return stylegan2.write(
    Discriminator, stylegan2.discriminator_rows, variables, more
  )


def _told(arrays) -> dict:
  """The settings of the task that these heads are of."""
  side = _sides(arrays)[-1]
  if _task(arrays) == ALIGN:
    return {'tasks.align.resolution': side}
  entered = told(arrays, 'glead_res_g', None)
  if entered is None:
    return {'tasks.lead.decoder': side}
  if entered not in pyramid.SIDES:
    raise UserError(f'glead_res_g is {entered}, and no side of a map of G.')
  # 0: as far as where G is entered.
  return {
    'tasks.lead.resolution': int(entered),
    'tasks.lead.decoder': 0 if side == entered else side,
  }


DISCRIMINATOR = Kind(
  role='discriminator',
  marks=(('b4.fc.weight', 'b4.out.weight', 'b8_dec.weight'),),
  read=read_discriminator,
  write=write_discriminator,
  told=_told,
)
