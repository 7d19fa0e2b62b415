"""Data that are not here, in their shape and number: a plan needs no more."""

import numpy as np

from gan_jax.data import tfds
from gan_jax.data.source import KINDS, Source

# Pictures of split 'train', and classes, by the catalogue of TensorFlow
# Datasets (tensorflow.org/datasets/catalog).
TFDS = {
  'cifar10': (50_000, 10),
  'cifar100': (50_000, 100),
  'celeb_a': (162_770, 2),
  'fashion_mnist': (60_000, 10),
  'imagenet_resized': (1_281_167, 1000),
  'lsun/bedroom': (3_033_042, 0),
  'lsun/church_outdoor': (126_227, 0),
  'mnist': (60_000, 10),
}


class StandIn(Source):
  """Samples of zeros, none of which is kept.

  Args:
    name: what they stand for.
    shape: of a sample, (H, W, C).
    count: of the samples.
    classes: number of classes; all samples are of the first.
  """

  dtype = np.dtype(np.uint8)

  def __init__(
    self, name: str, shape: tuple[int, ...], count: int, classes: int = 0
  ):
    self.name, self.shape = name, shape
    self.classes = tuple(str(k) for k in range(classes))
    self._count = count
    self.report = (
      f'{name} is not here: {count:,} {KINDS[len(shape)]} of zeros,'
      f' {"x".join(map(str, shape))}, stand in for it.'
    )

  def __len__(self):
    return self._count

  def __getitem__(self, i):
    return np.zeros(self.shape, self.dtype), 0

  def label(self, i):
    """As in Source."""
    return 0


def of_tfds(section) -> StandIn | None:
  """What stands in for a set of TensorFlow Datasets that is not prepared here.

  Args:
    section: `config.data`.

  Returns:
    None if nothing has to.
  """
  stacked, _, rest = section.source.rpartition('stacked:')
  kind, _, name = (rest if stacked == '' else section.source).partition(':')
  if kind != 'tfds' or tfds.is_prepared(name, section.data_dir):
    return None
  known = [size for start, size in TFDS.items() if name.startswith(start)]
  count, classes = known[-1] if known else (50_000, 10)
  if rest != section.source:  # three digits a picture
    classes = classes**3
  side = section.resolution or 32
  return StandIn(section.source, (side, side, section.channels), count, classes)
