"""VGG-16's convolutions (Simonyan and Zisserman 2015), for inference only."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gan_jax.nn.conv import Conv

Array = jax.Array

# The mean and deviation of ImageNet that torchvision's weights expect, in
# units of images in [-1, 1]; LPIPS rounds them to these digits too.
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # width, layers


class Vgg16(nn.Module):
  """Images to the features before each pool.

  Attributes:
    shift: per channel, what the network's input is less than the image.
    scale: per channel, what that is divided by.
  """

  # The layers of LPIPS, each the last before a pool.
  taps = ('relu1_2', 'relu2_2', 'relu3_3', 'relu4_3', 'relu5_3')

  shift: tuple[float, float, float] = SHIFT
  scale: tuple[float, float, float] = SCALE

  @nn.compact
  def __call__(self, x: Array) -> dict[str, Array]:
    """Features by name.

    Args:
      x: RGB images [N, H, W, 3] in [-1, 1], H and W at least 32.

    Returns:
      'relu1_2', 'relu2_2', 'relu3_3', 'relu4_3', 'relu5_3' [N, H/2^i, W/2^i,
      C], i = 0 ... 4, and 'pool5' [N, H/32, W/32, 512].
    """
    shift, scale = (jnp.asarray(v, x.dtype) for v in (self.shift, self.scale))
    x = (x - shift) / scale
    out = {}
    for i, (width, layers) in enumerate(BLOCKS, 1):
      for j in range(1, layers + 1):
        x = nn.relu(Conv(width, 3, name=f'conv{i}_{j}')(x))
      out[f'relu{i}_{layers}'] = x
      x = _max_pool(x)
    return out | {'pool5': x}


def _max_pool(x: Array) -> Array:
  """Maxima of 2x2 pixels; an odd last row or column is left out."""
  n, h, w, c = x.shape
  x = x[:, : h // 2 * 2, : w // 2 * 2]
  return x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
