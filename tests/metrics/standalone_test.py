"""Two sets without a run: arrays, folders, and the command line."""

import json

import numpy as np
import pytest
from PIL import Image

from gan_jax import metrics
from gan_jax.errors import UserError
from gan_jax.metrics import __main__ as command
from gan_jax.metrics import frechet, spaces


def pictures(seed, count=24, size=16, channels=3):
  rng = np.random.default_rng(seed)
  low = rng.integers(0, 200 + 10 * seed, (count, 4, 4, channels))
  return low.repeat(size // 4, 1).repeat(size // 4, 2).astype(np.uint8)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  made = []
  for seed in (0, 1):
    folder = tmp_path_factory.mktemp(f'set{seed}')
    for i, array in enumerate(pictures(seed)):
      Image.fromarray(array).save(folder / f'{i:03}.png')
    made.append(str(folder))
  return made


NAMES = ('frechet_random', 'kid_random', 'precision_recall_random')


def test_arrays_and_folders_give_the_same(folders):
  of_arrays = metrics.compare(pictures(0), pictures(1), NAMES)
  of_folders = metrics.compare(*folders, NAMES)
  for name, value in of_arrays.items():
    if isinstance(value, float):
      assert of_folders[name] == pytest.approx(value, rel=1e-6), name
  assert of_folders['real'] == f'folder:{folders[0]}, 24 pictures of 16x16'
  assert of_arrays['fake'] == 'an array, 24 pictures of 16x16'
  assert of_arrays['spaces']['random']['resizer'].endswith('to 64 px')


def test_floats_are_taken_as_the_pictures_they_would_be_saved_as():
  a, b = pictures(0), pictures(1)
  floats = np.clip(a / 127.5 - 1 + 0.001, -1, 1)
  whole, found = (
    metrics.compare(x, b, NAMES[:1])['frechet_random'] for x in (a, floats)
  )
  assert found == whole > 0


def test_fid_is_the_distance_in_inceptions_features(monkeypatch):
  """The plumbing, with means of colours in Inception's place."""
  function = lambda v, x: {'features': x.mean((1, 2)), 'logits': x[:, 0, 0]}

  def fake(settings, devices):
    assert settings.weights == 'w.pth'
    assert settings.resizer == 'half_pixel_bilinear'
    return spaces.Space('inception', 'r', 'w', 'd', {}, function)

  monkeypatch.setitem(spaces.SPACES, 'inception', fake)
  given = dict(weights='w.pth', resizer='half_pixel_bilinear')
  a, b = pictures(0), pictures(1)
  expected = frechet.frechet(a.mean((1, 2)), b.mean((1, 2)))
  assert metrics.fid(a, b, **given) == pytest.approx(expected, rel=1e-4)
  assert isinstance(metrics.kid(a, b, **given), float)
  assert metrics.inception_score(b, **given) >= 1
  assert len(metrics.precision_recall(a, b, **given)) == 2


def test_the_command_prints_json(folders, capsys):
  real, fake = folders
  command.main([f'--real={real}', f'--fake={fake}', '--names=frechet_random'])
  found = json.loads(capsys.readouterr().out)
  assert found['frechet_random'] > 0 and found['frechet_random_bias'] > 0
  assert real in found['real'] and 'weights' in found['spaces']['random']


@pytest.mark.parametrize(
  'argv, words',
  [
    (['--real=x'], '--fake=DIR are needed'),
    (['--real=/no/such', '--fake=/no/such', '--names=swd'], '/no/such'),
    (['--real=x', '--fake=x', '--names=fidd'], 'did you mean fid?'),
    (['--real=x', '--fake=x', '--names=scores'], 'use --mode=evaluate'),
    (['--real=x', '--fake=x', '--resizer=best'], 'tf1_bilinear'),
    (['--rael=x'], '--rael'),
  ],
)
def test_a_mistake_is_one_sentence(argv, words):
  with pytest.raises(SystemExit) as stop:
    command.main(argv)
  said = str(stop.value)
  assert said.startswith('gan_jax: ') and words in said and '\n' not in said


def test_sets_that_are_none_are_refused(tmp_path):
  good = pictures(0)
  for bad, words in (
    (good[0], 'are wanted'),
    (good.astype(np.float32), r'must lie in \[0, 1\] or \[-1, 1\]'),
    (np.zeros((3, 8, 8, 4), np.uint8), 'are wanted'),
  ):
    with pytest.raises(UserError, match=words):
      metrics.compare(good, bad, ['frechet_pixels'])
  for size in (8, 16):
    Image.new('RGB', (size, size)).save(tmp_path / f'{size}.png')
  with pytest.raises(UserError, match='different sizes: a set has one size'):
    metrics.compare(good, tmp_path, ['frechet_pixels'])
