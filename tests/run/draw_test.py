import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gan_jax.data.source import to_bytes
from gan_jax.run import draw


def test_to_bytes_is_the_inverse_of_reading():
  levels = np.arange(256, dtype=np.uint8)
  samples = (levels.astype(np.float32) - 127.5) / 127.5
  np.testing.assert_array_equal(to_bytes(samples), levels)
  np.testing.assert_array_equal(to_bytes([-3.0, 3.0]), [0, 255])


@settings(max_examples=30, deadline=None)
@given(
  count=st.integers(1, 12),
  columns=st.one_of(st.none(), st.integers(1, 12)),
  gap=st.integers(0, 3),
)
def test_every_picture_stands_in_its_place(count, columns, gap):
  values = np.linspace(-1, 0.9, count)
  samples = np.broadcast_to(values[:, None, None, None], (count, 4, 5, 3))
  grid = draw.grid(samples, columns, gap)
  columns = columns or int(np.ceil(np.sqrt(count)))
  for k, value in enumerate(to_bytes(values)):
    row, column = divmod(k, columns)
    top, left = row * (4 + gap) + gap, column * (5 + gap) + gap
    assert (grid[top : top + 4, left : left + 5] == value).all()
    assert (grid[:gap] == 255).all()


@pytest.mark.parametrize('channels', [1, 3])
def test_saved_pictures_are_read_back(tmp_path, channels):
  array = np.random.default_rng(0).integers(0, 256, (6, 5, channels), 'u1')
  draw.save_picture(tmp_path / 'x.png', array)
  back = np.asarray(Image.open(tmp_path / 'x.png'))
  np.testing.assert_array_equal(back.reshape(array.shape), array)
  assert [f.name for f in tmp_path.iterdir()] == ['x.png']


def test_small_pictures_are_enlarged_by_whole_pixels(tmp_path):
  draw.save_grid(tmp_path / 'x.png', np.zeros((4, 28, 28, 1)))
  assert Image.open(tmp_path / 'x.png').size == (2 * 58 + 2, 2 * 58 + 2)


def test_curves_of_any_number_of_lines(tmp_path):
  draw.save_curves(tmp_path / 'none.png', [])
  assert not (tmp_path / 'none.png').exists()
  line = {'step': 1, 'images': 8, 'd_loss': 1.0, 'd_real': 0.1}
  later = line | {'images': 16, 'r1': 0.5, 'images_per_second': 9.0}
  draw.save_curves(tmp_path / 'two.png', [line, later])
  assert Image.open(tmp_path / 'two.png').size[1] == 3 * 260


def test_a_single_point_can_be_seen(tmp_path):
  """A line through one point is none: runs began with empty panels."""
  draw.save_curves(tmp_path / 'x.png', [{'step': 1, 'images': 8, 'r1': 0.5}])
  pixels = np.asarray(Image.open(tmp_path / 'x.png').convert('RGB'), int)
  assert (np.ptp(pixels, -1) > 50).sum() > 4  # coloured: no axis, no text


def frames(folder, count):
  """Files of plain pictures, each with a colour of its own."""
  files = []
  for k in range(count):
    colour = (20 * k, 250 - 20 * k, 128)
    files.append(folder / f'{k}.png')
    draw.save_picture(files[-1], np.full((16, 24, 3), colour, np.uint8))
  return files


def read(file):
  """Colours of an animation's frames, and how long each is seen."""
  colours, times = [], []
  with Image.open(file) as animation:
    assert animation.info['loop'] == 0  # for ever
    for k in range(animation.n_frames):
      animation.seek(k)
      colours.append(np.asarray(animation.convert('RGB'))[0, 0].tolist())
      times.append(animation.info['duration'])
  return colours, times


def test_an_animation_has_all_frames_in_order(tmp_path):
  draw.animate(frames(tmp_path, 5), tmp_path / 'x.gif', 100)
  colours, times = read(tmp_path / 'x.gif')
  assert colours == [[20 * k, 250 - 20 * k, 128] for k in range(5)]
  assert times == [100] * 4 + [800]


def test_an_animation_has_first_and_last_of_many_frames(tmp_path):
  draw.animate(frames(tmp_path, 9), tmp_path / 'x.gif', at_most=3)
  colours, _ = read(tmp_path / 'x.gif')
  assert [red for red, _, _ in colours] == [0, 80, 160]


def test_an_animation_leaves_out_frames_of_another_size(tmp_path):
  files = frames(tmp_path, 4)
  draw.save_picture(files[1], np.zeros((5, 5, 3), np.uint8))
  draw.animate(files, tmp_path / 'x.gif')
  colours, _ = read(tmp_path / 'x.gif')
  assert [red for red, _, _ in colours] == [0, 40, 60]
  draw.animate(files[:1], tmp_path / 'one.gif')
  assert Image.open(tmp_path / 'one.gif').n_frames == 1
