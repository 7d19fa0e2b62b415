"""What happens to pictures inside the step, beside mirroring (pipeline.py)."""

import jax
import jax.numpy as jnp

from gan_jax.settings import Setting

SETTINGS = {
  'mirror': Setting(False, 'flip each picture with probability one half'),
  'crop': Setting(
    0,
    'pixels of border, of which a window of the old size is cut; 0: off',
    low=0,
    high=64,
  ),
}

BLACK = -1.0


def random_crop(images, key, pad: int):
  """Each picture moved by up to `pad` pixels, with black where nothing is.

  He et al. 2016, section 4.2: pad by 4 pixels on each side, cut a window of
  the old size anywhere.

  Args:
    images: [..., H, W, C] in [-1, 1].
    key: a typed key.
    pad: pixels.

  Returns:
    The same shape.
  """
  pictures = images.reshape(-1, *images.shape[-3:])
  count, height, width, channels = pictures.shape
  border = ((0, 0), (pad, pad), (pad, pad), (0, 0))
  pictures = jnp.pad(pictures, border, constant_values=BLACK)
  corner = jax.random.randint(key, (count, 2), 0, 2 * pad + 1)
  cut = lambda picture, at: jax.lax.dynamic_slice(
    picture, (at[0], at[1], 0), (height, width, channels)
  )
  return jax.vmap(cut)(pictures, corner).reshape(images.shape)
