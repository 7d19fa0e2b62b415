"""Metrics: functions on arrays, and those a config can name.

| file | what | large sets |
|---|---|---|
| frechet.py | Frechet distance; FID in Inception's features | `Moments` |
| kernel.py | kernel distance, KID: all pairs, or random subsets | by blocks |
| class_score.py | inception score, classifier score | `InceptionScore` |
| neighbours.py | precision, recall, density, coverage; nearest | by blocks |
| swd.py, pyramid.py | sliced Wasserstein distance of patches | `Patches` |
| ms_ssim.py | multi-scale similarity of pairs | by blocks |
| path_length.py | perceptual path length of a generator | by batches |
| modes.py | histograms of classes | histograms add up |
| toy.py | modes and densities in the plane | |
| resize.py | the resizers of the FID literature | per image |
| scores.py | how well D tells real from fake | |
| spaces.py | feature spaces: network, weights and resizer | by batches |
| table.py | `METRICS`, those that `config.metrics.names` can list | |
| registry.py | settings, checks and numbers of those | |
| sets.py | what metrics need of a set, once for all of them | by chunks |
| standalone.py | `compare`, `fid`, `kid`, ... of arrays and folders | |

Weights come from `gan_jax.convert.weights`; networks, LPIPS among them, from
`gan_jax.networks`. On a GPU or TPU, run those under
`jax.default_matmul_precision('highest')`, as spaces.py does: the default there
keeps three digits.
"""

from gan_jax.metrics.frechet import frechet_distance, frechet_pixels
from gan_jax.metrics.registry import METRICS
from gan_jax.metrics.scores import ranked

__all__ = [
  'METRICS',
  'compare',
  'fid',
  'frechet_distance',
  'frechet_pixels',
  'inception_score',
  'kid',
  'precision_recall',
  'ranked',
]


def __getattr__(name: str):
  """The functions of standalone.py, which opens data as a run does."""
  if name in __all__:
    from gan_jax.metrics import standalone

    return getattr(standalone, name)
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
