"""Metrics of two sets of pictures, without a run: arrays or folders."""

import math
import types
from typing import Any

import ml_collections
import numpy as np

from gan_jax import data, settings
from gan_jax.data.arrays import pictures_as_bytes
from gan_jax.errors import UserError
from gan_jax.metrics import registry, sets, spaces
from gan_jax.metrics.resize import RESIZERS

CHUNK = 256  # pictures at a time


def compare(
  real,
  fake,
  names=('fid',),
  *,
  weights: str = '',
  resizer: str = 'tf1_bilinear',
  classifier=None,
  devices=None,
) -> dict[str, Any]:
  """Scores one set of pictures against another.

  Args:
    real: the reference: pictures uint8 [N, H, W, C], or float, whose range is
      taken as that of .npz files is (`data.arrays.pictures_as_bytes`); or the
      path of a folder, a .zip or an .npz file, or any source as
      `config.data.source` has it (tfds:NAME).
    fake: what is scored, of any one size, as `real`; beside colour, grey is
      taken as colour.
    names: metrics, keys of `registry.METRICS` that need no run.
    weights: files of feature networks, separated by commas; '': those in the
      cache folder, see `gan_jax.convert.weights`.
    resizer: in front of FID's Inception, one of `resize.RESIZERS`.
    classifier: the run of a classifier, for its space: what
      `gan_jax.restore.restore(folder, gan_jax.mesh.one_device())` gives.
    devices: to compute features on; None for all local ones.

  Returns:
    The numbers by name, None for one that is not finite; real and fake in
    words; and resizer and weights of each space.

  Raises:
    UserError: for whatever the user can put right.
  """
  names = tuple(names.split(',')) if isinstance(names, str) else tuple(names)
  _check(names, resizer)
  given = types.SimpleNamespace(
    weights=weights, resizer=resizer, classifier=classifier
  )
  described, pictures = _alike(_open(real), _open(fake))
  for images in pictures:
    registry.check_data(names, images.shape[1:], 'the set')
  counts = [len(images) for images in pictures]
  registry.check_counts(names, *counts, 'take more pictures')
  opened = {
    name: spaces.open_space(name, given, devices)
    for name in registry.spaces_of(names)
  }
  a = _columns(names, pictures[0], opened)
  b = a if real is fake else _columns(names, pictures[1], opened)
  numbers = registry.compute(names, a, b, '')
  registry.warn_of_bias(numbers, *counts)
  known = {k: v if math.isfinite(v) else None for k, v in numbers.items()}
  return {
    **known,
    'real': described[0],
    'fake': described[1],
    'spaces': {name: space.facts for name, space in opened.items()},
  }


def _columns(names, images, opened):
  """What metrics need of a set; `opened` are the feature spaces by name."""
  starts = range(0, len(images), CHUNK)
  chunks = ((images[i : i + CHUNK], None) for i in starts)
  return sets.collect(chunks, registry.needs_of(names), opened)


def _check(names: tuple[str, ...], resizer: str) -> None:
  """Raises UserError for what can be seen before a picture is read."""
  registry.check_names(names)
  for name in names:
    if {registry.SCORES, registry.PATHS} & set(registry.needs_of([name])):
      raise UserError(
        f'{name} asks the networks of a run: use --mode=evaluate for it.'
      )
  if resizer not in RESIZERS:
    raise UserError(
      f"there is no resizer '{resizer}': use one of {', '.join(RESIZERS)}."
    )


def _open(given) -> tuple[str, np.ndarray]:
  """What a set is, in words, and its pictures uint8 [N, H, W, C]."""
  if isinstance(given, str) or hasattr(given, '__fspath__'):
    name = _source(str(given))
    section = ml_collections.ConfigDict(settings.values(data.SETTINGS))
    section.update(source=name, resolution=0)
    try:
      images, _ = data.open_source(section).arrays()
    except UserError as error:
      if 'different sizes' not in str(error):
        raise
      raise UserError(
        f'{given} has pictures of different sizes: a set has one size; resize'
        ' them first, and say how.'
      ) from None
  else:
    name, images = 'an array', np.asarray(given)
  if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
    raise UserError(
      f'{name} has shape {list(images.shape)}: pictures [N, H, W, C] with 1 or'
      ' 3 channels are wanted, one at least.'
    )
  images, taken = pictures_as_bytes(images, name)
  height, width = images.shape[1:3]
  return f'{name}, {len(images)} pictures of {width}x{height}{taken}', images


def _alike(*described):
  """Words and pictures of both sets; grey ones in colour beside colour."""
  channels = max(images.shape[-1] for _, images in described)
  words, pictures = [], []
  for text, images in described:
    grey = images.shape[-1] < channels
    words.append(f'{text}; grey taken as colour' if grey else text)
    pictures.append(images.repeat(channels, -1) if grey else images)
  return words, pictures


def _source(text: str) -> str:
  """A path as a source; what is a source already, as it is."""
  if text.partition(':')[0] in data.SOURCES:
    return text
  return f'npz:{text}' if text.endswith('.npz') else f'folder:{text}'


def fid(real, fake, **settings) -> float:
  """The Frechet distance in FID's Inception; arguments of `compare`."""
  return compare(real, fake, ('fid',), **settings)['fid']


def kid(real, fake, **settings) -> float:
  """The kernel distance in the same features, as torch-fidelity has it."""
  return compare(real, fake, ('kid',), **settings)['kid']


def inception_score(fake, **settings) -> float:
  """The inception score of one set: the mean over 10 splits."""
  names = ('inception_score',)
  return compare(fake, fake, names, **settings)['inception_score']


def precision_recall(real, fake, **settings) -> tuple[float, float]:
  """Improved precision and recall, k = 3, in the same features."""
  found = compare(real, fake, ('precision_recall',), **settings)
  return found['precision'], found['recall']
