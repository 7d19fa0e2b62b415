"""AlexNet's convolutions (Krizhevsky 2014, one column), for inference only."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.networks.vgg import SCALE, SHIFT
from gan_jax.nn.conv import Conv

Array = jax.Array

# features, window, stride, padding, and whether a pool comes before.
LAYERS = (
  (64, 11, 4, 2, False),
  (192, 5, 1, 2, True),
  (384, 3, 1, 1, True),
  (256, 3, 1, 1, False),
  (256, 3, 1, 1, False),
)


class AlexNet(nn.Module):
  """Images to the features behind each ReLU.

  Attributes:
    shift: per channel, what the network's input is less than the image.
    scale: per channel, what that is divided by.
  """

  taps = ('relu1', 'relu2', 'relu3', 'relu4', 'relu5')  # the layers of LPIPS

  shift: tuple[float, float, float] = SHIFT
  scale: tuple[float, float, float] = SCALE

  @nn.compact
  def __call__(self, x: Array) -> dict[str, Array]:
    """Features 'relu1' ... 'relu5' of RGB images in [-1, 1].

    Args:
      x: [N, H, W, 3], H and W at least 63.

    Returns:
      'relu1' [N, H / 4, W / 4, 64] and on, by name.
    """
    shift, scale = (jnp.asarray(v, x.dtype) for v in (self.shift, self.scale))
    x = (x - shift) / scale
    out = {}
    for i, (features, window, stride, pad, pooled) in enumerate(LAYERS, 1):
      if pooled:
        x = nn.max_pool(x, (3, 3), (2, 2))
      x = nn.relu(Conv(features, window, stride, pad, name=f'conv{i}')(x))
      out[f'relu{i}'] = x
    return out
