"""Metrics: pure functions on arrays, and those a config can name.

| file | what | large sets |
|---|---|---|
| frechet.py | Frechet distance; FID in Inception's features | `Moments` |
| kid.py | kernel distance: all pairs, or random subsets | by blocks |
| inception_score.py | inception score, classifier score | `InceptionScore` |
| neighbours.py | precision, recall, density, coverage; nearest | by blocks |
| swd.py, pyramid.py | sliced Wasserstein distance of patches | `Patches` |
| ms_ssim.py | multi-scale similarity of pairs | by blocks |
| lpips.py | LPIPS distance of images, a Flax module | per pair |
| path_length.py | perceptual path length of a generator | by batches |
| modes.py | histograms of classes | histograms add up |
| resize.py | the resizers of the FID literature | per image |
| scores.py | how well D tells real from fake | |

Features come from `gan_jax.networks` (inception, vgg, alexnet), weights from
`gan_jax.convert.feature_nets`. On a GPU or TPU, run those networks under
`jax.default_matmul_precision('highest')`: the default there keeps three
digits. The functions here ask for it themselves.

`METRICS` has those that `config.metrics.names` can list. An entry takes (real
samples, fake samples, real scores, fake scores), samples [N, ...] in [-1, 1]
and scores [N] of the discriminator, and gives a dictionary of numbers.
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
