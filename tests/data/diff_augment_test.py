"""DiffAugment against the released numbers, and against loops over pixels."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax.data import diff_augment
from gan_jax.data.diff_augment import CHANGES, DiffAugment, Draws
from tests.golden import inputs, rule

ABOUT, ARRAYS = rule.load('diffaugment')
ALL = tuple(CHANGES)
KEY = jax.random.key(7)


class Scales(NamedTuple):
  """A picture and a small one, as FastGAN's generator makes them."""

  image: Any
  small: Any


def draws_of(count, **given):
  """Draws that change nothing but brightness, saturation, contrast given."""
  half = jnp.full(count, 0.5)
  middle = jnp.full((count, 2), 0.5)
  return Draws(half, half, half, middle, middle)._replace(**given)


def released_draws(case, shape):
  """The draws of a case as shares of [0, 1): the middle of what gives them."""
  named = {
    name: inputs.value(ABOUT, ARRAYS, key).reshape(shape[0])
    for name, key in ABOUT['cases'][case]['in'].items()
    if name != 'x'
  }
  found = {
    name[2:]: jnp.asarray(named[name]) for name in named if name[:2] == 'u_'
  }
  reach = [int(side / 8 + 0.5) for side in shape[1:3]]
  if 't_rows' in named:
    shifts = zip((named['t_rows'], named['t_cols']), reach, strict=True)
    shares = [(t + r + 0.5) / (2 * r + 1) for t, r in shifts]
    found['shift'] = jnp.stack(shares, axis=1)
  if 'c_rows' in named:  # both sides are even, and so are their halves
    centres = zip((named['c_rows'], named['c_cols']), shape[1:3], strict=True)
    shares = [(c + 0.5) / (side + 1) for c, side in centres]
    found['centre'] = jnp.stack(shares, axis=1)
  return draws_of(shape[0], **found), named


@pytest.mark.parametrize('case', ABOUT['cases'])
def test_changes_are_the_released_ones(case):
  row = ABOUT['cases'][case]
  x = inputs.value(ABOUT, ARRAYS, row['in']['x'])
  draws, named = released_draws(case, x.shape)
  parts = {'color': 'u_', 'translation': 't_', 'cutout': 'c_'}
  for name, change in CHANGES.items():
    if any(drawn.startswith(parts[name]) for drawn in named):
      x = change(x, draws)
  got = inputs.nchw(np.asarray(x))
  kept, stride = rule.stored(ABOUT, ARRAYS, case, 'y')
  assert rule.relative_error(got, kept, stride) < 3e-7
  out = row['out']['y']
  assert np.linalg.norm(got) == pytest.approx(out['l2'], rel=1e-6)
  assert got.mean() == pytest.approx(out['mean'], abs=1e-6)


shares = st.floats(0, 1, width=32, exclude_max=True)


def moved(picture, u):
  """`translation` of one picture, pixel by pixel."""
  height, width, _ = picture.shape
  reach = [int(side / 8 + 0.5) for side in (height, width)]
  t = [
    min(int(np.float32(v) * np.float32(2 * r + 1)), 2 * r) - r
    for v, r in zip(u, reach, strict=True)
  ]
  assert all(abs(x) <= r for x, r in zip(t, reach, strict=True))
  out = np.zeros_like(picture)
  for i in range(height):
    for j in range(width):
      if 0 <= i + t[0] < height and 0 <= j + t[1] < width:
        out[i, j] = picture[i + t[0], j + t[1]]
  return out


def holed(picture, u):
  """`cutout` of one picture, pixel by pixel of the hole."""
  out, ranges = picture.copy(), []
  for v, side in zip(u, picture.shape[:2], strict=True):
    size = int(side / 2 + 0.5)
    places = side + (1 if size % 2 == 0 else 0)
    centre = min(int(np.float32(v) * np.float32(places)), places - 1)
    first = centre - size // 2
    ranges.append([k for k in range(first, first + size) if 0 <= k < side])
    assert len(ranges[-1]) >= size // 2  # never less of it than a half
  for i in ranges[0]:
    for j in ranges[1]:
      out[i, j] = 0
  return out


@functools.cache
def one_by_one(name, height, width):
  """A change of one picture, by its two places."""
  field = {'translation': 'shift', 'cutout': 'centre'}[name]

  @jax.jit
  def run(picture, place):
    return CHANGES[name](picture[None], draws_of(1, **{field: place[None]}))[0]

  return run


@pytest.mark.parametrize(
  'name, by_hand', [('translation', moved), ('cutout', holed)]
)
@settings(max_examples=40, deadline=None)
@given(
  side=st.sampled_from([(8, 8), (5, 13), (4, 18), (1, 3)]),
  place=st.tuples(shares, shares),
)
def test_places_are_those_of_a_loop(name, by_hand, side, place):
  picture = np.random.default_rng(0).normal(size=(*side, 2)).astype('f4')
  got = one_by_one(name, *side)(picture, jnp.float32(place))
  np.testing.assert_array_equal(got, by_hand(picture, place))


def test_every_place_is_as_likely_as_another():
  count = 20_000
  u = np.asarray(diff_augment.draw(KEY, count).shift[:, 0])
  for places in (3, 9, 65):
    seen = np.bincount(diff_augment._whole(u, places), minlength=places)
    assert len(seen) == places
    # Five standard deviations of a count.
    assert np.abs(seen - count / places).max() < 5 * (count / places) ** 0.5


@settings(max_examples=30, deadline=None)
@given(u=st.tuples(*[shares] * 3), channels=st.sampled_from([1, 3]))
def test_color_is_its_formula(u, channels):
  x = np.random.default_rng(1).uniform(-1, 1, (1, 6, 4, channels))
  draws = draws_of(
    1,
    brightness=jnp.float32(u[:1]),
    saturation=jnp.float32(u[1:2]),
    contrast=jnp.float32(u[2:]),
  )
  got = diff_augment.color(jnp.float32(x), draws)
  y = x + u[0] - 0.5
  grey = np.mean(y, -1, keepdims=True)
  y = grey + 2 * u[1] * (y - grey)
  y = np.mean(y) + (u[2] + 0.5) * (y - np.mean(y))
  np.testing.assert_allclose(got, y, rtol=0, atol=1e-5)


@jax.jit
def of_two_sides(key):
  """A ramp of 16 rows, and one of 32, under the same draws."""
  draws = diff_augment.draw(key, 1)
  ramps = [jnp.arange(1.0, side + 1)[:, None, None] for side in (16, 32)]
  pictures = [jnp.broadcast_to(x, (1, len(x), len(x), 1)) for x in ramps]
  doubled = jnp.repeat(jnp.repeat(pictures[0], 2, 1), 2, 2)
  return {
    'moved': [diff_augment.translation(x, draws) for x in pictures],
    'holed': [diff_augment.cutout(x, draws) for x in pictures],
    'color': [
      diff_augment.color(x / 16, draws) for x in (pictures[0], doubled)
    ],
  }


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_one_draw_serves_two_scales(seed):
  """A picture of twice the side is changed as the picture, to a pixel."""
  got = jax.device_get(of_two_sides(jax.random.key(seed)))
  # What the middle row shows, which a shift of an eighth never loses.
  t, double_t = (x[0, len(x[0]) // 2, 8, 0] for x in got['moved'])
  assert abs((double_t - 17) - 2 * (t - 9)) <= 1 and abs(t - 9) <= 2
  rows, double_rows = (
    np.flatnonzero((x[0, :, :, 0] == 0).any(1)) for x in got['holed']
  )
  for end in (0, -1):
    assert abs(double_rows[end] - 2 * rows[end]) <= 2
  color, double = got['color']
  # Of values near 1, minus means of a thousand such.
  np.testing.assert_allclose(
    double, color.repeat(2, 1).repeat(2, 2), rtol=0, atol=1e-5
  )


@pytest.mark.parametrize('scales', ['same', 'independent'])
def test_a_tree_is_changed_picture_by_picture(scales):
  one = jax.random.normal(KEY, (5, 8, 8, 3))
  got = jax.jit(DiffAugment(ALL, scales))(Scales(one, one), {}, KEY)
  assert isinstance(got, Scales) and got.image.shape == one.shape
  assert np.array_equal(got.image, got.small) == (scales == 'same')
  two = jax.random.normal(KEY, (5, 4, 4, 3))
  sizes = DiffAugment(ALL, scales)(Scales(one, two), {}, KEY)
  assert sizes.small.shape == two.shape
  # Compiled alone it may sum a mean in another order; a draw of its own is
  # further off by units.
  alone = DiffAugment(ALL, 'same')(one, {}, KEY)
  assert np.allclose(alone, got.image, atol=1e-4) == (scales == 'same')


@pytest.mark.parametrize('chosen', [(), *((x,) for x in ALL), ALL])
def test_each_picture_is_changed_by_itself_and_gradient_passes(chosen):
  x = jax.random.normal(KEY, (4, 6, 6, 3))
  change = jax.jit(lambda x: DiffAugment(chosen)(x, {}, KEY))
  base = change(x)
  other = change(x.at[2].set(x[2] * 3 + 1))
  rest = np.array([0, 1, 3])
  np.testing.assert_array_equal(base[rest], other[rest])
  assert not np.array_equal(base[2], other[2])
  # All changes are affine: the derivative along v is a difference.
  v = jax.random.normal(jax.random.key(1), x.shape)
  w = jax.random.normal(jax.random.key(2), x.shape)
  (back,) = jax.vjp(change, x)[1](w)
  np.testing.assert_allclose(
    jnp.vdot(back, v), jnp.vdot(w, change(x + v) - base), rtol=1e-3, atol=1e-3
  )


def test_the_order_of_a_config_does_not_count():
  x = jax.random.normal(KEY, (2, 6, 6, 3))
  one, other = (DiffAugment(c)(x, {}, KEY) for c in (ALL, ALL[::-1]))
  np.testing.assert_array_equal(one, other)
