"""Squared distances of points: exact ones, and cheaper ones with a bound.

`exact` sums squared differences in float64. `products` takes |x|^2 + |y|^2 -
2 x . y, in float32 on JAX's device or in float64, and says how far each may be
off, so that whoever compares knows which pairs are in doubt.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

_NUMBERS = 2**22  # differences held at a time by `exact`
_TINY = 1e-30  # what squares lose to float32's smallest number, at reach 1


class Points(NamedTuple):
  """Points [N, D], and what products take them about.

  Attributes:
    given: of any float type, a memory map too.
    centre: [D], of the same type: subtracting it rounds once, wherever it is.
    scale: a power of two, which divides without rounding; the largest number
      is then about 1.
  """

  given: np.ndarray
  centre: np.ndarray
  scale: float

  @property
  def unit(self) -> float:
    """What squared distances are divided by."""
    return self.scale**2

  def rows(self, start: int, size: int) -> slice:
    """The rows of a block."""
    return slice(start, min(start + size, len(self.given)))

  def moved(self, rows: slice, dtype) -> np.ndarray:
    """Rows centred and scaled."""
    x = self.given[rows]
    if x.dtype.itemsize < np.dtype(dtype).itemsize:
      x = x.astype(dtype)
    return ((x - self.centre) / x.dtype.type(self.scale)).astype(dtype)


def points(*given) -> list[Points]:
  """Sets whose distances will be taken, about one centre and at one scale."""
  wide = np.result_type(np.float32, *given)
  given = [x.astype(wide, copy=False) for x in given]
  centre = np.mean([x.mean(0, dtype=np.float64) for x in given], 0).astype(wide)
  reach = max(
    max(np.abs(x.max(0) - centre).max(), np.abs(x.min(0) - centre).max())
    for x in given
  )
  scale = float(2.0 ** np.frexp(reach)[1])
  return [Points(x, centre, scale) for x in given]


def exact(a: Points, b: Points, rows, columns) -> np.ndarray:
  """Squared distances of some pairs, float64; equal pairs have equal ones."""
  found = np.empty(len(rows))
  size = max(1, _NUMBERS // a.given.shape[1])
  for start in range(0, len(rows), size):
    here = slice(start, start + size)
    step = a.given[rows[here]].astype(np.float64)
    step -= b.given[columns[here]]
    found[here] = np.square(step, out=step).sum(1)
  return found


def products(a, b, dot, rounding: float):
  """Squared distances [N, M], and how far each may be off."""
  aa, bb = (a * a).sum(1), (b * b).sum(1)
  d = aa[:, None] + bb - 2 * dot(a, b)
  # A sum of D products is off by D roundings of their absolute values, of
  # which (|x| + |y|)^2 is the bound; six more are of the coordinates and of
  # the last sums.
  reach = aa[:, None] ** 0.5 + bb**0.5
  return d, (a.shape[1] + 16) * rounding * reach * reach + _TINY


def is_much(doubts: int, shape: tuple[int, int], dim: int) -> bool:
  """Whether float64 products of a block cost less than `exact` of its doubts.

  Measured: a product of a pair takes 0.03 us and 0.1 ns a coordinate, `exact`
  some 10 and 50 times that.
  """
  return doubts > shape[0] * (16 + shape[1] / (8 + dim / 8))


SINGLE = dict(
  dot=functools.partial(
    jnp.einsum, 'nd,md->nm', precision=lax.Precision.HIGHEST
  ),
  rounding=2.0**-24,
)
DOUBLE = dict(dot=lambda a, b: a @ b.T, rounding=2.0**-53)
