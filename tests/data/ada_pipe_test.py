"""ADA's changes against NumPy: of pictures, matrices, and what is drawn."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.transform import Rotation

from gan_jax.data import ada_pipe
from gan_jax.data.ada_pipe import GROUPS, NEUTRAL, SYM6, Changes

KEY = jax.random.key(7)
ALL = tuple(GROUPS)


def quickly(function):
  quick = {'xla_backend_optimization_level': 0}
  return jax.jit(function, compiler_options=quick)


def given_changes(**fields) -> Changes:
  """Changes of as many pictures as the fields have rows."""
  count = len(next(iter(fields.values())))
  kinds = ada_pipe.neutral(count)
  typed = {
    name: jnp.asarray(x, getattr(kinds, name).dtype)
    for name, x in fields.items()
  }
  return kinds._replace(**typed)


@functools.cache
def applied(groups):
  return quickly(lambda x, c: ada_pipe.apply(x, c, groups))


def changed(x, p, seed, groups=ALL):
  """What ADA makes of pictures."""
  changes = ada_pipe.draw(jax.random.key(seed), len(x), p, groups)
  return ada_pipe.apply(x, changes, groups)


@functools.cache
def whole(groups=ALL):
  return quickly(lambda x, p, seed: changed(x, p, seed, groups))


SHAPES = [(4, 6, 6, 3), (4, 3, 8, 1), (4, 1, 2, 3)]
PART = SHAPES[:1] + [
  pytest.param(s, marks=pytest.mark.slow) for s in SHAPES[1:]
]


@pytest.mark.parametrize('shape', PART)
@settings(max_examples=25, deadline=None)
@given(p=st.floats(0, 1, width=32), seed=st.integers(0, 2**31 - 1))
def test_each_picture_is_changed_by_itself_or_not_at_all(shape, p, seed):
  x = np.random.default_rng(seed).normal(size=shape).astype('f4')
  run = whole()
  np.testing.assert_array_equal(run(x, 0.0, seed), x)
  got = run(x, p, seed)
  assert got.shape == shape and np.all(np.isfinite(got))
  other = x.copy()
  other[2] = 3 * other[2] + 1
  rest = [0, 1, 3]
  np.testing.assert_array_equal(run(other, p, seed)[rest,], got[rest,])


@pytest.mark.parametrize('shape', PART)
@settings(max_examples=25, deadline=None)
@given(p=st.floats(0, 1, width=32), seed=st.integers(0, 2**31 - 1))
def test_what_moves_pixels_leaves_one_colour_alone(shape, p, seed):
  """However far it reaches over the border."""
  x = np.broadcast_to(np.float32([[[[-0.7]]]]), shape)
  got = whole(('blit', 'geometry'))(x, p, seed)
  np.testing.assert_allclose(got, x, rtol=0, atol=1e-5)


def test_blits_are_numpys_to_the_bit():
  """Flip, then turn, then shift, into the picture mirrored without end."""
  side = 8
  x = np.random.default_rng(0).normal(size=(side, side, 2)).astype('f4')
  far = [(0, 0), (1, -1), (-1, 1)]
  every = list(itertools.product((False, True), range(4), far))
  flip, turn, shift = zip(*every, strict=True)
  # Of shares that are half a pixel off: they are rounded.
  shares = (np.array(shift) + 0.3 * np.sign(shift)) / side
  changes = given_changes(flip=flip, turn=turn, shift=shares)
  got = applied(('blit',))(np.stack([x] * len(every)), changes)
  for one, (mirrored, quarters, (right, down)) in zip(got, every, strict=True):
    y = np.rot90(x[:, ::-1] if mirrored else x, -quarters)
    wide = np.pad(y, ((1, 1), (1, 1), (0, 0)), 'reflect')
    y = wide[1 - down : 1 - down + side, 1 - right : 1 - right + side]
    np.testing.assert_array_equal(one, y)


def scaling(x, y):
  return np.diag([x, y, 1.0])


def rotation(angle):
  """Clockwise on a screen."""
  c, s = np.cos(angle), np.sin(angle)
  return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def translation(x, y):
  return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_one_matrix_is_all_of_them_in_turn(seed):
  """Composed forward, as appendix B has it, and inverted by NumPy."""
  draw = np.random.default_rng(seed)
  drawn = dict(
    flip=draw.integers(0, 2, 1) > 0,
    turn=draw.integers(0, 4, 1),
    shift=draw.uniform(-0.125, 0.125, (1, 2)),
    scale=2 ** draw.normal(0, 0.2, 1),
    turn_before=draw.uniform(-np.pi, np.pi, 1),
    stretch=2 ** draw.normal(0, 0.2, 1),
    turn_after=draw.uniform(-np.pi, np.pi, 1),
    move=draw.normal(0, 0.125, (1, 2)),
  )
  height, width = 20, 12
  one = {name: x[0] for name, x in drawn.items()}
  total = scaling(-1.0 if one['flip'] else 1.0, 1.0)
  right, down = np.float32(one['shift']) * np.float32((width, height))
  for step in (
    rotation(one['turn'] * np.pi / 2),
    translation(np.round(right), np.round(down)),
    scaling(one['scale'], one['scale']),
    rotation(one['turn_before']),
    scaling(one['stretch'], 1 / one['stretch']),
    rotation(one['turn_after']),
    translation(one['move'][0] * width, one['move'][1] * height),
  ):
    total = step @ total
  got = inverse_of(given_changes(**drawn), (1, height, width, 3))
  np.testing.assert_allclose(got[0], np.linalg.inv(total), rtol=0, atol=2e-5)


inverse_of = jax.jit(ada_pipe.inverse, static_argnums=1)


def daubechies(moments):
  """The lowpass filters of all orthogonal wavelets of the shortest length.

  By spectral factorisation ("Ten Lectures on Wavelets", 6.1): of each pair of
  roots that gives real taps one half is taken.
  """
  powers = [math.comb(moments - 1 + k, k) for k in range(moments)]
  pairs = [
    np.roots([1.0, 4.0 * y - 2.0, 1.0])
    for y in np.roots(powers[::-1])
    if y.imag >= 0
  ]
  for choice in itertools.product((0, 1), repeat=len(pairs)):
    roots = [-1.0] * moments
    for pair, which in zip(pairs, choice, strict=True):
      root = pair[which]
      roots += [root.real] if abs(root.imag) < 1e-9 else [root, root.conj()]
    taps = np.poly(roots).real
    yield taps * 2**0.5 / taps.sum()


def bend(taps):
  """How far a filter's phase is from a straight line."""
  f = np.linspace(0.0, 2.8, 100)
  k = np.arange(len(taps))
  phase = np.unwrap(np.angle(np.exp(-1j * np.outer(f, k)) @ taps))
  return np.abs(phase - np.polyval(np.polyfit(f, phase, 1), f)).max()


def test_the_filter_is_the_least_asymmetric_wavelets():
  best = min(daubechies(6), key=bend)
  off = min(np.abs(np.array(SYM6) - h).max() for h in (best, best[::-1]))
  assert off < 1e-10
  # Which is what makes up and down again exact.
  h = best
  for m in range(6):
    assert h[2 * m :] @ h[: 12 - 2 * m] == pytest.approx(
      float(m == 0), abs=1e-9
    )


def test_the_general_way_agrees_with_what_is_known_of_it():
  """Away from borders: shifts by whole pixels, lines and quarters."""
  side, inner = 16, slice(5, 11)
  noise = np.random.default_rng(0).normal(size=(side, side, 3))
  rows, columns = np.mgrid[:side, :side]
  line = np.stack([rows, columns, rows + columns], -1)
  wave = np.cos(0.4 * rows + 0.3 * columns)[..., None] * np.ones(3)
  fine = (-1.0) ** columns[..., None] * np.ones(3)
  changes = given_changes(
    move=[(2 / side, 1 / side), (0.01, 0.02), (0, 0), (0, 0)],
    scale=[1.0, 1.3, 1.0, 0.5],
    stretch=[1.0, 1.1, 1.0, 1.0],
    turn_before=[0.0, 0.7, np.pi / 2, 0.0],
  )
  pictures = np.float32([noise, line, wave, fine])
  got = np.asarray(applied(('geometry',))(pictures, changes))
  moved, lines, turned, shrunk = got[:, inner, inner]
  # The filters undo each other.
  np.testing.assert_allclose(moved, noise[4:10, 3:9], rtol=0, atol=3e-6)
  # With six vanishing moments what is straight stays straight.
  middle = (side - 1) / 2
  at = np.stack([columns - middle, rows - middle, np.ones_like(rows)], -1)
  matrix = np.asarray(inverse_of(changes, pictures.shape)[1])
  x, y = np.moveaxis(at @ matrix.T, -1, 0)[:2] + middle
  expected = np.stack([y, x, x + y], -1)[inner, inner]
  np.testing.assert_allclose(lines, expected, rtol=0, atol=2e-5)
  quarter = np.rot90(wave, -1)[inner, inner]
  np.testing.assert_allclose(turned, quarter, rtol=0, atol=0.01)
  # A grid too fine for half the size becomes grey, not another grid.
  assert np.abs(shrunk).max() < 0.1


changed_colors = jax.jit(lambda x, c: ada_pipe.recolor(x, ada_pipe.colors(c)))


@settings(max_examples=30, deadline=None)
@given(
  b=st.floats(-1, 1),
  c=st.floats(0.2, 4),
  flip=st.booleans(),
  hue=st.floats(-np.pi, np.pi),
  s=st.floats(0, 4),
)
def test_colours_are_their_formulas_in_turn(b, c, flip, hue, s):
  x = np.random.default_rng(1).uniform(-1, 1, (1, 4, 3, 3))
  changes = given_changes(
    brightness=[b], contrast=[c], luma_flip=[flip], hue=[hue], saturation=[s]
  )
  got = changed_colors(jnp.float32(x), changes)
  y = (x + b) * c
  if flip:  # mirrored at the plane across the axis of greys
    y = y - 2 * y.mean(-1, keepdims=True)
  axis = np.ones(3) / 3**0.5
  y = Rotation.from_rotvec(hue * axis).apply(y.reshape(-1, 3)).reshape(y.shape)
  grey = y.mean(-1, keepdims=True)
  y = grey + s * (y - grey)
  np.testing.assert_allclose(got, y, rtol=0, atol=5e-5)
  one = changed_colors(jnp.float32(x[..., :1]), changes)
  three = changed_colors(jnp.float32(x[..., [0, 0, 0]]), changes)
  np.testing.assert_allclose(one, three[..., :1], rtol=0, atol=5e-5)


def falls(changes, name):
  """Which pictures a change falls to."""
  off = np.asarray(getattr(changes, name) != getattr(NEUTRAL, name))
  return off.reshape(len(off), -1).any(1)


COUNT = 20_000


@functools.cache
def draws(groups):
  return quickly(lambda p: ada_pipe.draw(KEY, COUNT, p, groups))


def drawn(p, groups=ALL):
  return jax.device_get(draws(groups)(p))


def test_each_change_falls_to_a_share_p_of_the_pictures():
  p = 0.3
  changes = drawn(p)
  # Of what falls to a picture half of the flips leave it as it is.
  some = dict(flip=p / 2, luma_flip=p / 2, turn=p * 3 / 4)
  either = 'turn_before', 'turn_after'
  found = {name: falls(changes, name) for name in Changes._fields}
  for name, seen in found.items():
    wanted = 1 - (1 - p) ** 0.5 if name in either else some.get(name, p)
    # Five standard deviations.
    off = 5 * (wanted * (1 - wanted) / COUNT) ** 0.5
    assert abs(seen.mean() - wanted) < off, name
  both = found['turn_before'] | found['turn_after']
  assert abs(both.mean() - p) < 0.017
  # One falls to a picture whether or not another does.
  each = np.corrcoef(np.float64(list(found.values())))
  assert np.abs(each - np.eye(len(each))).max() < 5 / COUNT**0.5


def test_strengths_are_those_of_the_table():
  c = drawn(1.0)
  normal, uniform = stats.norm.cdf, stats.uniform(0, 1).cdf
  for name, values, law in (
    ('scale', np.log2(c.scale) / 0.2, normal),
    ('stretch', np.log2(c.stretch) / 0.2, normal),
    ('contrast', np.log2(c.contrast) / 0.5, normal),
    ('saturation', np.log2(c.saturation), normal),
    ('brightness', c.brightness / 0.2, normal),
    ('move', c.move.ravel() / 0.125, normal),
    ('shift', c.shift.ravel() / 0.25 + 0.5, uniform),
    *(
      (name, getattr(c, name) / (2 * np.pi) + 0.5, uniform)
      for name in ('turn_before', 'turn_after', 'hue')
    ),
  ):
    assert stats.kstest(values, law).pvalue > 1e-4, name
  seen = np.bincount(c.turn, minlength=4)
  assert len(seen) == 4 and np.abs(seen / COUNT - 0.25).max() < 0.016


def test_a_group_draws_the_same_whichever_others_are_on():
  every = drawn(0.3)
  for group in ('geometry', 'color'):
    alone = drawn(0.3, (group,))
    for name in Changes._fields:
      if name in GROUPS[group]:
        np.testing.assert_array_equal(
          *(getattr(c, name) for c in (alone, every))
        )
      else:
        assert not falls(alone, name).any()


def test_gradient_passes_through_to_each_picture():
  """All changes are affine: the derivative along v is a difference."""
  x, v, w = np.random.default_rng(3).normal(size=(3, *SHAPES[0])).astype('f4')
  change = lambda x: changed(x, 0.7, 11)

  @quickly
  def both(x):
    y, pull_back = jax.vjp(change, x)
    return y, pull_back(w)[0]

  y, back = both(x)
  assert np.all(np.any(back, (1, 2, 3)))
  np.testing.assert_allclose(
    np.vdot(back, v), np.vdot(w, both(x + v)[0] - y), rtol=1e-3
  )
