"""Measures of samples in the plane, whose distribution is known.

SGAN (Chavdarova and Fleuret 2018) reports missed modes (Figure 2(d)), the
log-likelihood of real points under a kernel density of fake ones (Figure 10)
and the coverage C of AdaGAN (Figure 8), and defines none of them further. The
choices here are those of the papers that did, named at each function.
"""

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity, NearestNeighbors

from gan_jax.errors import UserError

# Widths of the kernel to choose from, in units of the plane: a hundredth of a
# narrow mode of `data.toy` to the extent of all of them.
BANDWIDTHS = np.geomspace(1e-3, 1.0, 25)
FOLDS = 5  # of the samples by which one is chosen


def nearest_mode(samples, centres):
  """The centre nearest to each sample, and how far away it is.

  Args:
    samples: [N, D].
    centres: [M, D].

  Returns:
    Indices int [N] and distances [N].
  """
  tree = NearestNeighbors(n_neighbors=1).fit(centres)
  distance, index = tree.kneighbors(samples)
  return index[:, 0], distance[:, 0]


def modes_covered(
  samples, centres, deviation: float, least: int = 1, radius: float = 3.0
) -> int:
  """The number of modes of a mixture that have samples.

  A sample counts for the nearest centre if it is of high quality, see
  `high_quality`; a mode is covered if `least` samples count for it
  (Srivastava et al. 2017, VEEGAN, section 4.1: one).

  Args:
    samples: [N, D].
    centres: [M, D].
    deviation: of every mode, per axis.
    least: samples that a covered mode has.
    radius: in standard deviations.
  """
  index, distance = nearest_mode(samples, centres)
  good = index[distance <= radius * deviation]
  return int(np.sum(np.bincount(good, minlength=len(centres)) >= least))


def high_quality(
  samples, centres, deviation: float, radius: float = 3.0
) -> float:
  """The share of samples within 3 standard deviations of some centre.

  VEEGAN, section 4.1. Of a perfect sample of round modes in the plane it is
  1 - exp(-radius^2 / 2), 0.989.

  Args: as of `modes_covered`.
  """
  _, distance = nearest_mode(samples, centres)
  return float(np.mean(distance <= radius * deviation))


def kernel_density(samples, bandwidths=BANDWIDTHS, folds: int = FOLDS):
  """A density of Gaussian kernels, their width chosen by cross-validation.

  The width is the one under which held-out samples are most likely, on
  average over the folds, which are consecutive parts: samples come in no
  order.

  Args:
    samples: [N, D], N >= folds.
    bandwidths: standard deviations to choose from.
    folds: parts, each of which is held out once.

  Returns:
    scikit-learn's KernelDensity, fitted to all the samples; `bandwidth` is
    the width chosen, `score_samples` gives log-densities, in nats.

  Raises:
    UserError: with fewer samples than folds.
  """
  if len(samples) < folds:
    raise UserError(
      f'a kernel density needs at least {folds} samples, to choose its width'
      f' by, and there are {len(samples)}: raise the number of samples'
    )
  search = GridSearchCV(
    KernelDensity(), {'bandwidth': list(bandwidths)}, cv=folds
  )
  return search.fit(np.asarray(samples, np.float64)).best_estimator_


def log_likelihood(samples, real, count: int = 500, **settings) -> float:
  """How likely real points are under the density of fake ones.

  Args:
    samples: fakes [N, D]; the first `count` make the density (SGAN section
      A.2: 500).
    real: [M, D].
    count: number of kernels.
    **settings: of `kernel_density`.

  Returns:
    The mean log-density of the real points, in nats. A point far from all
    kernels costs its squared distance in kernel widths: one missed mode
    weighs a lot.
  """
  density = kernel_density(samples[:count], **settings)
  return float(np.mean(density.score_samples(np.asarray(real, np.float64))))


def coverage(
  samples, real, level: float = 0.95, count: int = 500, **settings
) -> float:
  """The share of the data where the model puts its mass: AdaGAN's C.

  Tolstikhin et al. 2017, section 4: C = P_data(p_model > t), with t such that
  P_model(p_model > t) = level. The model's density is that of `log_likelihood`;
  t is a quantile over fakes that are not among its kernels.

  Args:
    samples: fakes [N, D], N > count: the first `count` make the density, the
      others the threshold.
    real: [M, D].
    level: share of the model's mass.
    count: number of kernels.
    **settings: of `kernel_density`.

  Returns:
    A share in [0, 1]; about `level` for samples of the data themselves.

  Raises:
    UserError: if there are no more than `count` fakes.
  """
  if len(samples) <= count:
    raise UserError(
      f'Coverage needs more than {count} samples, {count} of them for the'
      f' density; there are {len(samples)}.'
    )
  density = kernel_density(samples[:count], **settings)
  score = lambda x: density.score_samples(np.asarray(x, np.float64))
  threshold = np.quantile(score(samples[count:]), 1.0 - level)
  return float(np.mean(score(real) > threshold))
