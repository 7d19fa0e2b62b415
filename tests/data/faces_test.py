"""CelebA-HQ's crop against numbers worked out by hand, and its ranking."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from gan_jax.data import faces
from gan_jax.data.plain import BadPictureError

# An upright face: eyes 40 apart at height 100, mouth 50 below.
UPRIGHT = [[80, 100], [120, 100], [100, 125], [85, 150], [115, 150]]


def turned(points, angle, about):
  """Points of a picture that is turned to the right by an angle."""
  c, s = np.cos(angle), np.sin(angle)
  return (np.asarray(points, float) - about) @ [[c, s], [-s, c]] + about


# The square.


def test_of_an_upright_face():
  # x' = (40, 0), y' = (0, -50): s = max(160, 180); c is 5 pixels below the
  # eyes' middle, and half a pixel on, where the middle of a pixel is.
  crop = faces.crop_of(UPRIGHT)
  np.testing.assert_allclose(crop.centre, [100.5, 105.5], atol=1e-12)
  assert crop.side == pytest.approx(180)
  np.testing.assert_allclose(crop.x, [1, 0], atol=1e-12)
  np.testing.assert_allclose(crop.y, [0, -1], atol=1e-12)


def test_of_a_face_in_profile():
  # x' = (10, 0), mouth to the right by 20: y' = (-20, -50);
  # Rotate90(y') = (-50, 20), x = (60, -20) / sqrt(4000).
  points = [[80, 100], [90, 100], [0, 0], [100, 150], [110, 150]]
  crop = faces.crop_of(points)
  assert crop.side == pytest.approx(3.6 * np.sqrt(2900))
  np.testing.assert_allclose(crop.centre, [85.5 + 2, 100.5 + 5], atol=1e-12)
  np.testing.assert_allclose(crop.x, np.array([3, -1]) / np.sqrt(10))
  np.testing.assert_allclose(crop.y, np.array([-1, -3]) / np.sqrt(10))


@given(
  angle=st.floats(-3, 3),
  scale=st.floats(0.1, 20),
  move=st.tuples(st.floats(-99, 99), st.floats(-99, 99)),
)
def test_it_turns_grows_and_moves_with_the_face(angle, scale, move):
  points = turned(UPRIGHT, angle, (0, 0)) * scale + move
  crop, plain = faces.crop_of(points), faces.crop_of(UPRIGHT)
  assert crop.side == pytest.approx(scale * plain.side)
  centre = turned([plain.centre - 0.5], angle, (0, 0))[0] * scale + move + 0.5
  np.testing.assert_allclose(crop.centre, centre, atol=1e-6)
  np.testing.assert_allclose(crop.x, [np.cos(angle), np.sin(angle)], atol=1e-9)


def test_a_face_that_is_a_point():
  with pytest.raises(BadPictureError, match='which way is up'):
    faces.crop_of([[5, 5]] * 5)


# The picture.


@pytest.fixture(name='scene', scope='module')
def _scene():
  """uint8 [200, 240, 3], smooth, all corners different."""
  y, x = np.mgrid[0:200, 0:240]
  waves = [np.sin(x / 17 + k) + np.cos(y / 13 - k) for k in range(3)]
  return np.clip(128 + 55 * np.stack(waves, -1), 0, 255).astype(np.uint8)


def test_a_square_on_whole_pixels_is_the_picture(scene):
  # 64 pixels from (50, 30): four times 64 is bilinear, its means are smooth.
  crop = faces.Crop(
    np.array([82.0, 62.0]), 64.0, np.array([1.0, 0]), np.array([0, -1.0])
  )
  got = faces.cut(scene, crop, 64)
  want = scene[30:94, 50:114]
  assert got.shape == (64, 64, 3) and got.dtype == np.uint8
  assert np.abs(got.astype(int) - want).max() <= 2
  # Turned by a quarter: its right is the picture's down.
  right = crop._replace(x=np.array([0, 1.0]), y=np.array([1.0, 0]))
  assert (
    np.abs(faces.cut(scene, right, 64) - np.rot90(want, 1).astype(int)).max()
    <= 2
  )


@pytest.mark.parametrize('angle', [0.0, 0.4, -1.2, 3.0])
def test_a_turned_face_comes_out_upright(angle):
  """Drawn in a turned picture, it is where it is in the upright one."""

  def drawn(angle):
    y, x = np.mgrid[0:300, 0:300] + 0.5
    image = np.full((300, 300, 3), 90.0)
    colours = ([255, 0, 0], [0, 255, 0], [255] * 3, [0, 0, 255], [9, 9, 9])
    points = turned(UPRIGHT, angle, (100, 115)) + (50, 35)
    for (a, b), colour in zip(points + 0.5, colours, strict=True):
      spot = np.exp(-((x - a) ** 2 + (y - b) ** 2) / 60)[..., None]
      image = image * (1 - spot) + spot * np.array(colour)
    return faces.cut(image.astype(np.uint8), faces.crop_of(points), 64)

  got, want = drawn(angle), drawn(0.0)
  assert np.abs(got.astype(int) - want).max() <= 6
  # The left eye, red, lies where the formulas have it: 20 of 180 pixels to the
  # left of the middle, and 5 above it.
  red = got[..., 0].astype(int) - got[..., 1]
  row, column = np.unravel_index(red.argmax(), red.shape)
  assert abs(column + 0.5 - 64 * (0.5 - 20 / 180)) < 1
  assert abs(row + 0.5 - 64 * (0.5 - 5 / 180)) < 1


def test_a_large_square_is_a_mean(scene):
  # Eight times the pixels: each is the mean of 64, within rounding.
  large = np.kron(scene, np.ones((8, 8, 1), np.uint8))
  rng = np.random.default_rng(0)
  large = np.clip(large + rng.integers(-40, 41, large.shape), 0, 255)
  large = large.astype(np.uint8)
  crop = faces.Crop(
    np.array([656.0, 496.0]), 512.0, np.array([1.0, 0]), np.array([0, -1.0])
  )
  got = faces.cut(large, crop, 64)
  block = large[240:752, 400:912].reshape(64, 8, 64, 8, 3).mean((1, 3))
  assert np.abs(got - block).max() <= 3


def test_outside_is_the_mirror_image_and_ever_more_blurred(scene):
  rng = np.random.default_rng(1)
  noisy = rng.integers(0, 256, scene.shape, np.uint8)
  crop = faces.Crop(  # its left half lies outside
    np.array([0.0, 100.0]), 128.0, np.array([1.0, 0]), np.array([0, -1.0])
  )
  got = faces.cut(noisy, crop, 128).astype(int)
  inside = got[:, 64:]
  # Of noise, of which each pixel takes a part of its neighbours.
  assert np.corrcoef(inside.ravel(), noisy[36:164, :64].ravel())[0, 1] > 0.9
  contrast = lambda part: part.std()
  mirrored = got[:, 64 - 1 : 64 - 4 : -1]
  assert np.corrcoef(mirrored.ravel(), noisy[36:164, 1:4].ravel())[0, 1] > 0.5
  assert contrast(got[:, :40]) < 0.3 * contrast(inside)
  # The same picture without an outside: what is inside is not touched.
  wide = np.pad(noisy, ((0, 0), (200, 0), (0, 0)))
  within = crop._replace(centre=np.array([200.0, 100.0]))
  other = faces.cut(wide, within, 128).astype(int)
  assert (other[:, 66:] == inside[:, 2:]).all()


@pytest.mark.parametrize('shape', [(1, 1), (43, 55), (2, 300)])
def test_pictures_smaller_than_their_square(shape):
  image = np.full((*shape, 3), 77, np.uint8)
  centre = np.array([shape[1] / 2, shape[0] / 2])
  x = np.array([0.6, 0.8])
  side = 3.9 * sum(shape)
  got = faces.cut(image, faces.Crop(centre, side, x, np.array([0.8, -0.6])), 64)
  assert (got == 77).all()


@pytest.mark.parametrize(
  ('centre', 'side'), [((900, 0), 50), ((9, 9), 1e9), ((np.nan, 0), 9)]
)
def test_landmarks_of_another_picture(scene, centre, side):
  crop = faces.Crop(
    np.array(centre, float), side, np.array([1.0, 0]), np.array([0, -1.0])
  )
  if np.isnan(centre[0]):
    crop = crop._replace(centre=np.array([0.0, 0.0]), side=np.nan)
  with pytest.raises(BadPictureError, match='far outside'):
    faces.cut(scene, crop, 64)


# Quality.


def fractal(side=256, seed=0, slope=1.0):
  """A picture with the power spectrum of natural ones, 1/f^2."""
  rng = np.random.default_rng(seed)
  y, x = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)
  radius = np.hypot(x, y)
  radius[0, 0] = 1
  spectrum = np.fft.rfft2(rng.normal(size=(side, side))) / radius**slope
  spectrum[0, 0] = 0
  grey = np.fft.irfft2(spectrum, (side, side))
  grey = np.clip(128 + 40 * grey / grey.std(), 0, 255)
  return np.repeat(grey[..., None], 3, -1).astype(np.uint8)


def blurred(image, sigma):
  blur = ImageFilter.GaussianBlur(sigma)
  return np.asarray(Image.fromarray(image).filter(blur))


@pytest.mark.parametrize('side', [64, 256])
def test_the_more_blurred_the_worse(side):
  image = fractal(side)
  values = [
    faces.quality(blurred(image, s) if s else image) for s in (0, 0.7, 1.5, 4)
  ]
  numbers = [quality.value for quality in values]
  assert numbers == sorted(numbers, reverse=True)
  assert values[3].breadth < 0.5 * values[0].breadth
  small = Image.fromarray(image).resize((side // 4, side // 4))
  enlarged = np.asarray(small.resize((side, side)))
  assert faces.quality(enlarged).value < 0.6 * numbers[0]


def test_stripes_rank_below_what_has_all_directions():
  image = fractal()
  rows = fractal(seed=3)[:, :1]
  stripes = np.repeat(rows, 256, 1)
  assert faces.quality(stripes).value < 0.1 * faces.quality(image).value
  y, x = np.mgrid[0:256, 0:256]
  halftone = 40 * np.sin(2 * np.pi * 0.35 * (x + y) / 2**0.5)[..., None]
  worse = np.clip(image + halftone, 0, 255).astype(np.uint8)
  assert faces.quality(worse).symmetry < 0.9 * faces.quality(image).symmetry
  assert faces.quality(worse).value < 0.9 * faces.quality(image).value


def test_it_does_not_depend_on_brightness_contrast_or_direction():
  image = fractal()
  value = faces.quality(image).value
  assert value == pytest.approx(faces.quality(255 - image).value, rel=0.01)
  assert value == pytest.approx(faces.quality(np.rot90(image)).value, rel=0.02)
  assert value == pytest.approx(faces.quality(image // 2 + 30).value, rel=0.02)


def test_rounding_is_no_detail():
  """Smooth pictures have nothing but rounding at high frequencies."""
  y, x = np.mgrid[0:256, 0:256]
  smooth = np.repeat((x / 3 + y / 2)[..., None], 3, -1).astype(np.uint8)
  assert faces.quality(smooth).value < 0.2 * faces.quality(fractal()).value


@pytest.mark.parametrize('value', [0, 128, 255])
def test_one_colour_is_worth_nothing(value):
  image = np.full((64, 64, 3), value, np.uint8)
  assert faces.quality(image) == (0, 0, 0)


@given(seed=st.integers(0, 50), slope=st.floats(0, 2))
def test_all_numbers_are_shares(seed, slope):
  found = faces.quality(fractal(64, seed, slope))
  assert all(0 < number <= 1 for number in found)
  assert found.value == pytest.approx(found.breadth * found.symmetry)
