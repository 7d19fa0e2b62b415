"""toy: points in the plane whose distribution is known.

The SGAN paper (arXiv 1712.02330, section 4.1) names the mixtures (8 and 10
Gaussians on a circle, 25 on a grid) and the Swiss roll, and gives no numbers.
Standard deviations in proportion to the figure are therefore those of the
WGAN-GP toy data (Gulrajani et al. 2017), the base loss of the paper's own toy
figures: 0.02 on a circle of radius 2, 0.05 on a grid from -4 to 4 in steps of
2, noise 0.25 on scikit-learn's Swiss roll of outer radius 4.5 pi. Everything
is then scaled so that the outermost centre lies at 0.9: points stay within
[-1, 1], the range of a generator that ends in tanh.
"""

import numpy as np

from gan_jax.data import part, picture
from gan_jax.data.source import Source, class_counts, report_text
from gan_jax.errors import UserError, did_you_mean

NAMES = ('ring8', 'ring10', 'grid25', 'swissroll')
COUNT = 100_000
_EXTENT = 0.9


def modes(name: str) -> np.ndarray:
  """The centres of a mixture, float64 [M, 2]; [0, 2] for the Swiss roll."""
  if name in ('ring8', 'ring10'):
    m = int(name[4:])
    angle = 2 * np.pi * np.arange(m) / m
    return _EXTENT * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
  if name == 'grid25':
    line = np.linspace(-_EXTENT, _EXTENT, 5)
    return np.stack(np.meshgrid(line, line, indexing='ij'), -1).reshape(25, 2)
  return np.zeros((0, 2))


def deviation(name: str) -> float:
  """Standard deviation around a centre (or around the roll), per axis."""
  if name == 'swissroll':
    return 0.25 * _EXTENT / _roll_box()[1]
  return _EXTENT * (0.05 / 4 if name == 'grid25' else 0.02 / 2)


def points(name: str, seed: int = 0, n: int = COUNT):
  """Draws from a toy distribution; a pure function of its arguments.

  Args:
    name: one of NAMES.
    seed: of the draw.
    n: number of points; a mixture gives every centre n / M of them, rounded.

  Returns:
    Points float32 [n, 2], and the centre each belongs to int32 [n] (0 for the
    Swiss roll).
  """
  rng = np.random.RandomState(seed)
  noise = deviation(name) * rng.standard_normal((n, 2))
  if name == 'swissroll':
    middle, half = _roll_box()
    base = (_roll(rng.random_sample(n)) - middle) * (_EXTENT / half)
    return (base + noise).astype(np.float32), np.zeros(n, np.int32)
  centres = modes(name)
  label = np.arange(n) % len(centres)
  return (centres[label] + noise).astype(np.float32), label.astype(np.int32)


def _roll(u):
  """scikit-learn's Swiss roll seen from its side: u in [0, 1] to [n, 2]."""
  t = 1.5 * np.pi * (1 + 2 * u)
  return np.stack([t * np.cos(t), t * np.sin(t)], axis=-1)


def _roll_box():
  """Middle [2] and largest half side of the noise-free roll's box."""
  curve = _roll(np.linspace(0, 1, 10_001))
  low, high = curve.min(0), curve.max(0)
  return (low + high) / 2, float((high - low).max() / 2)


class ToySource(Source):
  """A fixed draw of COUNT points."""

  def __init__(self, name: str, which: str):
    self.name = name
    self.shape = (2,)
    self.dtype = np.dtype(np.float32)
    self._points, self._labels = points(which)
    m = len(modes(which))
    self.classes = tuple(f'centre {k}' for k in range(m))
    self.report = report_text(
      self,
      [
        ('from', f'a fixed draw, standard deviation {deviation(which):.4g}'),
        ('classes', class_counts(self.classes, self._labels)),
      ],
    )

  def __len__(self):
    return len(self._points)

  def __getitem__(self, i):
    return self._points[i], int(self._labels[i])

  def arrays(self):
    """As in Source, without a copy."""
    return self._points, self._labels


def open_toy(name: str, where: str, config, form: picture.Form) -> Source:
  """The source 'toy:WHERE'.

  Raises:
    UserError: WHERE is not one of NAMES, or a split that there is not.
  """
  del form  # points have no size
  if where not in NAMES:
    raise UserError(
      f"config.data.source is '{name}', but the toy sets are"
      f' {", ".join(NAMES)}'
      + did_you_mean(where, NAMES, lambda near: f'toy:{near}')
    )
  part.check_name(name, config.split, ('train',))
  return ToySource(name, where)
