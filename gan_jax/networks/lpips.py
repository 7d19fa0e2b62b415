"""LPIPS, the learned perceptual distance of two images (Zhang et al. 2018).

Features of a network trained on ImageNet, scaled to unit length in every
pixel, subtracted, squared, weighted per channel by the published linear heads
(version 0.1), averaged over pixels and summed over five layers (equation 1).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array


def _unit(x: Array) -> Array:
  """Each pixel's features over their length, plus 1e-10 as released."""
  square = jnp.sum(jnp.square(x), -1, keepdims=True)
  # The root has no derivative at zero; a pixel without features stays zero.
  some = square > 0
  length = jnp.where(some, jnp.sqrt(jnp.where(some, square, 1)), 0)
  return x / (length + 1e-10)


class Lpips(nn.Module):
  """The distance; weights come from `gan_jax.convert.released`.

  Attributes:
    net: `networks.vgg.Vgg16` or `networks.alexnet.AlexNet`, whose `taps` name
      the five layers.
  """

  net: nn.Module

  @nn.compact
  def layers(self, a: Array, b: Array) -> Array:
    """The five terms [N, 5] of images [N, H, W, 3] in [-1, 1]."""
    # Two passes: put together, and taken apart again, halves of a minibatch
    # would move between devices.
    of_a, of_b = self.net(a), self.net(b)
    terms = []
    for i, layer in enumerate(self.net.taps):
      x, y = _unit(of_a[layer]), _unit(of_b[layer])
      head = self.param(f'head{i}', nn.initializers.ones, (x.shape[-1],))
      squares = jnp.mean(jnp.square(x - y), (1, 2))
      terms.append(jnp.einsum('nc,c->n', squares, head))
    return jnp.stack(terms, 1)

  def __call__(self, a: Array, b: Array) -> Array:
    """Distances [N] of pairs of images [N, H, W, 3] in [-1, 1]."""
    return self.layers(a, b).sum(1)
