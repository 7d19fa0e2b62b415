"""The Wasserstein-1 distance of two sets of numbers, by NumPy, for CPUs.

It is the area between their distribution functions, the integral of |F - G|
(Vallender, 1974), which sorting gives, slowly. Where one function lies above
the other throughout an interval, counts and sums of the numbers in it are
enough. So the numbers are counted into equal intervals, and only those of
intervals in which the functions may cross are sorted: the same number up to
rounding, in a half to a fifth of the time on a CPU without a fast vector sort.
"""

import numpy as np

_SORTED = 1 << 15  # Numbers up to which sorting takes less.
_FILL = 8  # Numbers an interval, on average.
_CROSSED = 1 / 4  # The share of numbers from which sorting all takes less.


def distance(a: np.ndarray, b: np.ndarray) -> float:
  """W1 of two sets of as many numbers, each float32 [P], which it may sort."""
  if a.shape != b.shape or a.ndim != 1:
    raise TypeError(f'two sets of one size wanted, got {a.shape}, {b.shape}')
  low = np.minimum(a.min(), b.min())
  span = np.maximum(a.max(), b.max()) - low
  if len(a) <= _SORTED or not 0 < span < np.inf:
    return _by_sorting(a, b)
  count = len(a) // _FILL
  x, y = ((x - low) * (np.float32(count) / span) for x in (a, b))
  area = _area(x, y, count)
  if area is None:
    return _by_sorting(a, b)
  return area * float(span) / count / len(a)


def _by_sorting(a: np.ndarray, b: np.ndarray) -> float:
  """The mean distance of the k-th of one to the k-th of the other."""
  a.sort()
  b.sort()
  np.subtract(a, b, out=a)
  return float(np.abs(a, out=a).mean(dtype=np.float64))


def _area(a: np.ndarray, b: np.ndarray, count: int) -> float | None:
  """The integral of |#{a <= x} - #{b <= x}| over x.

  Args:
    a: numbers in [0, count], or above it by rounding.
    b: as many.
    count: of intervals of width 1.

  Returns:
    The area; None where too many numbers lie where the functions may cross.
  """
  cells, sizes, sums = [], [], []
  for x in (a, b):
    cell = x.astype(np.intp)
    np.minimum(cell, count - 1, out=cell)
    cells.append(cell)
    sizes.append(np.bincount(cell, minlength=count))
    sums.append(np.bincount(cell, x, count))
  # The difference of the two functions at the intervals' edges, [count + 1].
  at = np.concatenate([[0], np.cumsum(sizes[0] - sizes[1])])
  right = np.arange(1, count + 1)
  signed = at[:-1] + right * (sizes[0] - sizes[1]) - (sums[0] - sums[1])
  crossed = (at[:-1] < sizes[1]) & (-at[:-1] < sizes[0])
  if (sizes[0] + sizes[1])[crossed].sum() > _CROSSED * 2 * len(a):
    return None
  area = float(np.abs(signed[~crossed]).sum())
  # In the others step by step, from edge to edge.
  left = np.flatnonzero(crossed)
  parts = [x[crossed[cell]] for x, cell in zip((a, b), cells, strict=True)]
  places = np.concatenate([*parts, left, left + 1])
  steps = np.concatenate(
    [np.ones(len(parts[0])), -np.ones(len(parts[1])), at[left], -at[left + 1]]
  )
  order = np.argsort(places)
  between = np.cumsum(steps[order])[:-1]
  return area + float(np.abs(between * np.diff(places[order])).sum())
