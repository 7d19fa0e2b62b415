"""The metrics that a config can name: the table, its checks, its numbers."""

import logging
import math

import numpy as np

from gan_jax.data.source import KINDS
from gan_jax.errors import UserError, did_you_mean
from gan_jax.metrics import frechet
from gan_jax.metrics.resize import RESIZERS
from gan_jax.metrics.table import METRICS, PATHS, SCORES, Metric, Numbers, Set
from gan_jax.settings import INT32, Setting

__all__ = ['METRICS', 'PATHS', 'SCORES', 'Metric', 'Numbers', 'Set']

log = logging.getLogger('gan_jax')

BIASED = 0.05  # share of a distance from which its bias is worth a warning

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


def check_counts(names, reals: int, fakes: int, advice: str) -> None:
  """Raises UserError for metrics that so few samples have not.

  Args:
    names: of metrics.
    reals: samples of the reference.
    fakes: samples that are scored.
    advice: how to take more.
  """
  for name in names:
    least = METRICS[name].least
    if min(reals, fakes) < least:
      raise UserError(
        f'{name} needs at least {least} samples on each side, and there are'
        f' {reals:,} real and {fakes:,} generated: {advice}, or leave it out.'
      )


def compute(names, real: Set, fake: Set, data: str) -> Numbers:
  """The numbers of some metrics, in their order.

  Args:
    names: of metrics.
    real: the columns of the reference.
    fake: the columns of what is scored.
    data: the name of the data.

  Returns:
    By name; nan, and a warning, for what is not finite: of columns that are
    not, as a diverged run gives, or for its own reasons (the divergence from
    data that lack a class).
  """
  found = {}
  for name in names:
    metric = METRICS[name]
    whole = all(
      _is_finite(s.get(c)) for s in (real, fake) for c in metric.needs
    )
    found |= (
      metric.compute(real, fake, data)
      if whole
      else dict.fromkeys(metric.gives, math.nan)
    )
  lost = [name for name, value in found.items() if not math.isfinite(value)]
  if lost:
    log.warning('%s: not finite, and given as null.', ', '.join(lost))
  return found | dict.fromkeys(lost, math.nan)


def _is_finite(column) -> bool:
  if (
    column is None
    or isinstance(column, np.ndarray)
    and column.dtype.kind in 'ui'
  ):
    return True
  parts = column if isinstance(column, frechet.Gaussian) else (column,)
  return all(np.isfinite(part).all() for part in parts)


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
