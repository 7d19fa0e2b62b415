"""Which picture comes i-th: a pure function of (seed, i).

Nothing here depends on the batch size, on the number of hosts or on what was
read before. So a run is resumed by its step number alone, and each host works
out its own rows without asking the others.
"""

import functools

import numpy as np

# The finaliser of splitmix64 (Steele, Lea, Flood 2014): every bit of the input
# flips every bit of the output with probability near one half.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


@functools.lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, n: int) -> np.ndarray:
  """The order in which an epoch visits the pictures.

  RandomState's stream is frozen by NEP 19, that of `default_rng` is not: a run
  resumed under a later NumPy must see the same order.

  Args:
    seed: the run's seed, >= 0.
    epoch: 0, 1, ...
    n: number of pictures.

  Returns:
    A permutation of range(n), int64 [n], read-only.
  """
  bits = np.random.MT19937(np.random.SeedSequence([seed, epoch]))
  order = np.random.RandomState(bits).permutation(n)
  order.setflags(write=False)
  return order


def indices(seed: int, positions: np.ndarray, n: int) -> np.ndarray:
  """The pictures at some positions of a run.

  Args:
    seed: the run's seed, >= 0.
    positions: int array of any shape, each >= 0; position i belongs to epoch
      i // n.
    n: number of pictures.

  Returns:
    int64 array of the same shape, each in [0, n).
  """
  positions = np.asarray(positions, np.int64)
  epochs, offsets = np.divmod(positions, n)
  out = np.empty_like(positions)
  for epoch in np.unique(epochs):
    here = epochs == epoch
    out[here] = epoch_order(seed, int(epoch), n)[offsets[here]]
  return out


def mirrored(seed: int, positions: np.ndarray) -> np.ndarray:
  """Whether the sample at each position is flipped left to right.

  Args:
    seed: the run's seed, >= 0.
    positions: int array of any shape, each >= 0.

  Returns:
    bool array of the same shape, True with probability one half.
  """
  stream = _finalise(np.uint64(seed))
  with np.errstate(over='ignore'):  # arithmetic modulo 2^64 is meant
    state = np.asarray(positions).astype(np.uint64) * _GOLDEN + stream
  return (_finalise(state) >> np.uint64(63)).astype(bool)


def _finalise(x):
  with np.errstate(over='ignore'):
    x = np.asarray(x) + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _MIX1
    x = (x ^ (x >> np.uint64(27))) * _MIX2
    return x ^ (x >> np.uint64(31))
