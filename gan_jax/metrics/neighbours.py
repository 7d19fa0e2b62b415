"""Measures by nearest neighbours: precision, recall, density, coverage.

Distances are taken block by block, |x|^2 + |y|^2 - 2 x . y in float32, after
the mean of the reals is subtracted, which leaves the distances and takes the
cancellation away. Memory is a few blocks of [1024, 1024], whatever N is.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.errors import UserError

Array = jax.Array

_BLOCK = 1024
_LANES = 64


def _squared(a: Array, b: Array, rows_a: Array, rows_b: Array) -> Array:
  """Squared distances [N, M]; inf from and to rows that are only padding."""
  aa, bb = (jnp.sum(jnp.square(x), 1) for x in (a, b))
  aa = jnp.where(jnp.arange(len(a)) < rows_a, aa, jnp.inf)
  bb = jnp.where(jnp.arange(len(b)) < rows_b, bb, jnp.inf)
  ab = jnp.einsum('nd,md->nm', a, b, precision=lax.Precision.HIGHEST)
  return jnp.maximum(aa[:, None] + bb - 2 * ab, 0)


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
def _radii_step(a, b, rows_a, rows_b, best_a, best_b, same, k: int):
  """Both blocks' k smallest distances so far, after these two have met."""
  d = _squared(a, b, rows_a, rows_b)
  d = jnp.where(same & jnp.eye(*d.shape, dtype=bool), jnp.inf, d)
  best_a = _smallest(jnp.concatenate([_smallest(d, k), best_a], 1), k)
  best_b = _smallest(jnp.concatenate([_smallest(d.T, k), best_b], 1), k)
  return best_a, best_b


class _Blocks:
  """Rows of features in blocks of one size, less a centre."""

  def __init__(self, x, centre: np.ndarray, rows: int):
    self.x, self.centre, self.rows = x, centre, rows
    self.starts = range(0, len(x), rows)

  def __len__(self) -> int:
    return len(self.starts)

  def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
    """The block [rows, D], zeros below, and how many rows of it are real."""
    block = self.x[self.starts[i] : self.starts[i] + self.rows]
    block = np.asarray(block, np.float32) - self.centre
    return np.pad(block, ((0, self.rows - len(block)), (0, 0))), len(block)


def _radii(blocks: _Blocks, k: int) -> np.ndarray:
  """Squared distance [N] from each row to its k-th nearest other row."""
  best = [jnp.full((blocks.rows, k), jnp.inf) for _ in blocks.starts]
  for i in range(len(blocks)):
    mine, rows = blocks[i]
    mine = jnp.asarray(mine)
    for j in range(i, len(blocks)):
      other, other_rows = (mine, rows) if i == j else blocks[j]
      own, theirs = _radii_step(
        mine, other, rows, other_rows, best[i], best[j], i == j, k
      )
      best[i] = own
      if i != j:
        best[j] = theirs
  return np.concatenate([b[:, -1] for b in best])[: len(blocks.x)]


@jax.jit
def _cross_step(a, b, rows_a, rows_b, radii_a, radii_b):
  """What a block of fakes `a` and one of reals `b` say of each other.

  Returns:
    In how many of the reals' balls each fake lies [N]; whether each real's
    ball holds a fake [M]; whether each real lies in a fake's ball [M].
  """
  d = _squared(a, b, rows_a, rows_b)
  # Padding is at inf; no finite radius reaches it, and none is infinite.
  in_real = d <= radii_b
  in_fake = d <= radii_a[:, None]
  return in_real.sum(1), in_real.any(0), in_fake.any(0)


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


def prdc(real, fake, k: int = 3, block: int = _BLOCK) -> dict[str, float]:
  """Precision, recall, density and coverage.

  The ball of a sample reaches to its k-th nearest other sample of its own set
  and holds what lies on its border (Kynkaanniemi et al. 2019, equations 1 and
  2, precision and recall; Naeem et al. 2020, section 3, density and coverage).

  Args:
    real: features [N, D]; anything sliceable, a memory map too.
    fake: features [M, D].
    k: 3 in the first paper, 5 in the second.
    block: rows at a time; memory grows with its square.

  Returns:
    precision: share of fakes in some real's ball; recall: share of reals in
    some fake's ball; density: number of reals' balls a fake lies in, over k;
    coverage: share of reals whose ball holds a fake. All but density in
    [0, 1].

  Raises:
    UserError: with no more than k samples on a side.
  """
  real, fake = (
    x if hasattr(x, 'ndim') else np.asarray(x) for x in (real, fake)
  )
  _check(real, fake, k)
  centre = np.asarray(real.mean(0, dtype=np.float64), np.float32)
  block = min(block, max(len(real), len(fake)))
  reals, fakes = (_Blocks(x, centre, block) for x in (real, fake))
  padded = [
    np.pad(_radii(x, k), (0, len(x) * block - len(x.x))) for x in (reals, fakes)
  ]
  radii_real, radii_fake = (r.reshape(-1, block) for r in padded)
  inside = np.zeros((len(fakes), block), np.int64)
  covered, recalled = np.zeros((2, len(reals), block), bool)
  for i in range(len(fakes)):
    mine, rows = fakes[i]
    mine = jnp.asarray(mine)
    for j in range(len(reals)):
      other, other_rows = reals[j]
      counts, covers, recalls = _cross_step(
        mine, other, rows, other_rows, radii_fake[i], radii_real[j]
      )
      inside[i] += np.asarray(counts)
      covered[j] |= np.asarray(covers)
      recalled[j] |= np.asarray(recalls)
  inside = inside.reshape(-1)[: len(fake)]
  return {
    'precision': float(np.mean(inside > 0)),
    'recall': float(recalled.sum() / len(real)),
    'density': float(inside.mean() / k),
    'coverage': float(covered.sum() / len(real)),
  }


@functools.partial(jax.jit, static_argnames='k')
def _nearest_step(a, b, rows_b, start, best, index, k: int):
  d = _squared(a, b, len(a), rows_b)
  values, chosen = lax.top_k(-d, min(k, d.shape[1]))
  values = jnp.concatenate([best, -values], 1)
  chosen = jnp.concatenate([index, chosen + start], 1)
  values, order = lax.top_k(-values, k)
  return -values, jnp.take_along_axis(chosen, order, 1)


def nearest(
  queries, reference, k: int = 1, block: int = _BLOCK
) -> tuple[np.ndarray, np.ndarray]:
  """The nearest training samples of generated ones: has it only memorised?

  Args:
    queries: features or pixels [N, ...].
    reference: those of the training set [M, ...], M >= k.
    k: neighbours per query.
    block: rows at a time.

  Returns:
    Indices into `reference` [N, k], nearest first, and distances [N, k].

  Raises:
    UserError: with fewer than k reference samples.
  """
  queries, reference = (
    np.asarray(x).reshape(len(x), -1) for x in (queries, reference)
  )
  if len(reference) < k:
    raise UserError(
      f'{k} nearest neighbours need at least {k} training samples, got '
      f'{len(reference)}: ask for fewer neighbours'
    )
  centre = reference.mean(0, dtype=np.float64).astype(np.float32)
  block = min(block, max(len(queries), len(reference)))
  ours, theirs = (_Blocks(x, centre, block) for x in (queries, reference))
  indices, distances = [], []
  for i in range(len(ours)):
    mine, rows = ours[i]
    mine = jnp.asarray(mine)
    best = jnp.full((block, k), jnp.inf)
    index = jnp.zeros((block, k), jnp.int32)
    for j in range(len(theirs)):
      other, other_rows = theirs[j]
      best, index = _nearest_step(
        mine, other, other_rows, theirs.starts[j], best, index, k
      )
    indices.append(np.asarray(index)[:rows])
    distances.append(np.sqrt(np.asarray(best))[:rows])
  return np.concatenate(indices), np.concatenate(distances)
