"""Tests of `gan_jax.nn.conv` against XLA's convolution and against loops.

Values are of order one and sums have at most a few hundred terms, so float32
results that differ only in the order of summation agree to about 1e-5 of the
largest value; a gradient of a gradient multiplies a few such sums. A wrong tap,
shift or channel is an error of order one.
"""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax import lax

from gan_jax.nn import conv as conv_lib
from gan_jax.nn import conv_cpu, conv_forms, conv_plain

DIMS = ('NHWC', 'HWIO', 'NHWC')
# Batch, size, channels in and out, window, stride, padding. The rules of
# conv_forms take each form for one of them.
CASES = {
  '1x1': (2, 5, 3, 4, 1, 1, 0),
  '1x1 stride': (2, 5, 3, 4, 1, 2, 0),
  '3x3': (2, 6, 3, 2, 3, 1, 'SAME'),
  '3x3 folded': (1, 3, 2, 9, 3, 1, 1),
  '3x3 stride odd': (2, 7, 3, 2, 3, 2, 'SAME'),
  '3x3 stride left over': (2, 8, 2, 3, 3, 2, 0),
  '4x4 stride': (2, 8, 3, 2, 4, 2, 1),
  '4x4 stride folded': (1, 4, 3, 5, 4, 2, 1),
  '4x4 stride wide': (1, 6, 64, 2, 4, 2, 1),
  '4x4 to 1x1': (2, 4, 3, 5, 4, 1, 0),
  'uneven': (2, 9, 3, 2, 4, 2, ((1, 2), (0, 3))),
  'cropped': (2, 9, 3, 2, 3, 1, ((-1, 0), (2, -1))),
  'wide padding': (2, 3, 2, 3, 3, 2, 4),
  'wide padding swapped': (2, 3, 4, 2, 3, 1, 4),
}
every_case = pytest.mark.parametrize('case', CASES.values(), ids=CASES)
TOLERANCE = dict(rtol=1e-4, atol=1e-4)


def normal(seed, *shape):
  """Standard normal values, scaled where a sum over channels is long."""
  value = np.random.default_rng(seed).standard_normal(shape)
  return jnp.asarray(
    value / np.sqrt(shape[-1] if len(shape) else 1) * 1.5, jnp.float32
  )


def setup(case):
  """Ours, XLA's and operands of a case."""
  n, size, ci, co, window, stride, padding = case
  pads = [(padding,) * 2] * 2 if isinstance(padding, int) else padding
  ours = functools.partial(conv_lib.conv, stride=stride, padding=padding)

  def plain(x, k):
    return lax.conv_general_dilated(
      x, k, (stride,) * 2, pads, dimension_numbers=DIMS
    )

  x, k = normal(0, n, size, size + 1, ci), normal(1, window, window, ci, co)
  return ours, plain, x, k


def grads(function):
  """Gradients of a nonlinear function of the output by both operands."""

  def loss(x, k):
    y = function(x, k)
    return jnp.sum(jnp.sin(y + jnp.arange(y.size).reshape(y.shape)))

  return jax.grad(loss, (0, 1))


def penalty_grads(function):
  """Gradients of the squared gradients: what R1 and WGAN-GP need."""

  def penalty(x, k):
    return sum(jnp.sum(g**2) for g in grads(function)(x, k))

  return jax.grad(penalty, (0, 1))


def together(function, *transforms):
  """All transforms of a function in one compiled program."""
  made = [transform(function) for transform in transforms]
  return jax.jit(lambda *given: [f(*given) for f in made])


def itself(function):
  return function


def close(got, want, **tolerance):
  """Asserts equality relative to the largest value of each array."""
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
    assert a.shape == b.shape and a.dtype == b.dtype
    b = np.asarray(b, np.float64)
    scale = max(1.0, np.abs(b).max())
    np.testing.assert_allclose(
      np.asarray(a, np.float64) / scale, b / scale, **(tolerance or TOLERANCE)
    )


def loop_conv(x, k, stride, pads):
  """The definition of a convolution, in float64."""
  x = np.pad(np.asarray(x, np.float64), ((0, 0), *pads, (0, 0)))
  k = np.asarray(k, np.float64)
  kh, kw = k.shape[:2]
  rows = range(0, x.shape[1] - kh + 1, stride)
  columns = range(0, x.shape[2] - kw + 1, stride)
  return np.stack(
    [
      np.stack(
        [np.tensordot(x[:, i : i + kh, j : j + kw], k, 3) for j in columns], 1
      )
      for i in rows
    ],
    1,
  )


def loop_transpose(x, k, stride, padding):
  """Each input value adds its multiple of the kernel to the output."""
  x, k = np.asarray(x, np.float64), np.asarray(k, np.float64)
  n, h, w, _ = x.shape
  kh, kw, _, co = k.shape
  y = np.zeros((n, (h - 1) * stride + kh, (w - 1) * stride + kw, co))
  for i in range(h):
    for j in range(w):
      y[:, i * stride : i * stride + kh, j * stride : j * stride + kw] += (
        np.einsum('nc,hwcd->nhwd', x[:, i, j], k)
      )
  stop = [size - padding for size in y.shape[1:3]]
  return y[:, padding : stop[0], padding : stop[1]]


@every_case
def test_equals_xla_to_second_order(case):
  ours, plain, x, k = setup(case)
  every = itself, grads, penalty_grads
  close(together(ours, *every)(x, k), together(plain, *every)(x, k))


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(
  size=st.integers(3, 7),
  ci=st.sampled_from((1, 3, 70)),
  co=st.sampled_from((1, 3)),
  window=st.sampled_from((1, 2, 3, 4)),
  stride=st.integers(1, 3),
  low=st.integers(0, 3),
  high=st.integers(0, 3),
)
def test_equals_loops(size, ci, co, window, stride, low, high):
  hypothesis.assume(size + low + high >= window)
  x, k = normal(2, 1, size, size, ci), normal(3, window, window, ci, co)
  pads = ((low, high), (high, low))
  close(
    conv_lib.conv(x, k, stride, pads),
    loop_conv(x, k, stride, pads).astype(np.float32),
  )


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(
  size=st.integers(1, 5),
  ci=st.sampled_from((1, 3, 70)),
  co=st.sampled_from((1, 3)),
  window=st.sampled_from((1, 2, 3, 4)),
  stride=st.integers(1, 3),
  padding=st.integers(0, 1),
)
def test_transpose_equals_loops(size, ci, co, window, stride, padding):
  hypothesis.assume((size - 1) * stride + window > 2 * padding)
  hypothesis.assume(window > padding)
  x, k = normal(4, 2, size, size, ci), normal(5, window, window, ci, co)
  got = conv_lib.conv_transpose(x, k, stride, padding)
  close(got, loop_transpose(x, k, stride, padding).astype(np.float32))
  edge = window - 1 - padding
  close(
    got,
    lax.conv_general_dilated(
      x,
      k[::-1, ::-1],
      (1, 1),
      ((edge, edge),) * 2,
      lhs_dilation=(stride,) * 2,
      dimension_numbers=DIMS,
    ),
  )


@pytest.mark.parametrize('cache', [256, 20_000])  # of rows, of images
@pytest.mark.parametrize(
  'case', ['3x3', '3x3 stride odd', '4x4 stride wide', '4x4 to 1x1']
)
def test_equals_xla_in_many_chunks(case, cache, monkeypatch):
  monkeypatch.setattr(conv_cpu, '_CACHE', cache)
  n, _, ci, co, *rest = CASES[case]
  ours, plain, x, k = setup((n + 2, 13, ci, co, *rest))
  both = itself, grads
  close(together(ours, *both)(x, k), together(plain, *both)(x, k))


@pytest.mark.parametrize('axes', [(0, None), (None, 3), (1, 2)])
@pytest.mark.parametrize('case', ['3x3', '4x4 stride'])
def test_vmap_of_grad_and_grad_of_vmap(case, axes):
  ours, plain, x, k = setup(CASES[case])
  x, k = (
    a if axis is None else jnp.stack([a, 2 * a, -a], axis)
    for a, axis in zip((x, k), axes, strict=True)
  )
  both = (
    lambda f: grads(jax.vmap(f, axes)),
    lambda f: jax.vmap(penalty_grads(f), axes),
  )
  close(together(ours, *both)(x, k), together(plain, *both)(x, k))


@pytest.mark.parametrize('case', ['4x4 stride', '4x4 stride wide'])
def test_nested_vmap(case):
  ours, plain, x, k = setup(CASES[case])
  x = x * jnp.arange(1.0, 7).reshape(2, 3, 1, 1, 1, 1)
  k = k * jnp.arange(1.0, 3).reshape(2, 1, 1, 1, 1)

  def nested(f):
    return jax.vmap(jax.vmap(grads(f), (0, None)))

  close(jax.jit(nested(ours))(x, k), jax.jit(nested(plain))(x, k))


@pytest.mark.parametrize('case', ['1x1', '3x3', '4x4 stride wide'])
def test_bfloat16(case):
  """Rounds once, at the end: 8 bits of the float32 result."""
  ours, plain, x, k = setup(CASES[case])
  x, k = x.astype(jnp.bfloat16), k.astype(jnp.bfloat16)
  got = jax.jit(ours)(x, k)
  want = plain(x.astype(jnp.float32), k.astype(jnp.float32))
  close(got, want.astype(jnp.bfloat16), rtol=2**-7, atol=2**-9)

  def vjp(f):
    return jax.vjp(f, x, k)[1](got)

  close(vjp(ours), vjp(plain), rtol=2**-6, atol=2**-7)


def test_forward_mode_and_checkpoint():
  ours, plain, x, k = setup(CASES['4x4 stride'])
  tangents = normal(6, *x.shape), normal(7, *k.shape)
  close(jax.jvp(ours, (x, k), tangents), jax.jvp(plain, (x, k), tangents))
  close(
    jax.linearize(ours, x, k)[1](*tangents), jax.jvp(plain, (x, k), tangents)[1]
  )
  close(grads(jax.checkpoint(ours))(x, k), grads(plain)(x, k))


def test_lowering_is_per_platform():
  """A GPU gets the plain convolutions, the CPU no dilated one."""
  ours, _, x, k = setup(CASES['4x4 stride wide'])
  traced = jax.jit(grads(ours)).trace(x, k)
  dilated = {}
  for platform in ('cpu', 'cuda', 'tpu'):
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    dilated[platform] = text.count('lhs_dilate = [2, 2]') + text.count(
      'rhs_dilate = [2, 2]'
    )
  assert dilated == {'cpu': 0, 'cuda': 2, 'tpu': 2}
  close(traced.lower().compile()(x, k), grads(ours)(x, k))


def square_grads(function):
  return jax.grad(lambda x, k: jnp.sum(function(x, k) ** 2), (0, 1))


def shard_mapped(function, mesh):
  """`square_grads` with the sum over devices written out."""

  def per_device(x, k):
    return lax.psum(jnp.sum(function(x, k) ** 2), 'data')

  return jax.grad(
    jax.shard_map(
      per_device,
      mesh=mesh,
      in_specs=(jax.P('data'), jax.P()),
      out_specs=jax.P(),
    ),
    (0, 1),
  )


@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
def test_sharded_over_devices():
  ours, plain, _, k = setup(CASES['4x4 stride'])
  x = normal(8, 16, 8, 8, 3)
  mesh = jax.make_mesh(
    (8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,)
  )

  def spec(*names):
    return jax.NamedSharding(mesh, jax.P(*names))

  step = jax.jit(
    penalty_grads(ours),
    in_shardings=(spec('data'), spec()),
    out_shardings=(spec('data'), spec()),
  )
  close(step(x, k), jax.jit(penalty_grads(plain))(x, k))

  close(
    jax.jit(shard_mapped(ours, mesh))(x, k), jax.jit(square_grads(plain))(x, k)
  )
  # On other platforms the plain form is lowered; here it is called.
  geo = conv_plain.Geometry((8, 8), (4, 4), 2, ((1, 1), (1, 1)), None)
  y = normal(12, 16, 4, 4, 2)

  def kernel_gradient(form, x, y):
    return lax.psum(form(x[None], y[None], kind='k', geo=geo)[0], 'data')

  on_cpu = functools.partial(conv_forms.form, platform='cpu')
  for form in (conv_plain.every, on_cpu):
    mapped = jax.shard_map(
      functools.partial(kernel_gradient, form),
      mesh=mesh,
      in_specs=(jax.P('data'), jax.P('data')),
      out_specs=jax.P(),
    )
    close(
      jax.jit(mapped)(x, y), jax.vjp(functools.partial(plain, x), k)[1](y)[0]
    )


def test_first_layer_of_a_generator():
  """A product in place of a convolution, with derivatives of its own."""
  x, k = normal(13, 3, 1, 1, 6), normal(14, 4, 4, 6, 5)
  ours = functools.partial(conv_lib.conv_transpose, stride=1, padding=0)

  def plain(x, k):
    return lax.conv_general_dilated(
      x, k[::-1, ::-1], (1, 1), ((3, 3), (3, 3)), dimension_numbers=DIMS
    )

  every = itself, grads, penalty_grads
  close(together(ours, *every)(x, k), together(plain, *every)(x, k))


@pytest.mark.parametrize('out', [5, 60])
def test_resampling_convolutions(out):
  """With more pixels than channels and with fewer."""
  x, k = normal(9, 2, 4, 6, 3), normal(10, 3, 3, 3, out)
  doubled = np.repeat(np.repeat(x, 2, 1), 2, 2)
  close(
    conv_lib.upsample_conv(x, k),
    jnp.asarray(loop_conv(doubled, k, 1, ((1, 1), (1, 1))), jnp.float32),
  )
  full = loop_conv(x, k, 1, ((1, 1), (1, 1)))
  mean = (
    full[:, ::2, ::2]
    + full[:, 1::2, ::2]
    + full[:, ::2, 1::2]
    + full[:, 1::2, 1::2]
  ) / 4
  close(conv_lib.downsample_conv(x, k), jnp.asarray(mean, jnp.float32))


@pytest.mark.parametrize('channels', [3, 60])
def test_gradients_of_resampling_convolutions(channels):
  x, k = normal(9, 2, 4, 6, channels), normal(10, 3, 3, channels, 5)

  def up(x, k):
    return conv_lib.conv(jnp.repeat(jnp.repeat(x, 2, 1), 2, 2), k)

  def down(x, k):
    y = conv_lib.conv(x, k)
    return (y[:, ::2] + y[:, 1::2]).reshape(2, 2, 3, 2, 5).sum(3) / 4

  every = itself, grads, penalty_grads
  for ours, plain in (
    (conv_lib.upsample_conv, up),
    (conv_lib.downsample_conv, down),
  ):
    close(together(ours, *every)(x, k), together(plain, *every)(x, k))


def test_layers():
  x = normal(11, 2, 4, 4, 3)
  for layer, shape, out in (
    (conv_lib.Conv(5), (3, 3, 3, 5), (2, 4, 4, 5)),
    (conv_lib.ConvTranspose(5), (4, 4, 3, 5), (2, 8, 8, 5)),
  ):
    params = layer.init(jax.random.key(0), x)['params']
    assert params['kernel'].shape == shape
    assert params['kernel'].dtype == jnp.float32
    assert 0.01 < params['kernel'].std() < 0.03
    np.testing.assert_array_equal(params['bias'], np.zeros(5))
    params['bias'] += 7.0
    y = layer.apply({'params': params}, x)
    assert y.shape == out and y.dtype == jnp.float32
    assert abs(float(y.mean()) - 7) < 0.1
  plain = conv_lib.Conv(5, 4, 2, 1, use_bias=False)
  assert list(plain.init(jax.random.key(0), x)['params']) == ['kernel']


@pytest.mark.parametrize(
  'x, k', [((2, 4, 4, 3), (3, 3, 4, 5)), ((4, 4, 3), (3, 3, 3, 5))]
)
def test_refuses_shapes_that_do_not_fit(x, k):
  for function in (conv_lib.conv, conv_lib.conv_transpose):
    with pytest.raises(TypeError, match='x .* kernel|takes'):
      function(jnp.zeros(x), jnp.zeros(k))


def test_refuses_mixed_dtypes():
  with pytest.raises(TypeError, match='float32 and bfloat16'):
    conv_lib.conv(jnp.zeros((1, 4, 4, 3)), jnp.zeros((3, 3, 3, 5), 'bfloat16'))
