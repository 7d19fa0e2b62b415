"""Minibatch discrimination (Salimans et al. 2016, section 3.2)."""

import flax.linen as nn
import jax.numpy as jnp

DIMENSIONS = 5  # numbers of a kernel, as ProGAN's comparison has it


class MinibatchDiscrimination(nn.Module):
  """Appends how near each sample is to the others, by some learned measures.

  Attributes:
    kernels: their number B.
  """

  kernels: int

  @nn.compact
  def __call__(self, x):
    """[N, C] -> [N, C + B].

    Kernel b projects a sample to m_b of `DIMENSIONS` numbers; what is appended
    is the sum of exp(-|m_b - m'_b|), in the L1 norm, over the other samples.
    """
    init = nn.initializers.normal(0.05)
    shape = (x.shape[-1], self.kernels, DIMENSIONS)
    m = jnp.einsum('nc,cbd->nbd', x, self.param('kernel', init, shape))
    distance = jnp.sum(jnp.abs(m[:, None] - m[None]), -1)  # [N, N, B]
    near = jnp.sum(jnp.exp(-distance), 1) - 1.0  # less the sample itself
    return jnp.concatenate([x, near.astype(x.dtype)], -1)
