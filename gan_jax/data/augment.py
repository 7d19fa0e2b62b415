"""What happens to samples inside the step.

Mirroring and crops make more of the data: they concern real pictures only, and
whether and where is drawn by a sample's position in the run, or by the step's
key. An `Augmentation` stands in front of D instead, in each of its passes, over
real samples and over fakes: DiffAugment in diff_augment.py, ADA in ada.py.
"""

from typing import Any

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


class Augmentation:
  """What D sees in place of samples; `carried` is its own state, {} for most.

  It acts on each sample by itself, differentiably, so that one_stage stays
  exact.
  """

  def __call__(self, samples, carried, key) -> Any:
    """Samples [N, ...], or a tree of such, as D shall see them."""
    raise NotImplementedError

  def start(self) -> dict:
    """The first `carried`."""
    return {}

  def advance(self, real, carried) -> dict:
    """`carried` after an update of D with these scores of real samples."""
    del real
    return carried

  def metrics(self, carried) -> dict:
    """What of `carried` belongs into the curves, by name."""
    del carried
    return {}


def mirror(images, which):
  """Turns some pictures left to right.

  Args:
    images: [..., H, W, C].
    which: bool [...], one a picture.
  """
  return jnp.where(which[..., None, None, None], images[..., ::-1, :], images)


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
  border = ((0, 0), (pad, pad), (pad, pad), (0, 0))
  wide = jnp.pad(pictures, border, constant_values=BLACK)
  corner = jax.random.randint(key, (len(pictures), 2), 0, 2 * pad + 1)
  return windows(wide, corner, pictures.shape[1:3]).reshape(images.shape)


def windows(pictures, corner, size):
  """A window of each picture.

  Args:
    pictures: [N, H, W, C].
    corner: int32 [N, 2], row and column of each window's first pixel; the
      window lies in the picture.
    size: (h, w) of the windows.

  Returns:
    [N, h, w, C].
  """
  cut = lambda picture, at: jax.lax.dynamic_slice(
    picture, (at[0], at[1], 0), (*size, picture.shape[-1])
  )
  return jax.vmap(cut)(pictures, corner)
