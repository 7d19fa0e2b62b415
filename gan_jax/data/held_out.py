"""Samples that are set aside from the training data, by what is in them.

Which they are hangs on the samples alone: not on their names, their order, the
resolution or the memory at hand. A picture that is there twice is held out
twice or not at all, or the copy that is trained on would give the other away.
With some more pictures in a folder most of those held out stay so.
"""

import hashlib

import numpy as np

from gan_jax.data.files import printable
from gan_jax.data.part import Part
from gan_jax.data.source import Source, in_threads

_SHOWN = 3  # names in the report


def rows(digests: list[bytes], share: float) -> tuple[np.ndarray, np.ndarray]:
  """Which samples are trained on, and which are held out.

  Args:
    digests: a hash of each sample's content.
    share: of the samples that are held out, in [0, 1): the whole number below
      share * n, and fewer where equal samples would be parted.

  Returns:
    The numbers of the former and of the latter, int64, each ascending; together
    they are all, and the former at least one.
  """
  n = len(digests)
  # In binary 0.29 x 100 is below 29.
  count = min(int(share * n + 1e-6), n - 1)
  order = sorted(range(n), key=lambda i: (digests[i], i))
  while count and digests[order[count - 1]] == digests[order[count]]:
    count -= 1
  held = np.sort(np.array(order[:count], np.int64))
  return np.setdiff1d(np.arange(n), held), held


def without(source: Source, share: float, split: str) -> Source:
  """A source without the samples that are held out of it.

  Args:
    source: the data.
    share: see `rows`.
    split: of the data, for the report.

  Returns:
    The samples to train on; `held_out` of it has the others, if there are any.
    Its report says how many, and names some where they have names.
  """
  digests = [b''] * len(source)

  def work(run):
    for i in run:
      digests[i] = hashlib.sha256(source.origin(i)).digest()

  in_threads(work, len(source), f'choosing what to hold out of {source.name}')
  kept, held = rows(digests, share)
  if not len(held):
    source.report += (
      f'\n  held out   none: {100 * share:g}% of {len(source):,} is less than'
      ' one (of equal ones all or none are); nothing watches whether they are'
      ' learned by heart'
    )
    return source
  trained = Part(source, kept, split)
  trained.held_out = Part(source, held, split)
  trained.report += f'\n  held out   {_said(source, held)}'
  return trained


def _said(source: Source, held) -> str:
  """'29: a.jpg, b.jpg, c.jpg, ...; never trained on, ...'."""
  names = getattr(source, 'names', None)
  shown = [printable(names[i]) for i in held[:_SHOWN]] if names else []
  if len(shown) < len(held) and shown:
    shown.append('...')
  named = f' ({", ".join(shown)})' if shown else ''
  few = len(held) < 2
  return (
    f'{len(held):,} of {len(source):,}{named}: never trained on, to see whether'
    ' the networks learn the others by heart'
    + ('; one is too few to tell: compare the grids yourself' if few else '')
  )
