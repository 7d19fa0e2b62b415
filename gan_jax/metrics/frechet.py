"""Frechet distances between Gaussians fitted to two sets of features.

Only the distance in the features of FID's own Inception network may be called
FID; the one here lives in pixels and says so in its name.
"""

import numpy as np


def frechet_distance(mean_a, cov_a, mean_b, cov_b) -> float:
  """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) (Heusel et al. 2017).

  The trace of the root is the sum of the roots of the eigenvalues of
  C_a^(1/2) C_b C_a^(1/2), which is symmetric: two symmetric eigenproblems in
  float64, no iteration and no imaginary part to drop.

  Args:
    mean_a: [D]; mean_b likewise.
    cov_a: [D, D], symmetric, positive semi-definite; cov_b likewise.
    mean_b: see mean_a.
    cov_b: see cov_a.
  """
  mean_a, cov_a, mean_b, cov_b = (
    np.asarray(x, np.float64) for x in (mean_a, cov_a, mean_b, cov_b)
  )
  values, vectors = np.linalg.eigh(cov_a)
  root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
  product = np.linalg.eigvalsh(root @ cov_b @ root)
  root_trace = np.sum(np.sqrt(np.maximum(product, 0.0)))
  return float(
    np.sum((mean_a - mean_b) ** 2)
    + np.trace(cov_a)
    + np.trace(cov_b)
    - 2.0 * root_trace
  )


def pixel_features(samples) -> np.ndarray:
  """Pictures [N, H, W, C] as means over a grid of 8 x 8 cells, [N, 64 C].

  Points [N, 2] are their own features. A picture smaller than 8 pixels a side
  is its own grid.
  """
  samples = np.asarray(samples, np.float64)
  if samples.ndim == 4:
    for axis in (1, 2):
      parts = np.array_split(samples, min(8, samples.shape[axis]), axis)
      samples = np.concatenate(
        [part.mean(axis, keepdims=True) for part in parts], axis
      )
  return samples.reshape(len(samples), -1)


def frechet_pixels(real, fake) -> float:
  """Frechet distance in the pixels of 8 x 8 thumbnails; [-1, 1] units.

  It sees layout, colour and their spread, not detail; it needs no weights.

  Args:
    real: samples [N, ...] in [-1, 1].
    fake: samples [M, ...] of the same shape.
  """
  moments = []
  for samples in (real, fake):
    features = pixel_features(samples)
    moments += [features.mean(0), np.cov(features, rowvar=False)]
  return frechet_distance(*moments)
