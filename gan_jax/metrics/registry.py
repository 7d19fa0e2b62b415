"""The metrics that a config can name, and what each of them needs.

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
| distances:SPACE | of pairs of samples, one beside the other [N / 2] |
| path_lengths:SPACE | of the run's generator, see path_length.py [N] |
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from gan_jax.data import toy as toy_data
from gan_jax.data.source import KINDS
from gan_jax.errors import UserError, did_you_mean
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
from gan_jax.metrics.resize import RESIZERS
from gan_jax.metrics.scores import ranked
from gan_jax.settings import INT32, Setting

log = logging.getLogger('gan_jax')

BIASED = 0.05  # share of a distance from which its bias is worth a warning

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
  """

  needs: tuple[str, ...]
  compute: Callable[[Set, Set, str], Numbers]
  gives: dict[str, int]
  data: tuple[str, ...] = ('pictures',)
  check: Callable[[tuple[int, ...], str], None] = lambda shape, name: None


def _scores(real, fake, data):
  del data
  return {
    'd_real': float(np.mean(real['scores'])),
    'd_fake': float(np.mean(fake['scores'])),
    'd_ranked': ranked(real['scores'], fake['scores']),
  }


def _frechet_pixels(real, fake, data):
  del data
  distance = frechet.frechet(real['thumbnails'], fake['thumbnails'])
  return {'frechet_pixels': distance}


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

  def metric(needs, compute, **gives):
    named = {f'{name}{end}': sign for name, sign in gives.items()}
    return Metric((needs,), compute, named)

  pr, dc = ('precision', 'recall'), ('density', 'coverage')
  return {
    distance: Metric((moments,), distances, {distance: -1}),
    f'kid{end}': metric(features, kernels, kid=-1),
    # k as in their papers.
    f'precision_recall{end}': metric(
      features, shares(pr, 3), precision=1, recall=1
    ),
    f'density_coverage{end}': metric(
      features, shares(dc, 5), density=1, coverage=1
    ),
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


def _lpips(name: str):
  """The mean over pairs of fakes: their diversity; the reals' beside it."""
  column = f'distances:{name}'

  def compute(real, fake, data):
    del data
    means = (float(np.mean(s[column])) for s in (fake, real))
    return dict(zip((name, f'{name}_real'), means, strict=True))

  return Metric((column,), compute, {name: 0})


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
  ),
  'swd': Metric(
    ('samples',),
    _swd,
    {'swd': -1},
    check=lambda shape, data: swd.sizes(shape[0]) and None,
  ),
  'ms_ssim': Metric(('samples',), _ms_ssim, {'ms_ssim': 0}),
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
  **_in_space('random'),
  'lpips_vgg': _lpips('lpips_vgg'),
  'lpips_alex': _lpips('lpips_alex'),
  'path_length': Metric((PATHS,), _path_length, {'path_length': -1}),
}

SETTINGS = {
  'names': Setting(
    ('scores', 'frechet_pixels'),
    'what is measured, by --mode=evaluate and while training',
    choices=METRICS,
    filled=True,
  ),
  'samples': Setting(2000, 'generated for each draw', low=2, high=INT32),
  'reals': Setting(
    0,
    'of the data, in a fixed random order; 0: as many, if there are',
    low=0,
    high=INT32,
  ),
  'draws': Setting(
    1,
    'sets of samples; of 2 and more mean and deviation are given',
    low=1,
    high=1000,
  ),
  'every': Setting(
    0, 'steps between evaluations while training; 0: none', low=0, high=INT32
  ),
  'best': Setting(
    '',
    "the number whose best state is kept, such as 'fid'; '': none is",
  ),
  'resizer': Setting(
    'tf1_bilinear', "in front of FID's Inception", choices=RESIZERS
  ),
  'weights': Setting(
    '', "files, a comma between; '': those of the cache folder"
  ),
  'classifier': Setting(
    '', "folder of a classifier's run, whose features are a space"
  ),
}


def needs_of(names) -> tuple[str, ...]:
  """The columns that some metrics work on, each once."""
  return tuple(dict.fromkeys(n for name in names for n in METRICS[name].needs))


def spaces_of(names) -> tuple[str, ...]:
  """The spaces that some metrics are in, each once."""
  columns = [need.partition(':')[2] for need in needs_of(names)]
  return tuple(dict.fromkeys(filter(None, columns)))


def gives(names) -> dict[str, int]:
  """The main numbers of some metrics and which way is better."""
  return {k: sign for name in names for k, sign in METRICS[name].gives.items()}


def check_names(names) -> None:
  """Raises UserError for a name that is no metric."""
  for name in names:
    if name not in METRICS:
      by_number = [m for m, metric in METRICS.items() if name in metric.gives]
      meant = by_number[0] if by_number else name
      raise UserError(
        f"config.metrics.names: there is no metric '{name}', but"
        f' {", ".join(METRICS)}{did_you_mean(meant, METRICS, str)}'
      )


def check_data(names, shape, data: str) -> None:
  """Raises UserError for metrics that cannot work on some data.

  Args:
    names: of metrics.
    shape: of a sample.
    data: its name, as in `config.data.source`.
  """
  here = KINDS[len(shape)]
  for name in names:
    metric = METRICS[name]
    if here not in metric.data:
      fit = [m for m, v in METRICS.items() if here in v.data]
      raise UserError(
        f'config.metrics.names: {name} is for {" and ".join(metric.data)}, and'
        f' {data} has {here}: choose among {", ".join(fit)}.'
      )
    metric.check(tuple(shape), data)


def compute(names, real: Set, fake: Set, data: str) -> Numbers:
  """The numbers of some metrics, in their order."""
  found = {}
  for name in names:
    found |= METRICS[name].compute(real, fake, data)
  return found


def warn_of_bias(numbers: Numbers, reals: int, fakes: int) -> None:
  """Warns of every distance that small sets bias by more than `BIASED`.

  Args:
    numbers: by name; the bias of 'fid' is 'fid_bias', see
      `frechet.expected_bias`.
    reals: samples of the reference.
    fakes: samples that were scored.
  """
  for name, value in numbers.items():
    bias = numbers.get(f'{name}_bias')
    if bias is not None and bias > BIASED * value:
      log.warning(
        '%s = %.4g is of %d and %d samples: two such sets of one and the same'
        ' distribution are some %.3g apart or more. Compare only with as many,'
        ' or take more.',
        name,
        value,
        reals,
        fakes,
        bias,
      )
