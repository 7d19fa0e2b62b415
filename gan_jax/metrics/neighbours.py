"""Measures by nearest neighbours: precision, recall, density, coverage.

They compare distances, so that one a little off changes a rank or a border.
Every comparison here comes out as by sums of squared differences in float64,
`exact`. Most are settled by what is cheaper, |x|^2 + |y|^2 - 2 x . y in
float32 on JAX's device, whose rounding has a bound; `exact` decides what lies
within it. Where that would be much, as in clusters that are narrow for their
distance, the products of a block are taken again in float64.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.errors import UserError
from gan_jax.metrics.distances import (
  DOUBLE,
  SINGLE,
  Points,
  exact,
  is_much,
  points,
  products,
)

Array = jax.Array

_BLOCK = 1024
_LANES = 64


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


@functools.partial(jax.jit, static_argnames='k')
def _bounds_single(a, b, count_a, count_b, k: int):
  """Lower bounds [N, M]; the k least upper ones of each row and column."""
  d, off = products(a, b, **SINGLE)
  there = (jnp.arange(len(a)) < count_a)[:, None] & (
    jnp.arange(len(b)) < count_b
  )
  upper = jnp.where(there, d + off, jnp.inf)
  upper = jnp.where(jnp.isnan(upper), jnp.inf, upper)  # an overflow
  return d - off, _smallest(upper, k), _smallest(upper.T, k)


def _bounds_double(a, b, k: int):
  d, off = products(a, b, **DOUBLE)
  upper = d + off
  least = lambda x: np.partition(x, min(k, x.shape[1]) - 1, 1)[:, :k]
  return d - off, least(upper), least(upper.T)


class _Candidates:
  """Pairs of rows of `a` that may be among their k nearest of `b`."""

  def __init__(self, count: int, k: int):
    self._k = k
    self._best = np.full((count, k), np.inf)  # upper bounds
    self._pairs = []

  def meet(self, rows: slice, columns: slice, low, least):
    """What may be near of a block: rows and columns in it, after narrowing.

    Args:
      rows: of `a`.
      columns: of `b`.
      low: lower bounds [rows, columns].
      least: the k least upper bounds of each row.
    """
    best = np.concatenate([self._best[rows], least[: len(low)]], 1)
    best = np.partition(best, self._k - 1, 1)[:, : self._k]
    # Negated: what is not a number is a doubt.
    return best, np.nonzero(~(low > best.max(1).astype(low.dtype)[:, None]))

  def take(self, rows: slice, columns: slice, low, best, pairs) -> None:
    """Keeps what `meet` gave."""
    self._best[rows] = best
    row, column = pairs
    self._pairs.append((row + rows.start, column + columns.start, low[pairs]))

  def of(self, a: Points, b: Points):
    """Rows, columns, squared distances; by row, distance and column."""
    row, column, low = (
      np.concatenate(x) for x in zip(*self._pairs, strict=True)
    )
    still = ~(low > self._best.max(1)[row])
    row, column = row[still], column[still]
    d = exact(a, b, row, column)
    order = np.lexsort((column, d, row))
    return row[order], column[order], d[order]


def _near(a: Points, b: Points, k: int, block: int):
  """The k nearest of `b` to each row of `a`, and others; see `_Candidates.of`.

  If `b` is `a`, each pair of blocks meets once.
  """
  size = min(block, max(len(a.given), len(b.given)))
  found, dim = _Candidates(len(a.given), k), a.given.shape[1]
  for start in range(0, len(a.given), size):
    rows = a.rows(start, size)
    mine = jnp.asarray(_filled(a.moved(rows, np.float32), size))
    for other in range(start if a is b else 0, len(b.given), size):
      columns = b.rows(other, size)
      theirs = _filled(b.moved(columns, np.float32), size)
      sides = [False, True] if a is b and other > start else [False]
      counts = rows.stop - rows.start, columns.stop - columns.start

      def met(low, *least, sides=sides, rows=rows, columns=columns):
        for turned in sides:
          here = (columns, rows) if turned else (rows, columns)
          bounds = low.T if turned else low
          yield *here, bounds, *found.meet(*here, bounds, least[turned])

      low, *least = map(np.asarray, _bounds_single(mine, theirs, *counts, k))
      kept = list(met(low[: counts[0], : counts[1]], *least))
      if any(is_much(len(x[-1][0]), x[2].shape, dim) for x in kept):
        double = a.moved(rows, np.float64), b.moved(columns, np.float64)
        kept = list(met(*_bounds_double(*double, k)))
      for x in kept:
        found.take(*x)
  return found.of(a, b)


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


def _radii(x, counts, k: int, block: int) -> np.ndarray:
  """Squared distance [N] from each row to its k-th nearest other one."""
  (own,) = points(x)
  row, column, d = _near(own, own, min(k + 1, len(x)), block)
  # Each meets itself, and those like it, at 0: the k + 1st of all.
  seen = np.cumsum(counts[column])
  before = np.concatenate([[0], seen])[_first(row)]
  return d[np.searchsorted(seen, before + k + 1)]


def _first(row) -> np.ndarray:
  """Where the pairs of each row begin."""
  return np.flatnonzero(np.diff(row, prepend=-1))


def _meeting(d, off, ends, slack: float):
  """Which pairs lie surely within a radius, and which may."""
  return d + off <= ends * (1 - slack), ~(d - off > ends * (1 + slack))


@jax.jit
def _meet_single(a, b, ends_a, ends_b):
  d, off = products(a, b, **SINGLE)
  return [_meeting(d, off, ends, 1e-6) for ends in (ends_a[:, None], ends_b)]


def _meet_double(a, b, ends_a, ends_b):
  d, off = products(a, b, **DOUBLE)
  return [_meeting(d, off, ends, 1e-15) for ends in (ends_a[:, None], ends_b)]


def _within(a: Points, b: Points, radii_a, radii_b, block: int):
  """Which pairs lie in each other's balls.

  Yields:
    For a block: rows of `a`; rows of `b`; whether each of the latter lies in
    each of the former's balls; whether the former lie in the latter's.
  """
  size, dim = min(block, max(len(a.given), len(b.given))), a.given.shape[1]
  for start in range(0, len(a.given), size):
    rows = a.rows(start, size)
    mine = jnp.asarray(_filled(a.moved(rows, np.float32), size))
    for other in range(0, len(b.given), size):
      columns = b.rows(other, size)
      ends = radii_a[rows] / a.unit, radii_b[columns] / b.unit
      theirs = _filled(b.moved(columns, np.float32), size)
      single = (_filled(x.astype(np.float32), size) for x in ends)
      met = jax.device_get(_meet_single(mine, theirs, *single))
      met = [[x[: len(ends[0]), : len(ends[1])] for x in side] for side in met]
      doubt = _doubt(met)
      if is_much(np.count_nonzero(doubt), doubt.shape, dim):
        double = a.moved(rows, np.float64), b.moved(columns, np.float64)
        met = _meet_double(*double, *ends)
        doubt = _doubt(met)
      row, column = np.nonzero(doubt)
      d = exact(a, b, row + rows.start, column + columns.start)
      (in_a, _), (in_b, _) = met
      in_a, in_b = np.array(in_a), np.array(in_b)
      in_a[row, column] = d <= radii_a[rows][row]
      in_b[row, column] = d <= radii_b[columns][column]
      yield rows, columns, in_a, in_b


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


def prdc(real, fake, k: int = 3, block: int = _BLOCK) -> dict[str, float]:
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
    block: rows at a time; memory grows with its square.

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
  radii_real = _radii(real, reals, k, block)
  radii_fake = _radii(fake, fakes, k, block)
  inside = np.zeros(len(fake))
  covered, recalled = np.zeros((2, len(real)), bool)
  found = _within(*points(fake, real), radii_fake, radii_real, block)
  for rows, columns, in_fake, in_real in found:
    counts = reals[columns].astype(np.float32)
    inside[rows] += in_real.astype(np.float32) @ counts
    covered[columns] |= in_real.any(0)
    recalled[columns] |= in_fake.any(0)
  share = lambda chosen, counts: float(counts[chosen].sum() / counts.sum())
  return {
    'precision': share(inside > 0, fakes),
    'recall': share(recalled, reals),
    'density': float(inside @ fakes / fakes.sum() / k),
    'coverage': share(covered, reals),
  }


def nearest(
  queries, reference, k: int = 1, block: int = _BLOCK
) -> tuple[np.ndarray, np.ndarray]:
  """The nearest training samples of generated ones: has it only memorised?

  Args:
    queries: features or pixels [N, ...], N > 0.
    reference: those of the training set [M, ...], M >= k.
    k: neighbours per query.
    block: see `prdc`.

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
  row, column, d = _near(*points(queries, reference), k, block)
  chosen = _first(row)[:, None] + np.arange(k)
  return column[chosen], np.sqrt(d[chosen])
