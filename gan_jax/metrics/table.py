"""The table of metrics, and what each of them needs.

A metric compares two sets. A `Set` holds columns of what was taken of each
sample; `Metric.needs` lists those that one works on:

| column | what |
|---|---|
| samples | points [N, 2], or pictures uint8 [N, H, W, C] |
| thumbnails | means over a grid of 8 x 8 cells [N, 64 C] |
| scores | of the run's discriminator [N] |
| moments:SPACE | the `frechet.Gaussian` of the features in a space |
| features:SPACE | the features [N, D] |
| logits:SPACE | [N, K] |
| classes:SPACE | whole numbers [N] |
| distances:SPACE | of pairs of samples, one beside the other [N / 2] |
| path_lengths:SPACE | of the run's generator, see path_length.py [N] |
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from gan_jax.data import toy as toy_data
from gan_jax.data.source import KINDS
from gan_jax.errors import UserError
from gan_jax.metrics import (
  class_score,
  frechet,
  kernel,
  modes,
  ms_ssim,
  neighbours,
  path_length,
  swd,
  toy,
)
from gan_jax.metrics.scores import ranked

# Columns that ask the networks of a run, so that pictures alone have neither:
# its discriminator, of both sets, and its generator, of the fakes.
SCORES, PATHS = 'scores', 'path_lengths:lpips_vgg'

Set = Mapping[str, Any]
Numbers = dict[str, float]


class Metric(NamedTuple):
  """A way to score a set of fakes.

  Attributes:
    needs: the columns it works on.
    compute: (real, fake, name of the data) -> numbers by name.
    gives: the names of its main numbers, each with +1 if more is better, -1 if
      less is, 0 if neither.
    data: the kinds of samples that it is for, see data/source.py:KINDS.
    check: raises UserError for data that it cannot work on, from (shape of a
      sample, name of the data).
    least: samples that it needs on either side.
  """

  needs: tuple[str, ...]
  compute: Callable[[Set, Set, str], Numbers]
  gives: dict[str, int]
  data: tuple[str, ...] = ('pictures',)
  check: Callable[[tuple[int, ...], str], None] = lambda shape, name: None
  least: int = 1


def _scores(real, fake, data):
  del data
  return {
    'd_real': float(np.mean(real['scores'])),
    'd_fake': float(np.mean(fake['scores'])),
    'd_ranked': ranked(real['scores'], fake['scores']),
  }


def _frechet_pixels(real, fake, data):
  del data
  a, b = real['thumbnails'], fake['thumbnails']
  if a.shape[1] != b.shape[1]:
    raise UserError(
      'frechet_pixels compares 8 x 8 cells of every picture, and one of the two'
      ' sets has smaller pictures: resize them first, or leave it out.'
    )
  return {'frechet_pixels': frechet.frechet(a, b)}


def _check_swd(shape, data):
  if shape[0] != shape[1]:
    raise UserError(
      'the sliced Wasserstein distance needs square pictures of 16, 32, 64, ...'
      f' px, and {data or "the set"} has {shape[1]}x{shape[0]}: resize them, or'
      ' leave it out.'
    )
  swd.sizes(shape[0])


def _swd(real, fake, data):
  del data
  count = min(len(real['samples']), len(fake['samples']))
  return swd.swd(real['samples'][:count], fake['samples'][:count])


def _ms_ssim(real, fake, data):
  """Of the fakes; that of the reals is what they should have."""
  del data
  return {
    'ms_ssim': ms_ssim.ms_ssim_among(fake['samples']),
    'ms_ssim_real': ms_ssim.ms_ssim_among(real['samples']),
  }


def _toy_name(data: str) -> str:
  return data.removeprefix('toy:')


def _modes(real, fake, data):
  del real
  name = _toy_name(data)
  args = fake['samples'], toy_data.modes(name), toy_data.deviation(name)
  return {
    'modes_covered': toy.modes_covered(*args),
    'high_quality': toy.high_quality(*args),
  }


def _check_modes(shape, data):
  del shape
  if not len(toy_data.modes(_toy_name(data))):
    raise UserError(
      f'config.metrics.names: modes counts the modes of a mixture, and {data}'
      ' is none: leave it out.'
    )


def _density(real, fake, data):
  """Densities of as many fakes as the papers have; half of a small set."""
  del data
  samples = fake['samples']
  count = min(500, len(samples) // 2)
  return {
    'log_likelihood': toy.log_likelihood(samples, real['samples'], count),
    'adagan_coverage': toy.coverage(samples, real['samples'], count=count),
  }


def _in_space(space: str) -> dict[str, Metric]:
  """The metrics of a space, by their names in it."""
  end = '' if space == 'inception' else f'_{space}'
  distance = 'fid' if space == 'inception' else f'frechet_{space}'
  moments, features = f'moments:{space}', f'features:{space}'

  def distances(real, fake, data):
    del data
    a, b = real[moments], fake[moments]
    return {
      distance: frechet.frechet_distance(a.mean, a.cov, b.mean, b.cov),
      f'{distance}_bias': frechet.expected_bias(a.cov, a.count, b.count),
    }

  def kernels(real, fake, data):
    del data
    a, b = real[features], fake[features]
    size = min(1000, len(a), len(b))
    mean, deviation = kernel.kid(a, b, size=size)
    return {f'kid{end}': mean, f'kid{end}_subset_std': deviation}

  def shares(names, k):
    def compute(real, fake, data):
      del data
      found = neighbours.prdc(real[features], fake[features], k)
      return {f'{name}{end}': found[name] for name in names}

    return compute

  def metric(least, compute, **gives):
    named = {f'{name}{end}': sign for name, sign in gives.items()}
    return Metric((features,), compute, named, least=least)

  pr, dc = ('precision', 'recall'), ('density', 'coverage')
  return {
    distance: Metric((moments,), distances, {distance: -1}, least=2),
    f'kid{end}': metric(2, kernels, kid=-1),
    # k as in their papers.
    f'precision_recall{end}': metric(4, shares(pr, 3), precision=1, recall=1),
    f'density_coverage{end}': metric(6, shares(dc, 5), density=1, coverage=1),
  }


def _class_score(name: str, column: str):
  def compute(real, fake, data):
    del real, data
    logits = fake[column]
    # torch-fidelity's own order, so that its numbers and ours are the same.
    mean, deviation = class_score.inception_score(
      logits, min(10, len(logits)), 2020
    )
    return {name: mean, f'{name}_split_std': deviation}

  return Metric((column,), compute, {name: 1})


def _class_histogram(real, fake, data):
  """The fakes' classes against the reals', both as the classifier has them."""
  del data
  count = lambda logits: modes.class_histogram(
    np.argmax(logits, 1), logits.shape[1]
  )
  a, b = (count(s['logits:classifier']) for s in (real, fake))
  found = modes.histogram_scores(b, a)
  return {f'class_{name}': value for name, value in found.items()}


def _stacked_modes(real, fake, data):
  """Of the fakes alone: the modes of stacked digits are equally likely."""
  del real, data
  counts = modes.class_histogram(fake['classes:stacked'], modes.STACKED)
  found = modes.histogram_scores(counts)
  return {'stacked_modes': found['modes'], 'stacked_kl': found['kl']}


def _check_stacked(shape, data):
  if shape[2] != 3:
    raise UserError(
      'config.metrics.names: stacked_modes counts the digits in three channels,'
      f' and {data or "the set"} has {shape[2]}: leave it out.'
    )


def _lpips(name: str):
  """The mean over pairs of fakes: their diversity; the reals' beside it."""
  column = f'distances:{name}'

  def compute(real, fake, data):
    del data
    means = (float(np.mean(s[column])) for s in (fake, real))
    return dict(zip((name, f'{name}_real'), means, strict=True))

  return Metric((column,), compute, {name: 0}, least=2)


def _path_length(real, fake, data):
  del real, data
  return {'path_length': path_length.trimmed_mean(fake[PATHS])}


METRICS: dict[str, Metric] = {
  'scores': Metric(
    (SCORES,),
    _scores,
    {'d_real': 0, 'd_fake': 0, 'd_ranked': 0},
    tuple(KINDS.values()),
  ),
  'frechet_pixels': Metric(
    ('thumbnails',),
    _frechet_pixels,
    {'frechet_pixels': -1},
    ('pictures', 'points'),
    least=2,
  ),
  'swd': Metric(
    ('samples',),
    _swd,
    {'swd': -1},
    check=_check_swd,
  ),
  'ms_ssim': Metric(('samples',), _ms_ssim, {'ms_ssim': 0}, least=2),
  'modes': Metric(
    ('samples',),
    _modes,
    {'modes_covered': 1, 'high_quality': 1},
    ('points',),
    _check_modes,
  ),
  'density': Metric(
    ('samples',),
    _density,
    {'log_likelihood': 1, 'adagan_coverage': 1},
    ('points',),
    least=2 * toy.FOLDS,  # of its half
  ),
  **_in_space('inception'),
  'inception_score': _class_score('inception_score', 'logits:inception'),
  **_in_space('vgg16'),
  **_in_space('classifier'),
  'classifier_score': _class_score('classifier_score', 'logits:classifier'),
  'class_histogram': Metric(
    ('logits:classifier',),
    _class_histogram,
    {
      'class_modes': 1,
      'class_kl': -1,
      'class_entropy': 1,
      'class_total_variation': -1,
    },
  ),
  'stacked_modes': Metric(
    ('classes:stacked',),
    _stacked_modes,
    {'stacked_modes': 1, 'stacked_kl': -1},
    check=_check_stacked,
  ),
  **_in_space('random'),
  'lpips_vgg': _lpips('lpips_vgg'),
  'lpips_alex': _lpips('lpips_alex'),
  'path_length': Metric((PATHS,), _path_length, {'path_length': -1}),
}
