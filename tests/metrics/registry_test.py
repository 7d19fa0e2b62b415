"""The metrics a config can name: what they need, give and refuse."""

import logging

import numpy as np
import pytest

from gan_jax.data import toy as toy_data
from gan_jax.errors import UserError
from gan_jax.metrics import frechet, registry, toy


def features(seed, count=60, dim=5):
  rng = np.random.default_rng(seed)
  return rng.normal(seed, 1, (count, dim)).astype(np.float32)


def some_set(seed, size=32):
  """Every column, of random pictures."""
  rng = np.random.default_rng(seed)
  columns = {
    'samples': rng.integers(0, 256, (60, size, size, 3)).astype(np.uint8),
    'thumbnails': features(seed, dim=12),
    'scores': rng.normal(seed, size=60),
  }
  for space in ('inception', 'vgg16', 'classifier', 'random'):
    x = features(seed)
    columns[f'features:{space}'] = x
    columns[f'moments:{space}'] = frechet.moments(x).gaussian()
    columns[f'logits:{space}'] = 3 * x
  for space in ('lpips_vgg', 'lpips_alex'):
    columns[f'distances:{space}'] = rng.random(30)
  columns['classes:stacked'] = rng.integers(0, 1000, 60)
  columns[registry.PATHS] = rng.random(60) + seed
  return columns


REAL, FAKE = some_set(0), some_set(1)
OF_PICTURES = [n for n, m in registry.METRICS.items() if 'pictures' in m.data]


@pytest.mark.parametrize('name', OF_PICTURES)
def test_every_metric_gives_what_it_says(name):
  metric = registry.METRICS[name]
  found = registry.compute([name], REAL, FAKE, '')
  assert set(metric.gives) <= set(found)
  assert all(isinstance(v, float | int) for v in found.values())
  # Those of another space carry its name, all their numbers do.
  space = next(iter(registry.spaces_of([name])), 'inception')
  if space != 'inception' and name != 'path_length' and 'class_' not in name:
    assert all(space in key for key in found)


@pytest.mark.parametrize('name', OF_PICTURES)
def test_the_better_side_is_that_of_the_reals(name):
  """The data themselves score no worse than samples of something else."""
  metric = registry.METRICS[name]
  apart = 'inception_score', 'classifier_score', 'class_histogram'
  if name in (*apart, 'stacked_modes'):
    return  # of the fakes alone, or of their classes
  same, other = (metric.compute(REAL, x, '') for x in (REAL, FAKE))
  for key, sign in metric.gives.items():
    assert sign * same[key] >= sign * other[key]


def test_stacked_modes_are_those_that_were_hit():
  labels = FAKE['classes:stacked']
  found = registry.compute(['stacked_modes'], REAL, FAKE, '')
  assert found['stacked_modes'] == len(set(labels.tolist()))
  shares = np.unique(labels, return_counts=True)[1] / len(labels)
  kl = np.sum(shares * np.log(1000 * shares))
  assert found['stacked_kl'] == pytest.approx(kl)
  with pytest.raises(UserError, match='in three channels'):
    registry.check_data(['stacked_modes'], (32, 32, 1), 'digits')


def test_only_inceptions_distance_is_called_fid():
  for name, metric in registry.METRICS.items():
    if 'inception' not in ''.join(metric.needs):
      assert not any('fid' in key for key in (name, *metric.gives))


def test_points():
  centres = toy_data.modes('ring8')
  real, _ = toy_data.points('ring8', seed=1, n=400)
  fake = real[np.arange(400) % 8 < 4] + 1e-4  # half of the modes
  found = registry.compute(
    ['modes', 'density'], {'samples': real}, {'samples': fake}, 'toy:ring8'
  )
  assert found['modes_covered'] == 4 and found['high_quality'] > 0.9
  assert found['log_likelihood'] == toy.log_likelihood(fake, real, 100)
  assert 0.3 < found['adagan_coverage'] < 0.6
  assert len(centres) == 8


def test_columns_and_spaces_are_asked_for_once():
  names = ['fid', 'kid', 'precision_recall', 'kid_random', 'swd']
  assert registry.needs_of(names) == (
    'moments:inception',
    'features:inception',
    'features:random',
    'samples',
  )
  assert registry.spaces_of(names) == ('inception', 'random')


@pytest.mark.parametrize(
  'name, shape, data, words',
  [
    ('fid', (2,), 'toy:ring8', 'fid is for pictures, and toy:ring8 has points'),
    ('modes', (32, 32, 3), 'digits', 'modes is for points, and digits has pic'),
    ('frechet_pixels', (32, 9), 'text:a', 'and text:a has text: choose among'),
    (
      'swd',
      (28, 28, 1),
      'digits',
      'of 16, 32, 64, ... px, got 28',
    ),
    ('modes', (2,), 'toy:swissroll', 'toy:swissroll is none'),
  ],
)
def test_what_does_not_fit_is_refused(name, shape, data, words):
  with pytest.raises(UserError) as error:
    registry.check_data([name], shape, data)
  assert words in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(
  'name, words',
  [('fidd', 'did you mean fid?'), ('recall', 'mean precision_recall?')],
)
def test_what_is_none_is_refused(name, words):
  with pytest.raises(UserError, match=f"no metric '{name}'") as error:
    registry.check_names(['fid', name])
  assert words in str(error.value)


def test_small_sets_are_warned_of(caplog):
  numbers = {'fid': 10.0, 'fid_bias': 0.4, 'kid': -0.1}
  with caplog.at_level(logging.WARNING, 'gan_jax'):
    registry.warn_of_bias(numbers, 500, 50)
    assert not caplog.text
    registry.warn_of_bias(numbers | {'fid_bias': 0.6}, 500, 50)
  assert 'fid = 10 is of 500 and 50 samples' in caplog.text
  assert 'some 0.6 apart or more' in caplog.text
