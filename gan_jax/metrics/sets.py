"""What is taken of a set of samples, once, for all metrics that need it.

The columns of registry.py, from samples that come in parts. Those of a
reference set in a feature space are kept in a cache folder under a hash of the
data, their number, the resizer and the weights.
"""

import functools
import hashlib
import logging
import pathlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from gan_jax import hosts, paths
from gan_jax.data.npy import Archive
from gan_jax.data.source import to_bytes
from gan_jax.metrics import frechet
from gan_jax.metrics.spaces import Space
from gan_jax.run.write import whole

log = logging.getLogger('gan_jax')

_FORM = 1  # of the files; raised whenever a column is computed otherwise


class NotFiniteError(ArithmeticError):
  """Samples with a nan, as a generator that has diverged makes them."""


def quantised(samples) -> np.ndarray:
  """Pictures in [-1, 1] as uint8, as they would be saved.

  Args:
    samples: [N, H, W, C], float in [-1, 1] or uint8; or any others, which
      stay as they are.

  Raises:
    NotFiniteError: no picture is saved of a number that is none.
  """
  samples = np.asarray(samples)
  if samples.dtype.kind == 'f' and not np.isfinite(samples).all():
    raise NotFiniteError('samples are not finite')
  if samples.ndim != 4 or samples.dtype == np.uint8:
    return samples
  return to_bytes(samples)


def collect(
  parts: Iterable,
  columns: Iterable[str],
  spaces: Mapping[str, Space],
  read: Callable = lambda part: part,
) -> dict:
  """The columns of a set.

  Args:
    parts: of the set. Of several processes each reads and looks at its share
      of them, one at a time, and all have all columns.
    columns: which, see registry.py.
    spaces: those of the columns, by name.
    read: a part -> its samples, see `quantised`, and the discriminator's scores
      of them [N] or None.

  Returns:
    {column: value}.

  Raises:
    NotFiniteError: see `quantised`.
  """
  columns = tuple(columns)
  if not columns:
    return {}  # samples are made as they are asked for
  kept = {c: [] for c in columns if not c.startswith('moments:')}
  moments = {}
  rows_of = functools.partial(_rows, read, columns, spaces)
  for rows in hosts.shared(rows_of, parts):
    for column, values in kept.items():
      values.append(rows[column])
    for column in columns:
      if column not in kept:
        fresh = frechet.Moments(rows[column].shape[1])
        moments.setdefault(column, fresh).add(rows[column])
  return {c: np.concatenate(v) for c, v in kept.items()} | {
    c: m.gaussian() for c, m in moments.items()
  }


def _rows(read: Callable, columns, spaces, part) -> dict:
  """The rows of a part in each column; of moments those of the features."""
  samples, scores = read(part)
  samples = quantised(samples)
  rows = {'samples': samples, 'scores': scores}
  if 'thumbnails' in columns:
    rows['thumbnails'] = _thumbnails(samples)
  for space in {c.partition(':')[2] for c in columns} - {''}:
    found = spaces[space](samples)
    rows |= {f'{name}:{space}': value for name, value in found.items()}
    rows[f'moments:{space}'] = found.get('features')
  return {column: rows[column] for column in columns}


def _thumbnails(samples):
  """Of pictures in [-1, 1], of points as they are."""
  if samples.ndim == 4:
    samples = samples / 127.5 - 1
  return frechet.pixel_features(samples)


def reference(
  data: str,
  parts: Iterable,
  columns: Iterable[str],
  spaces: Mapping[str, Space],
  read: Callable = lambda part: part,
) -> dict:
  """`collect`, of a set that will be compared with again.

  Args:
    data: a hash of the set, its number of samples included.
    parts: see `collect`; not touched if all is in the cache.
    columns: see `collect`.
    spaces: see `collect`.
    read: see `collect`.
  """
  columns = tuple(columns)
  files = {c: _file(data, c, spaces) for c in columns if ':' in c}
  found = {c: _read(file) for c, file in files.items() if file.exists()}
  found = {c: value for c, value in found.items() if value is not None}
  # Processes on other machines have caches of their own.
  missing = hosts.gather([c for c in columns if c not in found])
  if missing := [c for c in columns if any(c in of for of in missing)]:
    fresh = collect(parts, missing, spaces, read)
    for column, value in fresh.items():
      if column in files:
        _write(files[column], value)
    found |= fresh
  return found


def _file(data: str, column: str, spaces) -> pathlib.Path:
  kind, _, space = column.partition(':')
  parts = [_FORM, data, space, spaces[space].resizer, spaces[space].digest]
  key = hashlib.sha256('\n'.join(map(str, parts)).encode()).hexdigest()
  return paths.cache('statistics') / f'{key[:24]}-{kind}-{space}.npz'


def _write(file: pathlib.Path, value) -> None:
  arrays = value if isinstance(value, frechet.Gaussian) else (value,)
  try:
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as scratch:
      np.savez(scratch, *arrays)
  except OSError as error:
    log.info('%s is not kept: %s.', file, error.strerror)


def _read(file: pathlib.Path):
  """What `_write` wrote; None if the file is damaged."""
  try:
    with open(file, 'rb') as stream:
      archive = Archive(stream)
      arrays = [archive[name] for name in archive.names]
    if len(arrays) == 1:
      return arrays[0]
    count, mean, cov = arrays
    return frechet.Gaussian(int(count), mean, cov)
  except (ValueError, TypeError, OSError) as error:
    log.warning('%s is damaged, and made anew: %s', file, error)
    return None
