"""Kernel inception distance (Binkowski et al. 2018, section 4).

The squared maximum mean discrepancy under k(x, y) = (x . y / D + 1)^3. Its
unbiased estimate needs no fitted Gaussian, so it is fair to small sets, and
may be negative. Products run in float32 on JAX's device, on a CPU by NumPy,
which has nothing to compile and needs the memory of one kernel; k - 1 is summed
in its place, since the ones cancel, and sums over blocks are in float64.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.errors import UserError

Array = jax.Array

_dot = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)


def _kernel(a: Array, b: Array) -> Array:
  """The kernel less 1, of all pairs [N, M] of rows of two sets."""
  t = _dot('nd,md->nm', a, b) / a.shape[1]
  return t * (3 + t * (3 + t))


def _weighted(k: Array, weights: Array) -> Array:
  """Sums [N] of columns by their weights [M].

  A product: on a CPU XLA's own sum would take a third as long as all else.
  """
  return _dot('nm,m->n', k, weights)


@jax.jit
def _cross_sums(a: Array, b: Array) -> Array:
  """Sums of k - 1 over all pairs of a row of `a` and one of `b`, in parts."""
  return _weighted(_kernel(a, b), jnp.ones(len(b)))


def _quarters(x):
  """Rows of x, a quarter at a time, each with itself and those below it.

  k is symmetric: counted twice, these are 5/8 of the products.
  """
  size = -(-len(x) // 4)
  for start in range(0, len(x), size):
    yield x[start : start + size], x[start:]


@jax.jit
def _own_sums(x: Array) -> Array:
  """Sums of k - 1 over all pairs i != j of the rows of `x`, in parts."""
  parts = []
  for mine, rest in _quarters(x):
    k = _kernel(mine, rest)
    twice = jnp.arange(len(rest)) >= len(mine)
    weights = jnp.where(twice, 2.0, 1.0)
    parts.append(_weighted(k, weights) - jnp.diagonal(k))
  return jnp.concatenate(parts)


def _on_host() -> bool:
  """Whether NumPy multiplies."""
  return jax.default_backend() == 'cpu'


def _kernel_on_host(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """As `_kernel`."""
  t = a @ b.T
  t /= np.float32(a.shape[1])
  k = t + np.float32(3)
  k *= t
  k += np.float32(3)
  k *= t
  return k


def _cross_total(a, b) -> float:
  """The sum of k - 1 over all pairs of a row of `a` and one of `b`."""
  if _on_host():
    return float(_kernel_on_host(a, b).sum(dtype=np.float64))
  return _total(_cross_sums(a, b))


def _own_total(x) -> float:
  """The sum of k - 1 over all pairs i != j of the rows of `x`."""
  if not _on_host():
    return _total(_own_sums(x))
  total = 0.0
  for mine, rest in _quarters(x):
    k = _kernel_on_host(mine, rest)
    itself, below = k[:, : len(mine)], k[:, len(mine) :]
    total += itself.sum(dtype=np.float64) - np.trace(itself, dtype=np.float64)
    total += 2 * below.sum(dtype=np.float64)
  return float(total)


def _put(x: np.ndarray):
  """Rows where `_cross_total` and `_own_total` take them."""
  return x if _on_host() else jnp.asarray(x)


def _total(parts: Array) -> float:
  return float(np.asarray(parts, np.float64).sum())


def _check(x, y, least: int) -> None:
  if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
    raise TypeError(
      f'features [N, D] and [M, D] wanted, got {x.shape} and {y.shape}'
    )
  if min(len(x), len(y)) < least:
    raise UserError(
      f'KID needs at least {least} samples on each side, got {len(x)} and '
      f'{len(y)}: raise the number of samples or lower the subset size'
    )


def _blocks(x, rows: int):
  """Blocks [rows, D] of x; zeros below the last, for which k - 1 = 0."""
  for start in range(0, len(x), rows):
    block = np.asarray(x[start : start + rows], np.float32)
    yield np.pad(block, ((0, rows - len(block)), (0, 0)))


def mmd2(real, fake, block: int = 2048) -> float:
  """The unbiased estimate from all pairs, which no random choice blurs.

  Exact but for float32 products; pairs are taken block by block, so that
  memory stays at three blocks. Time grows with the square of N.

  Args:
    real: features [N, D], N > 1; anything sliceable, a memory map too.
    fake: features [M, D], M > 1.
    block: rows at a time.

  Raises:
    UserError: if a side has fewer than two rows.
  """
  real, fake = (
    x if hasattr(x, 'ndim') else np.asarray(x) for x in (real, fake)
  )
  _check(real, fake, 2)
  block = min(block, max(len(real), len(fake)))
  n, m = len(real), len(fake)
  total = -2 * _cross(real, fake, block) / (n * m)
  return total + sum(
    _own(x, block) / (len(x) * (len(x) - 1)) for x in (real, fake)
  )


def _cross(x, y, block: int) -> float:
  return sum(
    _cross_total(a, b)
    for a in map(_put, _blocks(x, block))
    for b in _blocks(y, block)
  )


def _own(x, block: int) -> float:
  """The sum over pairs i != j of k - 1; k is symmetric."""
  total = 0.0
  for start in range(0, len(x), block):
    mine, *others = _blocks(x[start:], block)
    mine = _put(mine)
    total += _own_total(mine)
    total += 2 * sum(_cross_total(mine, other) for other in others)
  return total


def kid(
  real, fake, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> tuple[float, float]:
  """The estimate over random subsets, as torch-fidelity draws them.

  Each subset takes `size` fakes, then `size` reals, without replacement from
  `numpy.random.RandomState(seed)`; so the numbers are those of torch-fidelity
  (its defaults are the defaults here) and, with 100 subsets, of
  StyleGAN2-ADA's kid50k but for its own draws.

  Args:
    real: features [N, D], N >= size.
    fake: features [M, D], M >= size.
    subsets: how many.
    size: of each.
    seed: of the draws.

  Returns:
    Mean and population standard deviation over the subsets.

  Raises:
    UserError: if a side has fewer than `size` rows, or than two.
  """
  real, fake = np.asarray(real), np.asarray(fake)
  _check(real, fake, max(2, size))
  rng = np.random.RandomState(seed)
  values = []
  for _ in range(subsets):
    y = fake[rng.choice(len(fake), size, replace=False)]
    x = real[rng.choice(len(real), size, replace=False)]
    x, y = (_put(z.astype(np.float32, copy=False)) for z in (x, y))
    own = _own_total(x) + _own_total(y)
    cross = _cross_total(x, y)
    values.append(own / (size * (size - 1)) - 2 * cross / size**2)
  return float(np.mean(values)), float(np.std(values))
