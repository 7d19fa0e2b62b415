"""What a convolution and its two gradients compile to on the CPU.

XLA's CPU backend is fast at a dense matrix product and at a convolution
without dilation and slow, up to a hundred times, at dilated ones: those that
the gradients of a strided convolution are. The forms here have no dilation.
"""

import jax
from jax import lax
import jax.numpy as jnp

_DIMS = ('NHWC', 'HWIO', 'NHWC')


def form(a, b, *, kind, geo):
  """The map `kind`, member by member: XLA's batched forms are slow here."""
  dtype = a.dtype
  wide = jnp.promote_types(dtype, jnp.float32)
  maps = {'y': _output, 'x': _input, 'k': _kernel}
  out = [maps[kind](p, q, geo) for p, q in zip(a.astype(wide), b.astype(wide))]
  return jnp.stack(out).astype(dtype)


def _dot(a, b, geo):
  return lax.dot_general(a, b, (((a.ndim - 1,), (0,)), ((), ())),
                         precision=geo.precision)


def _output(x, k, geo):
  """Images [N, H, W, in] and kernel [kh, kw, in, out] to the output."""
  if geo.window == (1, 1) and geo.stride == 1 and not any(map(any, geo.pads)):
    return _dot(x, k[0, 0], geo)
  return lax.conv_general_dilated(
      x, k, (geo.stride,) * 2, geo.pads, dimension_numbers=_DIMS,
      precision=geo.precision)


def _input(y, k, geo):
  """Output [N, H', W', out] and kernel to the input: one phase per stride."""
  s = geo.stride
  n, *_, c = y.shape
  taps = [-(-w // s) for w in geo.window]
  k = jnp.pad(k, [(0, t * s - w) for t, w in zip(taps, geo.window)]
              + [(0, 0)] * 2)
  cin = k.shape[2]
  k = k.reshape(taps[0], s, taps[1], s, cin, c)[::-1, :, ::-1]
  k = k.transpose(0, 2, 5, 1, 3, 4).reshape(*taps, c, s * s * cin)
  if geo.out == (1, 1):
    z = _dot(y.reshape(n, c), k[::-1, ::-1].transpose(2, 0, 1, 3)
             .reshape(c, -1), geo).reshape(n, *taps, -1)
  else:
    z = lax.conv_general_dilated(
        y, k, (1, 1), [(t - 1, t - 1) for t in taps], dimension_numbers=_DIMS,
        precision=geo.precision)
  h, w = z.shape[1:3]
  z = z.reshape(n, h, w, s, s, cin).transpose(0, 1, 3, 2, 4, 5)
  z = z.reshape(n, h * s, w * s, cin)
  edges = [(-p, size + p - have) for (p, _), size, have in zip(
      geo.pads, geo.size, z.shape[1:3])]
  return lax.pad(z, z.dtype.type(0), [(0, 0, 0), *((*e, 0) for e in edges),
                                      (0, 0, 0)])


def _kernel(x, y, geo):
  """Images and output to the kernel: one matrix product per tap."""
  s = geo.stride
  (kh, kw), (oh, ow) = geo.window, geo.out
  x = lax.pad(x, x.dtype.type(0),
              [(0, 0, 0), *((*p, 0) for p in geo.pads), (0, 0, 0)])
  rows = []
  for i in range(kh):
    for j in range(kw):
      tap = x[:, i:i + (oh - 1) * s + 1:s, j:j + (ow - 1) * s + 1:s]
      rows.append(lax.dot_general(
          tap, y, (((0, 1, 2), (0, 1, 2)), ((), ())),
          precision=geo.precision))
  return jnp.stack(rows).reshape(kh, kw, *rows[0].shape)
