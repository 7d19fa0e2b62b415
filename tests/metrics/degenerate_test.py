"""Every metric on sets that have next to nothing: a number, or one sentence."""

import functools
import math
import warnings

import numpy as np
import pytest

from gan_jax.errors import UserError
from gan_jax.metrics import compare, kernel, registry, sets, spaces, swd
from gan_jax.metrics.spaces import Space


def noise(count, size=16, channels=3, seed=0):
  shape = (count, size, size, channels)
  return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def flat(count, value=7, channels=3):
  return np.full((count, 16, 16, channels), value, np.uint8)


PICTURES = {
  'none': noise(0),
  'one': noise(1),
  'two': noise(2),
  'three': noise(3),
  'five': noise(5),
  'thirteen': noise(13),
  'black': flat(12, 0),
  'one colour': flat(12),
  'one picture many times': noise(1).repeat(12, 0),
  'grey': noise(12, channels=1),
  'grey and flat': flat(12, channels=1),
  'small': noise(12, 4),
  'large': noise(12, 32),
  'of 1 pixel': noise(12, 1),
  'oblong': noise(12)[:, :8],
  'in [0, 1]': np.float32(noise(12)) / 255,
  'in [-1, 1]': np.float64(noise(12)) / 127.5 - 1,
  'with a nan': np.float32(noise(12)) / 255 + np.float32([0, 0, np.nan]),
  'whole numbers': noise(12).astype(np.int64),
  'bool': noise(12) > 127,
}
POINTS = {
  'none': np.zeros((0, 2), np.float32),
  'one': np.ones((1, 2), np.float32),
  'two': np.float32([[0, 1], [1, 0]]),
  'nine': np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32),
  'many': np.random.default_rng(1).normal(size=(60, 2)).astype(np.float32),
  'one many times': np.ones((20, 2), np.float32),
  'far away': np.full((20, 2), 1e30, np.float32),
  'on a line': np.float32([np.arange(20.0), np.zeros(20)]).T,
}
OF_PICTURES = [n for n, m in registry.METRICS.items() if 'pictures' in m.data]
OF_POINTS = [n for n, m in registry.METRICS.items() if 'points' in m.data]


@pytest.fixture(name='stand_ins', scope='module', autouse=True)
def _stand_ins():
  """Means and classes by colour in place of networks; small draws."""

  def features(variables, x):
    means = x.mean((1, 2))
    return {'features': means, 'logits': means / 50}

  def distances(variables, x):
    return {'distances': abs(x[0::2] - x[1::2]).mean((1, 2, 3))}

  def classes(variables, x):
    return {'classes': (100 * x.mean((1, 2, 3))).astype('int32') % 1000}

  functions = dict.fromkeys(
    ('inception', 'vgg16', 'classifier', 'random'), features
  )
  functions |= dict.fromkeys(('lpips_vgg', 'lpips_alex'), distances)
  functions['stacked'] = classes
  made = {
    name: Space(name, 'r', 'w', name, {}, function)
    for name, function in functions.items()
  }
  with pytest.MonkeyPatch.context() as patch:
    for name, space in made.items():
      opened = lambda settings, devices, space=space: space
      patch.setitem(spaces.SPACES, name, opened)
    few = functools.partial(swd.swd, per_image=8, repeats=1, count=8)
    patch.setattr(swd, 'swd', few)
    few = functools.partial(kernel.kid, subsets=3)
    patch.setattr(kernel, 'kid', few)
    yield


def columns_of_points(samples, names):
  chunks = [(samples, np.zeros(len(samples)))] if len(samples) else []
  return sets.collect(chunks, registry.needs_of(names), {})


def check(names, score):
  """What `score` gives of each metric is numbers or one sentence."""
  bad = []
  for name in names:
    with warnings.catch_warnings():
      warnings.simplefilter('error')
      try:
        found = score(name)
        numbers = {k: found[k] for k in registry.METRICS[name].gives}
        for key, value in numbers.items():
          if value is not None and not math.isfinite(value):
            bad.append(f'{key} = {value}')
      except UserError as error:
        if '\n' in str(error) or not 40 < len(str(error)) < 400:
          bad.append(f'{name}: {error}')
      except Exception as error:  # anything that is no sentence
        bad.append(f'{name}: {error!r}')
  assert not bad, bad


RUNS_ONLY = ('scores', 'path_length')


@pytest.mark.parametrize('other', ['thirteen', 'itself'])
@pytest.mark.parametrize('kind', PICTURES)
def test_pictures(kind, other):
  some = PICTURES[kind]
  many = some if other == 'itself' else PICTURES[other]
  names = [name for name in OF_PICTURES if name not in RUNS_ONLY]
  check(names, lambda name: compare(many, some, [name]))
  check(names, lambda name: compare(some, many, [name]))


@pytest.mark.parametrize('other', ['many', 'itself'])
@pytest.mark.parametrize('kind', POINTS)
@pytest.mark.parametrize('name', OF_POINTS)
def test_points(name, kind, other):
  some = POINTS[kind]
  many = some if other == 'itself' else POINTS[other]

  def score(name, real, fake):
    registry.check_counts([name], len(real), len(fake), 'take more samples')
    a, b = (columns_of_points(x, [name]) for x in (real, fake))
    return registry.compute([name], a, b, 'toy:ring8')

  check([name], lambda name: score(name, many, some))
  check([name], lambda name: score(name, some, many))


def test_what_is_a_set_has_numbers():
  """The sentences above are of what cannot be scored, not of everything."""
  names = [name for name in OF_PICTURES if name not in RUNS_ONLY]
  found = compare(noise(40), noise(30, seed=1), names)
  for key in registry.gives(names):
    assert math.isfinite(found[key]), key
  one_way, other_way = (
    compare(a, b, ['frechet_pixels'])['frechet_pixels']
    for a, b in (
      (noise(12, channels=1).repeat(3, -1), noise(12)),
      (noise(12, channels=1), noise(12)),
    )
  )
  assert one_way == other_way > 0
