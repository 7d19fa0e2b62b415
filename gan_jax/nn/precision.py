"""bfloat16 from a resolution on, where activations fill the memory.

A layer of such a level takes its input and its kernel in bfloat16, and its
activations stay so up to the next layer. All else is float32: parameters and
their gradients, norms (which look at a bfloat16 map in float32), minibatch
stddev, the layers from and to samples (bfloat16 has 8 bits, no more than a
picture), what has no side (mapping networks, excitations, the last layers of
D), sums of pictures, scores, losses. bfloat16 has the range of float32: no loss
is scaled, as the released ProGAN's float16 needs.

Every network has a field `bfloat16_from` with `SETTING`, and gives its layers
`dtype=dtype_at(side, self.bfloat16_from)`. The maps of lines of text are as
long as they are, the hidden layers of an MLP have side 1.
"""

import jax.numpy as jnp

from gan_jax.settings import Setting

SETTING = Setting(
  0,
  'smallest side of maps that are computed in bfloat16, parameters, norms,'
  ' pictures and losses in float32; 1: all, 0: none',
  low=0,
  high=2**12,
)


def dtype_at(side: int, start: int):
  """What the layers of a level compute in, for `nn.conv.Conv.dtype`.

  Args:
    side: of their output.
    start: the setting.

  Returns:
    bfloat16; or None, which is float32 whatever the input has.
  """
  return jnp.bfloat16 if start and side >= start else None


def full(x):
  """In float32 at least."""
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def kept(x, start: int):
  """A map [N, side, ..., C] of a layer from samples, as the next one has it."""
  return x.astype(dtype_at(x.shape[1], start) or x.dtype)
