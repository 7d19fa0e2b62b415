"""What passes between a device's memory and its chip, read off a text."""

import importlib.util

import jax
import jax.numpy as jnp
import pytest

from gan_jax import config as config_lib
from gan_jax import plan as plan_lib
from gan_jax.plan.traffic import traffic


def entry(*lines, before=''):
  """A step's text; x lies in memory, in whole tiles, near on the chip."""
  start = [
    '%x = f32[8,128]{1,0:T(8,128)} parameter(0)',
    '%near = f32[8,128]{1,0:T(8,128)S(1)} parameter(1)',
    '%i = s32[] parameter(2)',
  ]
  body = '\n'.join(f'  {line}' for line in [*start, *lines])
  return f'{before}ENTRY %main (x: f32[8,128]) -> f32[8,128] {{\n{body}\n}}\n'


TILE = 4 * 8 * 128
AFTER = ', metadata={op_name="jit(f)/calls=%other"}'


@pytest.mark.parametrize(
  ('line', 'tiles'),
  [
    ('%y = f32[8,128]{1,0:T(8,128)} add(%x, %x)', 3),
    ('%y = f32[8,128]{1,0:T(8,128)} add(%x, /*index=1*/%near)' + AFTER, 2),
    ('ROOT %y = f32[8,128]{1,0:T(8,128)S(1)} negate(%near)', 0),
    ('%y = f32[8,128]{1,0:T(8,128)} negate(f32[8,128]{1,0:T(8,128)} %x)', 2),
    # Three features lie as 128.
    ('%y = f32[8,3]{1,0:T(8,128)} negate(%near)', 1),
    ('%y = bf16[16,128]{1,0:T(8,128)(2,1)} negate(%near)', 1),
    # Into the chip, and out of it.
    (
      '%s = (f32[8,128]{1,0:T(8,128)S(1)}, f32[8,128]{1,0:T(8,128)}, u32[])'
      ' copy-start(%x)',
      1,
    ),
    (
      '%s = (f32[8,128]{1,0:T(8,128)}, f32[8,128]{1,0:T(8,128)S(1)}, u32[])'
      ' copy-start(%near)',
      1,
    ),
    ('%d = f32[8,128]{1,0:T(8,128)} copy-done(%s)', 0),
    (
      '%s = ((f32[64,128]{1,0:T(8,128)}), f32[8,128]{1,0:T(8,128)S(1)}, s32[])'
      ' slice-start(%x), slice={[0:8], [0:128]}',
      1,
    ),
    ('%t = (f32[8,128]{1,0:T(8,128)}, s32[]) tuple(%x, %i)', 0),
    ('%b = f32[1024]{0:T(1024)} bitcast(%x)', 0),
    ('%r = f32[8,128]{1,0:T(8,128)} all-reduce(%x), to_apply=%sum', 2),
    (
      '%r = (f32[8,128]{1,0:T(8,128)}, f32[16,128]{1,0:T(8,128)})'
      ' all-gather-start(%x), dimensions={0}',
      3,
    ),
    # A place in a table is not the table.
    (
      '%g = f32[1,128]{1,0:T(1,128)} dynamic-slice(%x, %i, %i)',
      2 / 8 + 2 * 4 / TILE,
    ),
  ],
)
def test_what_lies_in_memory_counts(line, tiles):
  assert traffic(entry(line)) == tiles * TILE


def fused(*lines):
  """A fusion of a table and an index, before what calls it."""
  body = '\n'.join(f'  {line}' for line in lines)
  return f'%fused (p: f32[64,128], i: s32[]) -> f32[8,128] {{\n{body}\n}}\n'


def test_a_fusion_that_looks_up_reads_what_it_finds():
  """Parameters stand in any order; what is read goes through a bitcast."""
  before = fused(
    '%i.1 = s32[] parameter(1)',
    '%p = f32[64,128]{1,0:T(8,128)} parameter(0)',
    '%b = f32[64,1,128]{2,1,0:T(8,128)} bitcast(%p)',
    '%g = f32[8,128]{1,0:T(8,128)} gather(%b, %i.1), offset_dims={1}',
    'ROOT %n = f32[8,128]{1,0:T(8,128)} negate(%g)',
  )
  table = '%table = f32[64,128]{1,0:T(8,128)} parameter(3)'
  line = (
    '%y = f32[8,128]{1,0:T(8,128)} fusion(%table, %i), kind=kLoop,'
    ' calls=%fused' + AFTER
  )
  assert traffic(entry(table, line, before=before)) == 2 * TILE + 4


def test_a_fusion_that_writes_in_place_moves_what_it_writes():
  before = fused(
    '%p = f32[64,128]{1,0:T(8,128)} parameter(0)',
    '%u = f32[8,128]{1,0:T(8,128)} parameter(1)',
    'ROOT %d = f32[64,128]{1,0:T(8,128)} dynamic-update-slice(%p, %u, %i)',
  )
  table = '%table = f32[64,128]{1,0:T(8,128)} parameter(3)'
  line = (
    '%y = f32[64,128]{1,0:T(8,128)} fusion(%table, %x), kind=kLoop,'
    ' calls=%fused'
  )
  assert traffic(entry(table, line, before=before)) == 2 * TILE


def test_a_loop_counts_once_and_a_branch_at_its_most():
  round_ = '%y = f32[8,128]{1,0:T(8,128)} add(%q, %q)'
  q = '%q = f32[8,128]{1,0:T(8,128)} parameter(0)'
  z = '%z = f32[8,128]{1,0:T(8,128)} negate(%y)'
  before = (
    f'%body (q: f32[8,128]) -> f32[8,128] {{\n  {q}\n  {round_}\n}}\n'
    f'%more (q: f32[8,128]) -> f32[8,128] {{\n  {q}\n  {round_}\n  {z}\n}}\n'
  )
  loop = '%w = f32[8,128] while(%x), condition=%none, body=%body'
  assert traffic(entry(loop, before=before)) == 3 * TILE
  branch = '%c = f32[8,128] conditional(%i, %x, %x), '
  of = 'branch_computations={%body, %more}'
  assert traffic(entry(branch + of, before=before)) == 5 * TILE
  of = 'true_computation=%more, false_computation=%body'
  assert traffic(entry(branch + of, before=before)) == 5 * TILE


def test_it_is_what_the_compiler_counts_where_all_lies_in_memory():
  def loss(weights, x):
    for w in weights:
      x = jax.nn.relu(x @ w)
    return (x**2).sum()

  weights = [jnp.ones((128, 128))] * 4
  step = jax.jit(jax.grad(loss)).lower(weights, jnp.ones((256, 128))).compile()
  counted = step.cost_analysis()['bytes accessed']
  assert traffic(step.as_text()) == pytest.approx(counted, rel=0.1)


@pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None,
  reason="the TPU's compiler is of the extra tpu",
)
@pytest.mark.slow
def test_a_tpu_keeps_on_the_chip_what_it_can(monkeypatch):
  """Without effort nothing stays there, and the compiler's count is right."""
  turns, cost_of = [], plan_lib.cost_of
  keep = lambda turn, state: turns.append(turn) or cost_of(turn, state)
  monkeypatch.setattr(plan_lib, 'cost_of', keep)
  config = config_lib.load(
    'configs/dcgan_cifar.py:test', [('train.batch', '64')]
  )
  (whole,) = plan_lib.plan(config, 'v5e:2x4').costs
  (rough,) = plan_lib.plan(config, 'v5e:2x4', effort='low').costs
  counts = [turn.compiled.cost_analysis()['bytes accessed'] for turn in turns]
  assert rough.traffic == pytest.approx(counts[1], rel=0.02)
  assert whole.traffic < 0.7 * rough.traffic and counts[0] > counts[1]
  assert rough.flops == pytest.approx(whole.flops, rel=0.01)
