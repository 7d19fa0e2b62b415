"""A dense layer that may compute in bfloat16; see precision.py."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from gan_jax.nn import precision


class Dense(nn.Module):
  """A dense layer with learned `kernel` and `bias`, as Flax's own.

  Attributes:
    features: numbers of its output.
    dtype: as of `nn.conv.Conv`.
    kernel_init: initialiser of the kernel.
  """

  features: int
  dtype: Any = None
  kernel_init: Callable[..., jax.Array] = nn.initializers.lecun_normal()

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[..., C] -> [..., features]."""
    shape = (x.shape[-1], self.features)
    kernel = self.param('kernel', self.kernel_init, shape)
    bias = self.param('bias', nn.initializers.zeros, (self.features,))
    x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
    # In float32, as `nn.conv.Conv` has it: its gradient is a sum.
    return (precision.full(x @ kernel) + bias).astype(x.dtype)
