"""Columns of sets, and the cache of a reference's."""

import numpy as np
import pytest

from gan_jax.metrics import frechet, sets
from gan_jax.metrics.spaces import Space


def means(variables, x):
  """Features are the means of the colours, times a weight."""
  return {'features': variables * x.mean((1, 2)), 'logits': x.mean((1, 2))}


def space(resizer='none', digest='abc'):
  return {'mean': Space('mean', resizer, '', digest, np.float32(2), means)}


def pictures(count=40):
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)


def chunks(x, size=16):
  return ((x[i : i + size], None) for i in range(0, len(x), size))


COLUMNS = ('samples', 'thumbnails', 'moments:mean', 'features:mean')


def test_columns_are_those_of_the_whole_set():
  x = pictures()
  found = sets.collect(chunks(x), COLUMNS, space())
  expected = 2 * x.mean((1, 2), dtype=np.float64)
  np.testing.assert_array_equal(found['samples'], x)
  np.testing.assert_allclose(found['features:mean'], expected, rtol=1e-5)
  moments = found['moments:mean']
  assert moments.count == 40
  np.testing.assert_allclose(moments.mean, expected.mean(0), rtol=1e-5)
  cov = np.cov(expected, rowvar=False)
  np.testing.assert_allclose(moments.cov, cov, rtol=1e-3, atol=1e-3)
  np.testing.assert_allclose(
    found['thumbnails'], frechet.pixel_features(x / 127.5 - 1)
  )


def test_pictures_are_judged_as_they_would_be_saved():
  x = np.float32([[[[-1.2]], [[-1.0]], [[0.003]], [[1.0]]]])
  assert sets.quantised(x).ravel().tolist() == [0, 0, 128, 255]
  points = np.float32([[0.1, 0.2]])
  assert sets.quantised(points) is points


@pytest.fixture
def cache(tmp_path, monkeypatch):
  monkeypatch.setenv('GAN_JAX_STATISTICS', str(tmp_path))
  return tmp_path


def test_a_reference_is_computed_once(cache):
  x, columns = pictures(), COLUMNS[1:]
  first = sets.reference('a', chunks(x), columns, space())
  assert len(list(cache.iterdir())) == 2  # what is in no space is not kept
  untouched = iter([])
  again = sets.reference('a', untouched, columns[1:], space())
  assert list(untouched) == []
  np.testing.assert_array_equal(again['features:mean'], first['features:mean'])
  for one, other in zip(again['moments:mean'], first['moments:mean'],
                        strict=True):  # fmt: skip
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
  'data, other',
  [
    ('b', space()),
    ('a', space(resizer='other')),
    ('a', space(digest='other')),
  ],
)
def test_another_reference_is_computed_anew(cache, data, other):
  x, columns = pictures(), ('moments:mean',)
  sets.reference('a', chunks(x), columns, space())
  found = sets.reference(data, chunks(x[:20]), columns, other)
  assert found['moments:mean'].count == 20
  assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize('content', [b'', b'PK\3\4', b'none', 'cut', 'other'])
def test_a_damaged_file_of_the_cache_is_made_anew(cache, content, caplog):
  x, columns = pictures(), ('moments:mean',)
  first = sets.reference('a', chunks(x), columns, space())
  (file,) = cache.iterdir()
  if content == 'other':
    np.savez(file, np.zeros(2), np.ones(2))
  else:
    cut = file.read_bytes()[:-100]
    file.write_bytes(cut if content == 'cut' else content)
  again = sets.reference('a', chunks(x), columns, space())
  np.testing.assert_array_equal(
    again['moments:mean'].cov, first['moments:mean'].cov
  )
  assert 'is damaged, and made anew' in caplog.text
  assert sets.reference('a', iter([]), columns, space())


def test_what_is_not_finite_is_no_picture():
  bad = np.full((2, 4, 4, 3), np.nan, np.float32)
  with pytest.raises(sets.NotFiniteError):
    sets.collect([(bad, None)], ['samples'], {})
