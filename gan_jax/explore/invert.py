"""Pictures to the latent vectors that G makes them from: back-tracking.

FastGAN, section 4.2: what G cannot be made to draw it has not learned. From a
random vector (`seed` + k for the k-th picture) Adam goes down the distance of
G's picture to the one wanted, `iterations` times; the noise within G is fixed.
As in the released code the loss is LPIPS at half the resolution + 0.2 times the
mean squared error. Without LPIPS's weights it is a mean squared error over
several scales; figure and numbers say which, and the two do not compare.

Of a generator with styles (stylegan2) space=w looks for one w of all layers,
space=w+ for one of each, which comes nearer and says less of what G can draw.
Both are StyleGAN2's projector (appendix D): it begins at the mean w, the rate
rises in the first twentieth and falls to 0 in the last quarter, and to w noise
is added that fades within three quarters. Not as there: the loss is the one
above, and the noise maps stay those of the run; the paper moves them too, held
back by a regulariser.

Beside the figure and the numbers there is an .npz of the latent vectors, which
`interpolate` and `mix` take by latents=FILE. It is written after each batch:
the same command goes on where a killed one was, with other options it begins
anew. The pictures are those that were held out of the run (data.held_out); or
split=..., or a folder of others, pictures=DIR.

The paper's Table 5, a run on nine tenths of the pictures and the mean LPIPS of
its inversions of all the others, is one command after the training with
--config.data.held_out=0.1:

  --mode=explore --workdir=DIR --tool=invert:count=0,distance=lpips_vgg

The paper does not say which LPIPS it has; its numbers, 1.8 to 2.9, are of
another scale than those of the published weights, which are below 1 or so.
"""

import logging

import numpy as np

from gan_jax.explore import asking, likeness, pairs
from gan_jax.explore import targets as targets_lib
from gan_jax.explore.search import Search
from gan_jax.run.write import strict, whole
from gan_jax.sampler import Sampler
from gan_jax.settings import INT32, Setting

log = logging.getLogger('gan_jax')

SETTINGS = {
  **targets_lib.SETTINGS,
  'count': Setting(16, 'pictures; 0: all', low=0, high=INT32),
  'label': Setting(
    '', "class of all pictures, a name or number; '': their own"
  ),
  'iterations': Setting(1000, 'of each picture', low=1, high=10**6),
  'lr': Setting(0.1, "Adam's rate", above=0.0, high=100.0),
  'distance': Setting(
    'auto',
    'auto: lpips_vgg if its weights are there (--config.metrics.weights), else'
    ' pixels, a mean squared error over several scales',
    choices=likeness.NAMES,
  ),
  'mse': Setting(
    0.2, 'weight of the mean squared error beside it', low=0.0, high=1e6
  ),
  'space': Setting(
    'z',
    'of what is looked for: latent vectors, or of stylegan2 w or a w a layer',
    choices=('z', 'w', 'w+'),
  ),
  'seed': Setting(
    0,
    'the first picture begins at its latent vector; in w of the noise',
    low=0,
    high=2**31,
  ),
  'batch': Setting(8, 'pictures at a time, about', low=1, high=1024),
}


def run(restored, out, settings) -> None:
  """Writes <out>/invert_step_<step>.png, .json and .npz.

  Args:
    restored: a run that makes pictures.
    out: a folder; it need not exist.
    settings: see `SETTINGS`.

  Raises:
    UserError: for whatever the user can put right.
  """
  asking.check_pictures(restored, 'invert')
  sampler = Sampler(restored.config, restored.experiment).at(restored.step)
  targets = targets_lib.wanted(restored, settings, sampler.classes, 'invert')
  shape, named = targets.source.shape, restored.config.metrics.weights
  near = likeness.open_likeness(settings.distance, named, shape)
  search = Search(restored, sampler, near, settings)
  stem = asking.place(out, restored, 'invert')
  found = search(targets, stem.with_name(f'{stem.name}.npz'))
  numbers = _numbers(restored, targets, near, found, settings)
  with whole(stem.with_name(f'{stem.name}.json')) as scratch:
    scratch.write_text(strict(numbers, 2) + '\n', encoding='utf-8')
  shown = slice(0, pairs.most(shape))
  figure = pairs.figure_of(
    targets.pictures(shown),
    search.pictures(found.z[shown], found.labels[shown]),
    [
      f'{k}: {a:.3g}, {b:.3g}'
      for k, (a, b) in enumerate(
        zip(found.distance[shown], found.mse[shown], strict=True)
      )
    ],
    _title(restored, targets, near, found, settings.space, shown),
  )
  with whole(stem.with_name(f'{stem.name}.png')) as scratch:
    figure.savefig(scratch, dpi=pairs.DPI)
  log.info(
    '%s inverted at step %d: mean %s %.4g, mean squared error %.4g: %s.png',
    asking.counted(len(found.z), 'picture'),
    restored.step,
    near.name,
    found.distance.mean(),
    found.mse.mean(),
    stem,
  )


def _title(restored, targets, near, found, space: str, shown: slice) -> str:
  count, shown = len(found.z), len(found.z[shown])
  some = asking.counted(count, 'picture') + (
    f', of which {shown}' if shown < count else ''
  )
  return (
    f'step {restored.step:,}: target and reconstruction; {some} of'
    f' {targets.short}\n'
    f'{near.name} and mean squared error below each, {space}; mean'
    f' {found.distance.mean():.4g} and {found.mse.mean():.4g}'
  )


def _numbers(restored, targets, near, found, settings) -> dict:
  """The errors, and what they are of, as JSON has them."""
  rows = (x.tolist() for x in (found.pictures, found.distance, found.mse))
  return {
    'step': restored.step,
    'data': targets.words,
    'pictures': len(found.z),
    'distance': {'name': near.name, 'how': near.about},
    'loss': f'{near.name} + {settings.mse:g} MSE',
    'space': settings.space,
    'optimizer': f'adam, lr {settings.lr:g}',
    'iterations': settings.iterations,
    'seed': settings.seed,
    'mean': {
      'distance': float(found.distance.mean(dtype=np.float64)),
      'mse': float(found.mse.mean(dtype=np.float64)),
    },
    'each': [
      {'picture': i, 'name': name, 'distance': a, 'mse': b}
      for (i, a, b), name in zip(
        zip(*rows, strict=True), targets.names(), strict=True
      )
    ],
  }
