"""What every data source is: pictures, points or text at random access."""

import concurrent.futures
import functools
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable

import jax
import numpy as np

from gan_jax import limits
from gan_jax.data.picture import BadPictureError
from gan_jax.errors import UserError

_QUIET_SECONDS = 2.0  # work shorter than this shows no progress
_EVERY_SECONDS = 0.5  # between two lines of progress
_EVERY_SECONDS_IN_A_FILE = 30.0
_TRIES = 100  # pictures in a row that may turn out to be unreadable

# What samples are, by the number of their axes: (2,), (L, V), (H, W, C).
KINDS = {1: 'points', 2: 'text', 3: 'pictures'}


def to_float(samples):
  """Stored pictures or points to what networks see, the same shape.

  Args:
    samples: of NumPy or of JAX, to the same bits. uint8 is taken from 0..255 to
      -1..1; float32 stays as it is.
  """
  if samples.dtype != np.uint8:
    return samples
  # Not x / 127.5 - 1: XLA may turn that into a fused multiply-add, whose 255
  # becomes 1.0000001. Here no step can be fused or rewritten.
  return (samples.astype(np.float32) - 127.5) * np.float32(1 / 127.5)


def to_bytes(samples) -> np.ndarray:
  """[-1, 1] float to 0..255, rounded, values outside clipped; same shape."""
  samples = np.asarray(samples, np.float32)
  return np.clip(np.rint(samples * 127.5 + 127.5), 0, 255).astype(np.uint8)


def one_hot(samples, size: int):
  """Stored text to what networks see.

  Args:
    samples: characters by number [..., L], of NumPy or of JAX.
    size: V, that of the alphabet.

  Returns:
    float32 [..., L, V]: 1 where the character is, else 0.
  """
  if isinstance(samples, np.ndarray):
    return np.eye(size, dtype=np.float32)[samples]
  return jax.nn.one_hot(samples, size, dtype=np.float32)


class Source:
  """Samples by number. A source can be pickled and read by many threads.

  Attributes:
    name: what the config said, such as 'folder:/data/shoes'.
    shape: of one sample as networks see it: (H, W, C), (2,) for points in the
      plane, (L, V) for lines of L characters out of V.
    dtype: as stored: uint8 for pictures and text, float32 for points.
    classes: names of the classes; label k is classes[k]. () if there are none.
    alphabet: of text: character k is alphabet[k]. '' for all else.
    report: text for people: what was found, converted and skipped.
    in_memory: reading a sample decodes no file, so worker processes would only
      copy the set.
    held_out: samples that were set aside from these and that nothing trains
      on, a source of its own; None if there are none.
  """

  name: str
  shape: tuple[int, ...]
  dtype: np.dtype
  classes: tuple[str, ...] = ()
  alphabet: str = ''
  report: str = ''
  in_memory: bool = True
  held_out: 'Source | None' = None

  @property
  def stored_shape(self) -> tuple[int, ...]:
    """Of one sample as it is kept: [L] for text, else `shape`."""
    return self.shape[:1] if self.alphabet else self.shape

  @property
  def unpack(self) -> Callable:
    """Takes stored samples [..., *stored_shape] to float32 [..., *shape].

    A function of NumPy or JAX arrays that does not hold on to the source.
    """
    if self.alphabet:
      return functools.partial(one_hot, size=len(self.alphabet))
    return to_float

  def __len__(self) -> int:
    raise NotImplementedError

  def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
    """Sample i: an array of `stored_shape` and `dtype`; its label (or 0)."""
    raise NotImplementedError

  def label(self, i: int) -> int:
    """The label of sample i (or 0), the sample itself not read if it can be."""
    return self[i][1]

  def content(self, i: int) -> bytes:
    """Bytes that are others when sample i is: to tell edited data by."""
    return np.ascontiguousarray(self[i][0]).tobytes()

  def origin(self, i: int) -> bytes:
    """Bytes of sample i that no setting of where and how to keep it changes.

    `content` may be the file here and the pixels there, by the memory there is.
    """
    return self.content(i)

  def nbytes(self) -> int:
    """Size of the whole set as it is stored in memory, in bytes."""
    size = int(np.prod(self.stored_shape)) * np.dtype(self.dtype).itemsize
    return len(self) * size

  def arrays(self) -> tuple[np.ndarray, np.ndarray]:
    """The whole set: samples [n, *stored_shape] and labels int32 [n]."""
    images = np.empty((len(self), *self.stored_shape), self.dtype)
    labels = np.empty(len(self), np.int32)

    def load(run):
      for i in run:
        images[i], labels[i] = self[i]

    in_threads(load, len(self), f'reading {self.name}')
    return images, labels


class DecodedSource(Source):
  """A source that decodes a picture each time it is read.

  One that cannot be read must not end a run of days: it is named once in the
  log and the next good one takes its place.
  """

  def _decode(self, i: int) -> tuple[np.ndarray, int]:
    """Sample i, or BadPictureError."""
    raise NotImplementedError

  def _title(self, i: int) -> str:
    """What to call picture i in messages."""
    raise NotImplementedError

  def __getitem__(self, i):
    n = len(self)
    tries = min(_TRIES, n)
    for j in range(i, i + tries):
      try:
        return self._decode(j % n)
      except BadPictureError as e:
        self._warn(j % n, e)
    raise UserError(
      f'{self.name}: {tries} pictures in a row cannot be read, from'
      f' {self._title(i)} on; check that the files are still there, then run'
      ' the same command again to go on.'
    )

  def _warn(self, i, reason):
    warned = self.__dict__.setdefault('_warned', set())
    if i not in warned:
      warned.add(i)
      logging.warning(
        '%s cannot be read (%s); the next good picture takes its place',
        self._title(i),
        reason,
      )


def in_threads(work: Callable[[range], None], n: int, what: str) -> None:
  """Has threads work through range(n), with progress on stderr.

  Pillow and the archive readers release the interpreter lock while they
  decode, so threads use all cores.

  Args:
    work: is called with runs of indices that together cover range(n) once; an
      error it raises ends the work and is raised here.
    n: number of indices.
    what: shown as '<what>: 1200 of 5000'; short work shows nothing.
  """
  progress = Progress(n, what)
  size = max(1, min(256, n // 64))
  runs = [range(i, min(i + size, n)) for i in range(0, n, size)]
  pool = concurrent.futures.ThreadPoolExecutor(min(32, os.cpu_count() or 1))
  try:
    futures = [pool.submit(work, run) for run in runs]
    for run, future in zip(runs, futures, strict=True):
      future.result()
      progress(run.stop)
  finally:
    # After an error or Ctrl-C the runs not yet begun are dropped.
    pool.shutdown(wait=True, cancel_futures=True)


class Progress:
  """A line on stderr on how far some work is; none if it is short.

  In a terminal it counts up; in a file there is a line now and then.

  Args:
    n: pieces of work in all.
    what: shown as '<what>: 1200 of 5000'.
  """

  def __init__(self, n: int, what: str):
    self._n, self._what = n, what
    self._start = self._shown = time.monotonic()
    self._live = sys.stderr.isatty()

  def __call__(self, done: int) -> None:
    """So many are done."""
    now, last = time.monotonic(), done == self._n
    every = _EVERY_SECONDS if self._live else _EVERY_SECONDS_IN_A_FILE
    if now - self._start > _QUIET_SECONDS and (
      now - self._shown > every or last and self._shown != self._start
    ):
      self._shown = now
      begin = '\r' if self._live else ''
      end = '' if self._live and not last else '\n'
      text = f'{begin}{self._what}: {done} of {self._n}'
      print(text, end=end, file=sys.stderr, flush=True)


def digest(read: Callable[[int], bytes], n: int, name: str, facts: list) -> str:
  """A SHA-256 that tells a set from all others, an edited sample's included.

  Args:
    read: the bytes that sample i is told by, such as `Source.content`.
    n: number of samples.
    name: of the source, for the line of progress.
    facts: what else makes it another set; anything that JSON takes.

  Returns:
    64 hexadecimal digits.
  """
  found = [b''] * n

  def work(run):
    for i in run:
      found[i] = hashlib.sha256(read(i)).digest()

  in_threads(work, n, f'looking for changes in {name}')
  total = hashlib.sha256(json.dumps(facts).encode())
  for one in found:
    total.update(one)
  return total.hexdigest()


def class_counts(classes: tuple[str, ...], labels: np.ndarray) -> str:
  """For the report: '3: cat (120), dog (80), owl (75)'.

  Below it, a line on the classes that have no picture, and one for each that
  has strangely few.
  """
  if not classes:
    return 'none'
  counts = np.bincount(labels, minlength=len(classes))
  shown = [f'{name} ({counts[k]:,})' for k, name in enumerate(classes[:20])]
  rest = [f'... and {len(classes) - 20} more'] if len(classes) > 20 else []
  head = f'{len(classes)}: ' + ', '.join(shown + rest)
  few = np.median(counts) / 100
  odd = list(filter(None, [without_pictures(classes, labels)]))
  for name, count in zip(classes, counts, strict=True):
    if count == 1:
      odd.append(f'{name}: a single one')
    elif 0 < count < few:
      odd.append(f'{name}: {count:,}, less than 1% of the median class')
  return '\n'.join([head, *some_lines(odd)])


def some_lines(lines: list[str], n: int = 10) -> list[str]:
  """The first few lines, and how many more there are."""
  more = [f'... and {len(lines) - n:,} more'] if len(lines) > n else []
  return lines[:n] + more


def report_text(source: Source, rows: list[tuple[str, str]]) -> str:
  """The report: a headline, then rows of (word, text) under each other."""
  shape = 'x'.join(str(s) for s in source.stored_shape)
  what = 'lines' if source.alphabet else KINDS[len(source.shape)]
  size = source.nbytes() / 2**20
  dtype = np.dtype(source.dtype).name
  lines = [
    f'{source.name}: {len(source):,} {what}, {shape} {dtype}, {size:,.1f} MiB'
  ]
  for word, text in rows:
    first, *more = text.split('\n')
    lines.append(f'  {word:<10} {first}')
    lines.extend(f'  {"":<10} {line}' for line in more)
  return '\n'.join(lines)


def without_pictures(classes: tuple[str, ...], labels: np.ndarray) -> str:
  """A line for the report on the classes that no sample is of; '' if none."""
  counts = np.bincount(labels, minlength=len(classes))
  empty = [
    name for name, count in zip(classes, counts, strict=True) if not count
  ]
  if not empty:
    return ''
  more = f', ... ({len(empty):,} in all)' if len(empty) > 10 else ''
  return (
    f'no picture of {", ".join(empty[:10])}{more}: nothing can be learned of'
    ' such a class'
  )


def integer_labels(
  labels: np.ndarray, n: int, name: str, others: Iterable[np.ndarray] = ()
) -> tuple[np.ndarray, tuple[str, ...]]:
  """Class numbers from a file, and the names of the classes.

  The classes are the numbers that occur: labels 1, 2, 3 are three classes, of
  the names '1', '2' and '3'. One-hot rows announce a class for each column.

  Args:
    labels: as read, [n], [n, 1], or one-hot [n, K].
    n: number of pictures.
    name: the source, for messages.
    others: labels of the source's other splits, in the same form: what occurs
      there is a class as well, so that a class has one number in all splits.

  Returns:
    int32 [n], the places of the classes among the names, and the names.

  Raises:
    UserError: not one whole number >= 0 for each picture.
  """
  numbers = _class_numbers(labels, n, name)
  rest = [_class_numbers(other, len(other), name) for other in others]
  known = np.unique(np.concatenate([numbers, *rest]))
  if labels.ndim == 2 and labels.shape[1] > 1:  # one-hot
    wide = {other.shape[1:] for other in (labels, *others)}
    if len(wide) > 1:
      raise UserError(
        f'{name}: the one-hot labels of its splits are of different widths,'
        f' {sorted(wide)}; save them with the same classes.'
      )
    known = np.arange(labels.shape[1])
  if len(known) > limits.CLASSES:
    raise UserError(
      f'{name}: the labels have {len(known):,} different numbers, more than'
      f' {limits.CLASSES:,}: they are no classes; save the pictures without'
      ' them.'
    )
  places = np.searchsorted(known, numbers).astype(np.int32)
  return places, tuple(str(int(k)) for k in known)


def _class_numbers(labels: np.ndarray, n: int, name: str) -> np.ndarray:
  """The whole numbers >= 0 that labels are, [n]; see `integer_labels`."""
  if labels.ndim not in (1, 2) or len(labels) != n or 0 in labels.shape:
    raise UserError(
      f'{name}: the labels have shape {list(labels.shape)} but there are {n}'
      f' pictures; give one class number per picture, shape [{n}].'
    )
  if labels.ndim == 2 and labels.shape[1] > 1:
    if labels.dtype.kind not in 'iubf' or not (
      np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all()
    ):
      raise UserError(
        f'{name}: the labels have shape {list(labels.shape)}, but not each row'
        ' is one 1 among zeros, so that they are not one-hot; give one class'
        f' number per picture, shape [{n}].'
      )
    return labels.argmax(1)
  labels = labels.reshape(n)
  if labels.dtype.kind not in 'iub':
    raise UserError(
      f'{name}: the labels are of type {labels.dtype}; give whole numbers'
      ' 0, 1, 2, ...'
    )
  if labels.min() < 0:
    raise UserError(
      f'{name}: the labels run from {labels.min()} to {labels.max()}; number'
      ' the classes 0, 1, 2, ...'
    )
  return labels.astype(np.uint64)
