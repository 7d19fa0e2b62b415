"""npz:PATH: pictures and labels in a NumPy archive."""

import pathlib
import zipfile
import zlib

import numpy as np

from gan_jax.data import picture
from gan_jax.data.arrays import ArraySource
from gan_jax.data.source import Source, integer_labels, to_bytes
from gan_jax.errors import UserError

_IMAGE_KEYS = ('image', 'images', 'x', 'arr_0')
_LABEL_KEYS = ('label', 'labels', 'y')


def open_npz(name: str, where: str, config, form: picture.Form) -> Source:
  """The source 'npz:PATH'.

  The pictures are under `image` (or `images`, `x`, `arr_0`), the optional
  labels under `label` (or `labels`, `y`). A file that holds several splits has
  the split in its keys (`x_train`, `train_images`, ...): those of
  config.data.split come first.

  The whole array is read into memory. uint8 is taken as it is, bool as 0 and
  255. Float is taken as [-1, 1] when anything is below 0, else as [0, 1];
  beyond that it is refused, as are other whole numbers: their range cannot be
  known.

  Raises:
    UserError: no such file, not a NumPy archive, no known key, wrong shape,
      type or range.
  """
  path = pathlib.Path(where).expanduser()
  if not path.is_file():
    raise UserError(
      f"config.data.source is '{name}', but there is no file {path}; give"
      ' npz:PATH with the path of a .npz file.'
    )
  try:
    archive = np.load(path, allow_pickle=False)
    if isinstance(archive, np.ndarray):
      raise ValueError('it holds a single array')
    with archive:
      image_key = _find(archive.files, _IMAGE_KEYS, config.split)
      label_key = _find(archive.files, _LABEL_KEYS, config.split)
      if image_key is None:
        raise UserError(
          f'{name}: no pictures under any of {", ".join(_IMAGE_KEYS)}; the'
          f' file holds {", ".join(archive.files) or "nothing"}. Save it'
          ' with numpy.savez(PATH, image=..., label=...).'
        )
      images = archive[image_key]
      labels = None if label_key is None else archive[label_key]
  except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as e:
    raise UserError(
      f'{name}: {path} cannot be read as a NumPy archive ({e}); save it'
      ' again with numpy.savez(PATH, image=..., label=...).'
    ) from e
  note = f"key '{image_key}', {images.dtype} {list(images.shape)}"
  images, how = _as_bytes(images, name, image_key)
  if labels is None:
    labels, classes = np.zeros(len(images), np.int32), ()
  else:
    labels, classes = integer_labels(labels, len(images), name)
    note += f"; labels under '{label_key}'"
  return ArraySource(name, images, labels, classes, form, note + how)


def _find(keys, wanted, split):
  for key in wanted:
    for candidate in (f'{split}_{key}', f'{key}_{split}'):
      if candidate in keys:
        return candidate
  return next((key for key in wanted if key in keys), None)


def _as_bytes(images, name, key):
  """Returns uint8 pictures and what was done, for the report."""
  shape = list(images.shape)
  if images.ndim not in (3, 4) or 0 in shape:
    raise UserError(
      f"{name}: '{key}' has shape {shape}; pictures are [N, H, W] or"
      ' [N, H, W, C].'
    )
  if images.ndim == 4 and shape[-1] not in (1, 2, 3, 4):
    hint = (
      f' It looks like [N, C, H, W]; save {key}.transpose(0, 2, 3, 1).'
      if shape[1] in (1, 3)
      else ''
    )
    raise UserError(
      f"{name}: '{key}' has shape {shape}; the last axis must be 1 to 4"
      f' channels.{hint}'
    )
  if images.dtype == np.uint8:
    return images, ''
  if images.dtype == bool:
    return images * np.uint8(255), '; False, True taken as 0, 255'
  if images.dtype.kind == 'f':
    low, high = float(images.min()), float(images.max())
    if low >= 0 and high <= 1:
      return np.round(images * 255).astype(np.uint8), '; float taken as [0, 1]'
    if low >= -1 and high <= 1:
      return to_bytes(images), '; float taken as [-1, 1]'
    raise UserError(
      f"{name}: '{key}' is {images.dtype} from {low:.4g} to {high:.4g};"
      ' float pictures must lie in [0, 1] or [-1, 1], or save uint8.'
    )
  raise UserError(
    f"{name}: '{key}' is of type {images.dtype}; save uint8 pictures, 0 to 255."
  )
