"""npz:PATH: pictures and labels in a NumPy archive."""

from typing import NamedTuple

import numpy as np

from gan_jax import paths
from gan_jax.data import part, picture
from gan_jax.data.arrays import ArraySource, pictures_as_bytes
from gan_jax.data.npy import Archive
from gan_jax.data.source import Source, integer_labels
from gan_jax.errors import UserError

_IMAGE_KEYS = ('image', 'images', 'x', 'arr_0')
_LABEL_KEYS = ('label', 'labels', 'y')
_SAVE = 'numpy.savez(PATH, image=..., label=...)'
_FORMS = ('{split}_{key}', '{key}_{split}')


def open_npz(name: str, where: str, config, form: picture.Form) -> Source:
  """The source 'npz:PATH'.

  The pictures are under `image` (or `images`, `x`, `arr_0`), the optional
  labels under `label` (or `labels`, `y`). A file that holds several splits has
  the split in its keys (`x_train`, `train_images`, ...): those of
  config.data.split come first. A file without splits in its keys is 'train'.

  The whole array is read into memory. uint8 is taken as it is, bool as 0 and
  255. Float is taken as [-1, 1] when it reaches below -0.25, else as [0, 1];
  what is beyond or between the two is refused, as are other whole numbers:
  their range cannot be known.

  Raises:
    UserError: no such file, not a NumPy archive, no known key, a split that
      there is not, a damaged array, wrong shape, type or range.
  """
  path = paths.local(where, 'config.data.source')
  paths.regular(
    path,
    f"config.data.source is '{name}'",
    'give npz:PATH with the path of a .npz file',
  )
  try:
    with open(path, 'rb') as file:
      archive = Archive(file)
      keys = _keys(name, archive.names, config.split)
      images = archive[keys.image]
      labels = archive[keys.label] if keys.label else None
      others = [archive[key] for key in keys.others]
  except (ValueError, OSError) as error:
    raise UserError(
      f'{name}: {path} cannot be read as a NumPy archive ({error}); save it'
      f' again with {_SAVE}.'
    ) from None
  note = f"key '{keys.image}', {images.dtype} {list(images.shape)}"
  images, how = pictures_as_bytes(images, f"{name}: '{keys.image}'")
  if labels is None:
    labels, classes = np.zeros(len(images), np.int32), ()
  else:
    note += f"; labels under '{keys.label}'"
    labels, classes = integer_labels(labels, len(images), name, others)
  if keys.unused:
    how += f'\nnot used: {", ".join(keys.unused)}'
  return ArraySource(name, images, labels, classes, form, note + how)


class _Keys(NamedTuple):
  """Where in an archive things are.

  Attributes:
    image: the pictures' key.
    label: the labels', or None.
    others: those of the labels of other splits.
    unused: keys of what is not read.
  """

  image: str
  label: str | None
  others: list[str]
  unused: list[str]


def _keys(name: str, held: list[str], split: str) -> _Keys:
  """The keys of a split.

  Raises:
    UserError: there are none of it.
  """
  splits = _splits(held)
  plain = next((key for key in _IMAGE_KEYS if key in held), None)
  if split not in splits and plain is None and not splits:
    raise UserError(
      f'{name}: no pictures under any of {", ".join(_IMAGE_KEYS)}; the file'
      f' holds {", ".join(held) or "nothing"}. Save it with {_SAVE}.'
    )
  known = [*splits] if plain is None else [*dict.fromkeys(['train', *splits])]
  part.check_name(f'{name} (it holds {", ".join(held)})', split, known)
  if split in splits:
    image, label = splits[split]
    rest = [pair for pair in splits.values() if pair[0] != image]
    others = [key for _, key in rest if key and label]
  else:
    image, others = plain, []
    label = next((key for key in _LABEL_KEYS if key in held), None)
  unused = [key for key in held if key not in {image, label, *others}]
  of_splits = {key for pair in splits.values() for key in pair}
  astray = [
    key
    for key in unused
    if key not in of_splits and (key in _LABEL_KEYS or 'label' in key)
  ]
  if label is None and astray:
    raise UserError(
      f"{name}: the pictures of the split '{split}' are under '{image}', but"
      f" labels lie under '{astray[0]}': name both alike, {split}_image and"
      f' {split}_label, or image and label.'
    )
  return _Keys(image, label, others, unused)


def _splits(held: list[str]) -> dict[str, tuple[str, str | None]]:
  """The splits that keys speak of, each with those of pictures and labels."""
  found = {}
  for key in _IMAGE_KEYS:
    for form in _FORMS:
      before, after = form.format(split='\0', key=key).split('\0')
      for one in held:
        split = one.removeprefix(before).removesuffix(after)
        if before + split + after == one and split and split not in found:
          labels = [
            f.format(split=split, key=k) for k in _LABEL_KEYS for f in _FORMS
          ]
          found[split] = one, next((k for k in labels if k in held), None)
  return found
