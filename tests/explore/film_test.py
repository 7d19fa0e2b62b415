"""Films: what is written can be read, and holds the frames that were given."""

import importlib.util
import re
import subprocess
import weakref

import numpy as np
import pytest
from PIL import Image

from gan_jax import limits
from gan_jax.errors import UserError
from gan_jax.explore import film

has_encoder = importlib.util.find_spec(film.ENCODER) is not None
needs_encoder = pytest.mark.skipif(not has_encoder, reason='imageio-ffmpeg')


def frames(count, height=24, width=32, channels=3):
  """Frames of one colour each, of which no two neighbours are alike."""
  for k in range(count):
    tone = np.array([40 + 13 * k % 180, 200 - 11 * k % 150, 30 + 7 * k % 90])
    yield np.broadcast_to(
      tone[:channels].astype(np.uint8), (height, width, channels)
    )


def read_mp4(file):
  # Not by the package's reader: it forks, beside JAX's threads.
  command = [film._ffmpeg(), '-i', file, '-f', 'rawvideo', '-pix_fmt', 'rgb24']
  out = subprocess.run([*command, '-'], capture_output=True, check=True)
  said = out.stderr.decode()
  width, height = re.search(r'Video: .* (\d+)x(\d+)', said).groups()
  fps = float(re.search(r'([\d.]+) fps', said)[1])
  shape = (-1, int(height), int(width), 3)
  return list(np.frombuffer(out.stdout, np.uint8).reshape(shape)), fps


def read_webp(file):
  with Image.open(file) as picture:
    found, ends = [], 0
    for k in range(picture.n_frames):
      picture.seek(k)
      found.append(np.asarray(picture.convert('RGB')))
      ends += picture.info['duration']
  return found, len(found) / ends * 1000


READERS = {'mp4': read_mp4, 'webp': read_webp}
FORMS = [pytest.param('mp4', marks=needs_encoder), 'webp']


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('channels', [1, 3])
def test_frames_come_back(form, channels, tmp_path):
  file = film.save(tmp_path / 'x', frames(25, channels=channels), 25, 30, form)
  assert file == tmp_path / f'x.{form}' and list(tmp_path.iterdir()) == [file]
  found, fps = READERS[form](file)
  assert len(found) == 25 and fps == pytest.approx(30, rel=0.02)
  for seen, given in zip(found, frames(25, channels=channels), strict=True):
    np.testing.assert_allclose(seen, given.astype(int) + [0, 0, 0], atol=9)


@needs_encoder
def test_odd_sides_become_even(tmp_path):
  file = film.save(tmp_path / 'x', frames(3, 9, 11), 3, 5, 'mp4')
  assert read_mp4(file)[0][0].shape == (10, 12, 3)


@pytest.mark.parametrize('form', FORMS)
def test_frames_are_taken_as_they_are_written(form, tmp_path):
  """Of a film of any length two or three are in memory, however it is made."""
  made, gone, most = [], [], []

  def counted():
    for k in range(40):
      frame = np.full((8, 8, 3), 5 * k, np.uint8)
      weakref.finalize(frame, gone.append, k)
      made.append(k)
      yield frame
      del frame
      most.append(len(made) - len(gone))

  film.save(tmp_path / 'x', counted(), 40, 5, form)
  assert len(made) == 40 and len(most) >= 39 and max(most) <= 3


@pytest.mark.parametrize('form', FORMS)
def test_a_film_is_written_whole_or_not_at_all(form, tmp_path):
  (tmp_path / f'x.{form}').write_bytes(b'before')

  def broken():
    yield from frames(3)
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    film.save(tmp_path / 'x', broken(), 10, 5, form)
  (left,) = tmp_path.iterdir()
  assert left.read_bytes() == b'before'


@needs_encoder
def test_an_encoder_that_fails_ends_in_a_sentence(tmp_path):
  with pytest.raises(UserError, match='ffmpeg could not write') as error:
    film.save(tmp_path / 'none' / 'x', frames(3), 3, 5, 'mp4')
  assert '\n' not in str(error.value)


def test_without_the_encoder_it_is_a_webp_and_the_log_says_so(
  monkeypatch, caplog
):
  monkeypatch.setattr(film, 'ENCODER', 'no_such_package')
  with caplog.at_level('INFO', 'gan_jax'):
    assert film.chosen('auto') == 'webp'
  assert 'pip install imageio-ffmpeg' in caplog.text
  with pytest.raises(UserError, match='pip install imageio-ffmpeg'):
    film.chosen('mp4')
  assert film.chosen('webp') == 'webp'


def test_frames_that_no_player_takes_are_refused():
  film.check_side(limits.FILM_SIDE, limits.FILM_SIDE, 'x')
  for side in ((limits.FILM_SIDE + 1, 4), (4, limits.FILM_SIDE + 1)):
    with pytest.raises(UserError, match='take fewer'):
      film.check_side(*side, 'take fewer')
