"""Metrics by the names that `config.metrics.names` uses.

An entry takes (real samples, fake samples, real scores, fake scores), samples
[N, ...] in [-1, 1] and scores [N] of the discriminator, and gives a
dictionary of numbers.
"""

import numpy as np

from gan_jax.metrics.frechet import frechet_distance, frechet_pixels
from gan_jax.metrics.scores import ranked

__all__ = ['METRICS', 'frechet_distance', 'frechet_pixels', 'ranked']

METRICS = {
  'scores': lambda real, fake, on_real, on_fake: {
    'd_real': float(np.mean(on_real)),
    'd_fake': float(np.mean(on_fake)),
    'd_ranked': ranked(on_real, on_fake),
  },
  'frechet_pixels': lambda real, fake, on_real, on_fake: {
    'frechet_pixels': frechet_pixels(real, fake)
  },
}
