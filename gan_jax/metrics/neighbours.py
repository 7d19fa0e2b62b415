"""Measures by nearest neighbours: precision, recall, density, coverage.

They compare distances, so that one a little off changes a rank or a border.
Every comparison here comes out as by sums of squared differences in float64,
`_exact`. Most are settled by what is cheaper, |x|^2 + |y|^2 - 2 x . y in
float32 on JAX's device, whose rounding has a bound; `_exact` decides what lies
within it. Where that would be much, as in clusters that are narrow for their
distance, the products of a block are taken again in float64.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.errors import UserError

Array = jax.Array

_PAIRS = 2**22  # distances of a block: 16 MB in float32, 32 in float64
_LANES = 64
_NUMBERS = 2**22  # differences held at a time by `_exact`
_TINY = 1e-30  # what squares lose to float32's smallest number, at reach 1


class _Points:
  """Points [N, D], as given and as products want them.

  Args:
    given: of any float type, a memory map too.
    centre: [D], what products are taken about.
    scale: what the largest number is divided by.
  """

  def __init__(self, given, centre: np.ndarray, scale: float):
    self.given, self._centre, self._scale = given, centre, scale
    self.unit = scale**2  # of squared distances

  def __len__(self) -> int:
    return len(self.given)

  @functools.cached_property
  def double(self) -> np.ndarray:
    """Centred and scaled, float64."""
    return self._moved(slice(None))

  @functools.cached_property
  def single(self) -> np.ndarray:
    """The same in float32."""
    out = np.empty(self.given.shape, np.float32)
    for start in range(0, len(out), 1024):
      here = slice(start, start + 1024)
      out[here] = self._moved(here)
    return out

  def _moved(self, here) -> np.ndarray:
    return (self.given[here] - self._centre) / self._scale


def _points(*given) -> list[_Points]:
  """Sets whose distances will be taken, about one centre and at one scale."""
  centre = np.mean([x.mean(0, dtype=np.float64) for x in given], 0)
  reach = max(
    max(np.abs(x.max(0) - centre).max(), np.abs(x.min(0) - centre).max())
    for x in given
  )
  return [_Points(x, centre, float(reach) or 1.0) for x in given]


def _exact(a: _Points, b: _Points, rows, columns) -> np.ndarray:
  """Squared distances of some pairs, float64; equal pairs have equal ones."""
  found = np.empty(len(rows))
  size = max(1, _NUMBERS // a.given.shape[1])
  for start in range(0, len(rows), size):
    here = slice(start, start + size)
    step = a.given[rows[here]].astype(np.float64)
    step -= b.given[columns[here]]
    found[here] = np.square(step, out=step).sum(1)
  return found


def _products(a, b, dot, rounding: float):
  """Squared distances [N, M], and how far each may be off."""
  aa, bb = (a * a).sum(1), (b * b).sum(1)
  d = aa[:, None] + bb - 2 * dot(a, b)
  # A sum of D products is off by D roundings of their absolute values, of
  # which (|x| + |y|)^2 is the bound; six more are of the coordinates and of
  # the last sums.
  reach = aa[:, None] ** 0.5 + bb**0.5
  return d, (a.shape[1] + 16) * rounding * reach * reach + _TINY


def _is_much(doubts, a: _Points, b: _Points, rows: int) -> bool:
  """Whether float64 products cost less than `_exact` of so many pairs.

  Measured: a product of a pair takes 0.03 us and 0.1 ns a coordinate, `_exact`
  some 10 and 50 times that.
  """
  return np.count_nonzero(doubts) > rows * (
    16 + len(b) / (8 + a.given.shape[1] / 8)
  )


_SINGLE = dict(
  dot=functools.partial(
    jnp.einsum, 'nd,md->nm', precision=lax.Precision.HIGHEST
  ),
  rounding=2.0**-24,
)
_DOUBLE = dict(dot=lambda a, b: a @ b.T, rounding=2.0**-53)


def _smallest(d: Array, k: int) -> Array:
  """The k smallest of each row [N, M], as [N, k], ascending.

  A sort of each row takes longer than the product that made it; so first the
  k smallest of every lane, by k minima and maxima per element.
  """
  groups = d.shape[1] // _LANES
  if groups > 2 * k:
    body = d[:, : groups * _LANES].reshape(len(d), groups, _LANES)
    best = [jnp.full((len(d), _LANES), jnp.inf)] * k
    for g in range(groups):
      new = body[:, g]
      for i in range(k):
        best[i], new = jnp.minimum(best[i], new), jnp.maximum(best[i], new)
    d = jnp.concatenate([*best, d[:, groups * _LANES :]], 1)
  return -lax.top_k(-d, k)[0]


# What is compared is negated, so that an overflow (nan) is a doubt.


@functools.partial(jax.jit, static_argnames='k')
def _near_single(a, b, k: int) -> Array:
  """Which pairs [N, M] may be among the k nearest of their row."""
  d, off = _products(a, b, **_SINGLE)
  return ~(d - off > _smallest(d + off, k)[:, -1:])


def _near_double(a, b, k: int) -> np.ndarray:
  d, off = _products(a, b, **_DOUBLE)
  return ~(d - off > np.partition(d + off, k - 1, 1)[:, k - 1 : k])


def _blocks(a: _Points, b: _Points, pairs: int) -> Iterator[np.ndarray]:
  """Rows of `a` that meet all of `b` at a time."""
  size = max(1, min(len(a), pairs // len(b)))
  return (
    np.arange(start, min(start + size, len(a)))
    for start in range(0, len(a), size)
  )


def _near(a: _Points, b: _Points, k: int, pairs: int):
  """The k nearest of `b` to each row of `a`, and others.

  Yields:
    For a block of rows: rows, columns and squared distances of pairs, sorted
    by row, distance, column.
  """
  size, theirs = 0, jnp.asarray(b.single)
  for rows in _blocks(a, b, pairs):
    size = size or len(rows)
    mine = _filled(a.single[rows], size)
    mask = np.asarray(_near_single(mine, theirs, k))[: len(rows)]
    if _is_much(mask, a, b, len(rows)):
      mask = _near_double(a.double[rows], b.double, k)
    row, column = np.nonzero(mask)
    row = rows[row]
    d = _exact(a, b, row, column)
    order = np.lexsort((column, d, row))
    yield row[order], column[order], d[order]


def _filled(x, size: int) -> np.ndarray:
  """With zeros below: blocks of one size compile once."""
  return np.pad(x, ((0, size - len(x)), *((0, 0),) * (x.ndim - 1)))


def _distinct(x) -> tuple[np.ndarray, np.ndarray]:
  """Rows that differ, and how often each is there.

  A generator that has collapsed gives thousands of one sample, all of whose
  pairs would be in doubt.
  """
  x = np.ascontiguousarray(x)
  rows = x.view(np.dtype((np.void, x.dtype.itemsize * x.shape[1]))).ravel()
  _, first, counts = np.unique(rows, return_index=True, return_counts=True)
  order = np.argsort(first)
  first, counts = first[order], counts[order]
  return (x if len(first) == len(x) else x[first]), counts


def _radii(x, counts, k: int, pairs: int) -> np.ndarray:
  """Squared distance [N] from each row to its k-th nearest other one."""
  points, radii = _points(x)[0], []
  for row, column, d in _near(points, points, min(k + 1, len(x)), pairs):
    # Each meets itself, and those like it, at 0: the k + 1st of all.
    seen = np.cumsum(counts[column])
    first = np.flatnonzero(np.diff(row, prepend=-1))
    before = np.concatenate([[0], seen])[first]
    radii.append(d[np.searchsorted(seen, before + k + 1)])
  return np.concatenate(radii)


def _meeting(d, off, ends, slack: float):
  """Which pairs lie surely within a radius, and which may."""
  return d + off <= ends * (1 - slack), ~(d - off > ends * (1 + slack))


@jax.jit
def _meet_single(a, b, ends_a, ends_b):
  d, off = _products(a, b, **_SINGLE)
  return [_meeting(d, off, ends, 1e-6) for ends in (ends_a[:, None], ends_b)]


def _meet_double(a, b, ends_a, ends_b):
  d, off = _products(a, b, **_DOUBLE)
  return [_meeting(d, off, ends, 1e-15) for ends in (ends_a[:, None], ends_b)]


def _within(a: _Points, b: _Points, radii_a, radii_b, pairs: int):
  """Which pairs lie in each other's balls.

  Yields:
    For a block of rows of `a`: the rows; whether each column lies in the row's
    ball; whether the row lies in each column's, both bool [rows, M].
  """
  size, theirs = 0, jnp.asarray(b.single)
  ends = [radii_a / a.unit, radii_b / b.unit]
  ends_b = jnp.asarray(ends[1], jnp.float32)
  for rows in _blocks(a, b, pairs):
    size = size or len(rows)
    mine = (_filled(x[rows], size) for x in (a.single, np.float32(ends[0])))
    block, ends_a = mine
    met = jax.device_get(_meet_single(block, theirs, ends_a, ends_b))
    met = [[mask[: len(rows)] for mask in masks] for masks in met]
    doubt = _doubt(met)
    if _is_much(doubt, a, b, len(rows)):
      met = _meet_double(a.double[rows], b.double, ends[0][rows], ends[1])
      doubt = _doubt(met)
    row, column = np.nonzero(doubt)
    d = _exact(a, b, rows[row], column)
    (in_a, _), (in_b, _) = met
    in_a, in_b = np.array(in_a), np.array(in_b)
    in_a[row, column] = d <= radii_a[rows[row]]
    in_b[row, column] = d <= radii_b[column]
    yield rows, in_a, in_b


def _doubt(met) -> np.ndarray:
  """Pairs of which one of the two answers is not sure."""
  (sure_a, may_a), (sure_b, may_b) = met
  return (may_a & ~sure_a) | (may_b & ~sure_b)


def _check(real, fake, k: int) -> None:
  if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
    raise TypeError(
      f'features [N, D] and [M, D] wanted, got {real.shape} and {fake.shape}'
    )
  if min(len(real), len(fake)) <= k:
    raise UserError(
      f'{k} nearest neighbours need more than {k} samples on each side, got '
      f'{len(real)} and {len(fake)}: raise the number of samples'
    )
  _check_finite(real, fake)


def _check_finite(*sets) -> None:
  if not all(np.isfinite(x).all() for x in sets):
    raise UserError(
      'nearest neighbours of samples that are not finite (nan) have no'
      ' distances: the run they are of has diverged'
    )


def prdc(real, fake, k: int = 3, pairs: int = _PAIRS) -> dict[str, float]:
  """Precision, recall, density and coverage.

  The ball of a sample reaches to its k-th nearest other sample of its own set
  and holds what lies on its border (Kynkaanniemi et al. 2019, equations 1 and
  2, precision and recall; Naeem et al. 2020, section 3, density and coverage).
  Borders are those of float64, also in clusters, far from 0, and of samples
  that are there twice.

  Args:
    real: features [N, D], N > k.
    fake: features [M, D], M > k.
    k: 3 in the first paper, 5 in the second.
    pairs: whose distances are held at a time; memory grows with them.

  Returns:
    precision: share of fakes in some real's ball; recall: share of reals in
    some fake's ball; density: number of reals' balls a fake lies in, over k;
    coverage: share of reals whose ball holds a fake. All but density in
    [0, 1].

  Raises:
    UserError: with no more than k samples on a side, or one not finite.
  """
  real, fake = np.asarray(real), np.asarray(fake)
  _check(real, fake, k)
  (real, reals), (fake, fakes) = _distinct(real), _distinct(fake)
  radii_real = _radii(real, reals, k, pairs)
  radii_fake = _radii(fake, fakes, k, pairs)
  inside = np.zeros(len(fake))
  covered, recalled = np.zeros((2, len(real)), bool)
  found = _within(*_points(fake, real), radii_fake, radii_real, pairs)
  for rows, in_fake, in_real in found:
    inside[rows] = in_real.astype(np.float32) @ reals.astype(np.float32)
    covered |= in_real.any(0)
    recalled |= in_fake.any(0)
  share = lambda chosen, counts: float(counts[chosen].sum() / counts.sum())
  return {
    'precision': share(inside > 0, fakes),
    'recall': share(recalled, reals),
    'density': float(inside @ fakes / fakes.sum() / k),
    'coverage': share(covered, reals),
  }


def nearest(
  queries, reference, k: int = 1, pairs: int = _PAIRS
) -> tuple[np.ndarray, np.ndarray]:
  """The nearest training samples of generated ones: has it only memorised?

  Args:
    queries: features or pixels [N, ...], N > 0.
    reference: those of the training set [M, ...], M >= k.
    k: neighbours per query.
    pairs: see `prdc`.

  Returns:
    Indices into `reference` [N, k], nearest first, the first of equal ones
    before the others, and distances [N, k], float64.

  Raises:
    UserError: with fewer than k reference samples, or one not finite.
  """
  queries, reference = (
    np.asarray(x).reshape(len(x), -1) for x in (queries, reference)
  )
  if len(reference) < k:
    raise UserError(
      f'{k} nearest neighbours need at least {k} training samples, got '
      f'{len(reference)}: ask for fewer neighbours'
    )
  _check_finite(queries, reference)
  indices, distances = [], []
  for row, column, d in _near(*_points(queries, reference), k, pairs):
    first = np.flatnonzero(np.diff(row, prepend=-1))
    chosen = first[:, None] + np.arange(k)
    indices.append(column[chosen])
    distances.append(np.sqrt(d[chosen]))
  return np.concatenate(indices), np.concatenate(distances)
