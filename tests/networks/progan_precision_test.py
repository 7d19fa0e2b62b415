"""ProGAN with bfloat16 in its upper levels: where, and how near to float32."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import experiment
from gan_jax.data.pipeline import Batch
from gan_jax.networks import Start
from gan_jax.nn.levels import double, reduce_to
from gan_jax.state import Span
from gan_jax.validate import validate
from tests import small
from tests.networks.progan_run_test import config
from tests.networks.progan_test import D, G, changed, inputs

QUICK = {'xla_backend_optimization_level': 0}
FROM = 8  # of the levels 4, 8 and 16
LAYERS = 6  # 3x3 and 4x4 ones of a network
# A layer rounds its input, its kernel, its product and what comes out, each by
# up to 2^-9 of itself, at random; errors of six layers add up by squares.
NEAR = np.sqrt(4 * LAYERS) * 2**-9 * 2


@functools.cache
def both(role):
  """(network, its variables, an input) in float32; the network in bfloat16."""
  z, x, on_g, on_d = inputs()
  net, sample, variables = (G, z, on_g) if role == 'g' else (D, x, on_d)
  return net, net.clone(bfloat16_from=FROM), variables, sample


def loss(net, variables, sample, alpha=0.7):
  """A scalar of everything that a pass gives."""
  found = net.apply(variables, sample, train=True, alpha=alpha)
  leaves = jax.tree.leaves(found)
  return sum(jnp.sum(leaf**2) for leaf in leaves) / leaves[0].size


def dtypes(tree):
  return {x.dtype for x in jax.tree.leaves(tree)}


@pytest.mark.parametrize('role', ['g', 'd'])
def test_parameters_and_what_comes_out_are_float32(role):
  plain, net, variables, sample = both(role)
  forms = lambda net: jax.eval_shape(
    lambda: net.init(jax.random.key(0), sample, train=True)
  )
  assert forms(net) == forms(plain)
  run = lambda: net.apply(variables, sample, train=True, alpha=1.0)
  assert dtypes(jax.eval_shape(run)) == {jnp.dtype(jnp.float32)}
  # Maps too, which terms compare.
  maps = lambda g, z: g.synthesise(g.styles(z, train=True), train=True)
  made = lambda: net.apply(variables, sample, method=maps)
  if role == 'g':
    assert dtypes(jax.eval_shape(made)) == {jnp.dtype(jnp.float32)}


def products(function, *args):
  """(type, side of the larger map, window) of the convolutions of a program.

  As it is lowered for a GPU: a CPU's own forms compute in float32.
  """
  text = jax.jit(function).trace(*args).lower(lowering_platforms=('cuda',))
  shape = r'tensor<([\dx]*)x(bf16|f32)>'
  found = re.findall(
    rf'stablehlo\.convolution.*\({shape}, {shape}\) -> {shape}', text.as_text()
  )
  assert found
  for row in found:
    assert len(set(row[1::2])) == 1  # operands and result have one type
  sizes = lambda text: [int(n) for n in text.split('x')]
  return [
    (row[1], max(sizes(row[0])[1], sizes(row[4])[1]), sizes(row[2])[0])
    for row in found
  ]


@pytest.mark.parametrize('role', ['g', 'd'])
@pytest.mark.parametrize('start', [0, FROM, 16])
def test_the_convolutions_of_a_pass(role, start):
  """bfloat16 from the side on, but for the layers from and to pictures."""
  plain, _, variables, sample = both(role)
  net = plain.clone(bfloat16_from=start)
  run = lambda v, x: net.apply(v, x, train=True)
  found = products(run, variables, sample)
  for kind, side, window in found:
    low = not start or side < start or window == 1
    assert kind == ('f32' if low else 'bf16'), (side, window)
  count = {0: 0, FROM: 4, 16: 2}[start]
  assert sum(kind == 'bf16' for kind, *_ in found) == count


@pytest.mark.parametrize('side', [8, 16])
@pytest.mark.parametrize('role', ['g', 'd'])
def test_a_pass_is_near_that_in_float32(role, side):
  plain, net, variables, sample = both(role)
  if role == 'd':
    sample = reduce_to(sample, side)

  def run(net):
    net = net.clone(resolution=side)
    go = lambda alpha: net.apply(variables, sample, train=True, alpha=alpha)
    found = jax.jit(go, compiler_options=QUICK)(jnp.float32(0.6))
    return found if role == 'g' else found.logits

  a, b = run(plain), run(net)
  off = np.linalg.norm(a - b) / np.linalg.norm(a)
  assert 0 < off < NEAR


@pytest.mark.parametrize('role', ['g', 'd'])
def test_gradients_are_float32_and_near(role):
  plain, net, variables, sample = both(role)
  slope = lambda net: jax.jit(
    jax.grad(lambda v: loss(net, v, sample)), compiler_options=QUICK
  )(variables)
  a, b = slope(plain), slope(net)
  assert dtypes(b) == {jnp.dtype(jnp.float32)}
  a, b = small.flat(a), small.flat(b)
  assert np.all(np.isfinite(b))
  # Backwards as many layers again.
  assert np.linalg.norm(a - b) < 2 * NEAR * np.linalg.norm(a)


def test_the_lower_levels_are_those_of_float32():
  """To the bit: a run's first stages do not know of it."""
  z, x, on_g, on_d = inputs()
  for net, variables, sample in (
    (G.clone(resolution=4), on_g, z),
    (D, on_d, reduce_to(x, 4)),
  ):
    run = lambda net, v=variables, x=sample: jax.jit(
      lambda: net.apply(v, x, train=True), compiler_options=QUICK
    )()
    assert small.identical(run(net), run(net.clone(bfloat16_from=FROM)))


@pytest.mark.parametrize('side', [8, 16])
@pytest.mark.parametrize('role', ['g', 'd'])
def test_the_ends_of_a_fade_are_the_stage_before_and_the_level_alone(
  role, side
):
  (_, net, variables, sample), top = both(role), side

  def run(side, alpha, variables=variables):
    x = sample if role == 'g' else reduce_to(reduce_to(sample, top), side)
    go = jax.jit(
      lambda v, alpha: net.clone(resolution=side).apply(
        v, x, train=True, alpha=alpha
      ),
      compiler_options=QUICK,
    )
    found = go(variables, jnp.float32(alpha))
    return found if role == 'g' else found.logits

  before = run(side // 2, 1.0)
  before = double(before) if role == 'g' else before
  # Not to the bit as in float32: XLA leaves out a rounding to bfloat16 where it
  # sees the number widened again, which differs between two programs.
  size = np.abs(before).max()
  np.testing.assert_allclose(run(side, 0.0), before, atol=2**-9 * size)
  layer = f'{"to" if role == "g" else "from"}_rgb_{side // 2}'
  other = run(side, 1.0, changed(variables, layer))
  np.testing.assert_allclose(run(side, 1.0), other, atol=2**-9 * size)


def test_g_entered_with_its_own_map_goes_on_as_before():
  """Maps are handed out in float32, which loses nothing of them."""
  _, net, variables, z = both('g')
  styles = net.apply(variables, z, train=True, method='styles')
  go = lambda start: jax.jit(
    lambda: net.apply(
      variables, styles, start, train=True, method='synthesise'
    ),
    compiler_options=QUICK,
  )()
  whole = go(None)
  start = Start(8, whole.features['8'], jnp.zeros((len(z), 8, 8, 3)))
  np.testing.assert_allclose(
    go(start).samples, whole.samples, rtol=1e-5, atol=1e-5
  )


@pytest.mark.parametrize('g, d', [('batch', 'layer'), ('pixel', 'none')])
def test_a_step_with_a_gradient_penalty_is_finite(g, d):
  """Second derivatives, through the norms of Table 1's rows."""
  c = config(
    generator=dict(norm=g, bfloat16_from=4),
    discriminator=dict(norm=d, bfloat16_from=4),
  )
  validate(c)
  made = experiment.build(c, (4, 4, 1), 0)
  state = jax.jit(made.init, compiler_options=QUICK)(jax.random.key(0))
  step = jax.jit(made.make_step(made.growth.stages[0]), compiler_options=QUICK)
  image = np.random.default_rng(0).normal(size=(1, 8, 4, 4, 1))
  batch = Batch(jnp.float32(image), jnp.zeros((1, 8), jnp.int32))
  new, metrics = step(state, {}, batch, Span())
  assert all(np.isfinite(v) for v in jax.device_get(metrics).values())
  leaves = jax.tree.map(lambda x: x.dtype, new)
  assert leaves == jax.tree.map(lambda x: x.dtype, state)
  assert np.all(np.isfinite(small.flat(new.pair)))
