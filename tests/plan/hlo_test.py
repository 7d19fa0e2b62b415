"""What is read off the text of a compiled step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from gan_jax.plan import hlo

TEXT = """\
HloModule step, entry_computation_layout={(f32[8]{0})->f32[64]{0}}
%sum (a: f32[], b: f32[]) -> f32[] {
  ROOT %add = f32[] add(%a, %b)
}
ENTRY %main {
  %all-reduce.1 = f32[256]{0:T(256)S(1)} all-reduce(%p.1), to_apply=%sum
  %all-reduce.2 = (f32[4,3]{1,0:T(4,128)}, bf16[8]{0}) all-reduce(%a, %b)
  %fusion.3 = f32[256]{0} fusion(%all-reduce.1), kind=kLoop, calls=%f
  %gte = f32[4,3]{1,0} get-tuple-element(%all-reduce.2), index=0
  %ar = f32[10]{0} all-reduce-start(f32[10]{0} %x), to_apply=%sum
  %ard = f32[10]{0} all-reduce-done(f32[10]{0} %ar)
  %ags = (f32[8]{0}, f32[64]{0}) all-gather-start(f32[8]{0} %p), dimensions={0}
  %agd = f32[64]{0} all-gather-done((f32[8]{0}, f32[64]{0}) %ags)
  %cp = (f32[5]{0}, f32[5]{0}, u32[], u32[]) collective-permute-start(%y)
  %a2a = (u8[2,2]{1,0}, u8[2,2]{1,0}) all-to-all(%y, %z), dimensions={0}
}
"""


def test_collectives_are_counted_by_kind_with_the_bytes_they_give():
  found = hlo.collectives(TEXT)
  assert found == {
    'all-reduce': (3, 4 * 256 + (4 * 12 + 2 * 8) + 4 * 10),
    'all-gather': (1, 4 * 64),
    'all-to-all': (1, 8),
    'collective-permute': (1, 4 * 5),
  }


def test_loops_are_counted_that_do_something():
  """What is in a fusion that a loop calls is inside of it."""
  text = """\
%fused (p: f32[8]) -> f32[8] {
  ROOT %c = f32[8]{0} convolution(%p, %p), window={size=1}
}
%body.1 (t: (s32[], f32[8])) -> (s32[], f32[8]) {
  %f = f32[8]{0} fusion(%x), kind=kOutput, calls=%fused
}
%body.2 (t: (s32[], f32[8])) -> (s32[], f32[8]) {
  %d = f32[8]{0} dynamic-slice(%x, %i), dynamic_slice_sizes={8}
}
ENTRY %main (x: f32[8]) -> f32[8] {
  %c = f32[8]{0} convolution(%p, %p), window={size=1}
  %while.1 = (s32[], f32[8]{0}) while(%t), condition=%c, body=%body.1
  %while.2 = (s32[], f32[8]{0}) while(%t), condition=%c, body=%body.2
}
"""
  assert hlo.loops(text) == 1


@pytest.mark.parametrize(
  'text, size, padded',
  [
    ('f32[8,32,32,16]{3,0,2,1:T(8,128)}', 524288, 8 * 524288),
    ('f32[32,32,32,16]{0,3,2,1:T(8,128)}', 2097152, 4 * 2097152),
    ('bf16[5,128]{1,0:T(8,128)(2,1)}', 1280, 2048),
    ('f32[10]{0:T(256)}', 40, 1024),
    ('u8[3,4]{1,0}', 12, 12),
    ('pred[7]', 7, 7),
    ('f32[]', 4, 4),
  ],
)
def test_an_array_has_a_size_with_and_without_its_tiles(text, size, padded):
  (array,) = hlo.arrays(text)
  assert (array.bytes, array.padded) == (size, padded)


def test_padding_is_of_what_convolutions_give():
  text = """\
  %c = f32[8,4,4,64]{3,0,2,1:T(8,128)} convolution(%x, %k), window={size=3x3}
  %d = f32[1000,1]{1,0:T(8,128)} add(%c, %c)
"""
  assert hlo.padding(text) == 0.5
  assert hlo.padding('') == hlo.padding('%a = f32[8] add(%x, %y)') == 0


def compiled(function, *shapes):
  """On eight devices, the samples spread over them."""
  mesh = jax.make_mesh((8,), ('data',), (AxisType.Auto,))
  places = [NamedSharding(mesh, P('data')), NamedSharding(mesh, P())]
  out = jax.jit(function, in_shardings=places, out_shardings=places[1])
  return out.lower(*(jnp.zeros(shape) for shape in shapes)).compile()


def test_a_gradient_on_eight_devices_is_reduced_once():
  loss = lambda x, w: jnp.mean(jnp.tanh(x @ w) ** 2)
  step = compiled(lambda x, w: jax.grad(loss, 1)(x, w), (16, 5), (5, 3))
  assert hlo.collectives(step.as_text()) == {'all-reduce': (1, 4 * 15)}


def test_what_needs_all_samples_gathers_them():
  step = compiled(lambda x, w: x @ w, (16, 5), (5, 3))
  found = hlo.collectives(step.as_text())
  assert found == {'all-gather': (1, 4 * 16 * 3)}


def test_one_device_has_none():
  step = jax.jit(lambda x: x @ x).lower(np.ones((4, 4), np.float32)).compile()
  assert hlo.collectives(step.as_text()) == {}


def test_a_scan_is_a_loop():
  turn = lambda x: jax.lax.scan(lambda c, _: (c @ x, None), x, None, 9)[0]
  step = jax.jit(turn).lower(np.ones((64, 64), np.float32)).compile()
  assert hlo.loops(step.as_text()) == 1
