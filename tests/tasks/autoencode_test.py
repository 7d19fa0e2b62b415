"""Decoders and their term: windows, losses, what they are trained on."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax.networks import Judgement
from gan_jax.networks.lpips import Lpips
from gan_jax.networks.vgg import Vgg16
from gan_jax.tasks import decoder
from gan_jax.tasks.autoencode import LPIPS, Autoencode, Shown
from gan_jax.tasks.decoder import WHOLE, Decoder

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)


def normal(*shape):
  return np.float32(RNG.normal(size=shape))


@settings(max_examples=20)
@given(h=st.integers(1, 21), w=st.integers(1, 21), side=st.sampled_from([4, 8]))
def test_adaptive_means_are_pytorchs(h, w, side):
  x = normal(2, h, w, 3)
  found = decoder.adaptive_mean(jnp.asarray(x), side)
  for i, j in ((0, 0), (1, side - 1), (side - 1, side // 2)):
    rows = slice(i * h // side, -(-(i + 1) * h // side))
    columns = slice(j * w // side, -(-(j + 1) * w // side))
    wanted = x[:, rows, columns].mean((1, 2))
    np.testing.assert_allclose(found[:, i, j], wanted, atol=1e-5)


def resized(x, side):
  """By nearest neighbours: source index floor(i * in / out)."""
  rows, columns = (np.arange(side) * n // side for n in x.shape[1:3])
  return x[:, rows][:, :, columns]


@settings(max_examples=20)
@given(
  grid=st.integers(2, 16),
  times=st.integers(1, 8),
  side=st.sampled_from([16, 32, 128]),
  index=st.integers(0, 3),
)
def test_a_quadrant_of_the_picture_is_that_of_the_map(grid, times, side, index):
  picture = normal(2, grid * times, grid * times, 1)
  window = decoder.quadrant((grid, grid), jnp.int32(index))
  half = grid // 2
  rows = slice(0, half) if index < 2 else slice(grid - half, grid)
  columns = slice(0, half) if index % 2 == 0 else slice(grid - half, grid)
  maps = picture[:, ::times, ::times]
  np.testing.assert_array_equal(window.cut(maps), maps[:, rows, columns])
  wide = lambda part: slice(part.start * times, part.stop * times)
  wanted = resized(picture[:, wide(rows), wide(columns)], side)
  np.testing.assert_array_equal(window.picture(picture, side), wanted)


@settings(max_examples=15)
@given(
  grid=st.integers(1, 40), times=st.integers(1, 4), seed=st.integers(0, 99)
)
def test_an_eighth_is_cut_from_both_at_one_place(grid, times, seed):
  window = decoder.eighth((grid, grid), jax.random.key(seed))
  size = max(1, grid // 8)
  assert window.size == (size, size)
  top, left = map(int, window.corner)
  assert 0 <= top <= grid - size and 0 <= left <= grid - size
  picture = normal(1, grid * times, grid * times, 1)
  cut = lambda x, n: x[:, top * n :, left * n :][:, : size * n, : size * n]
  maps = picture[:, ::times, ::times]
  np.testing.assert_array_equal(window.cut(maps), cut(maps, 1))
  wanted = resized(cut(picture, times), 16)
  np.testing.assert_array_equal(window.picture(picture, 16), wanted)


def test_an_eighth_reaches_every_place():
  found = {
    tuple(map(int, decoder.eighth((4, 4), jax.random.key(seed)).corner))
    for seed in range(200)
  }
  assert len(found) == 16


@pytest.mark.parametrize('side', [8, 28, 300])
def test_the_whole_picture(side):
  picture = normal(2, side, side, 3)
  wanted = resized(picture, 128)
  np.testing.assert_array_equal(WHOLE.picture(picture, 128), wanted)


def test_the_released_decoders_sizes():
  count = lambda channels: sum(
    x.size
    for x in jax.tree.leaves(
      jax.eval_shape(
        lambda: Decoder(3).init(KEY, jnp.zeros((1, 8, 8, channels)), train=True)
      )['params']
    )
  )
  assert (count(512), count(256)) == (1_439_712, 849_888)


@pytest.mark.parametrize(
  'side, drawn',
  [(1024, 128), (128, 128), (64, 64), (32, 32), (28, 16), (8, 16), (4, 16)],
)
def test_small_pictures_have_shorter_decoders(side, drawn):
  network = Decoder(1, decoder.doublings_for(side))
  shape = lambda: network.init_with_output(
    KEY, jnp.zeros((2, 4, 4, 3)), train=True
  )[0]
  assert jax.eval_shape(shape).shape == (2, drawn, drawn, 1)


def test_losses_are_means_over_pixels():
  a, b = normal(3, 4, 4, 3), normal(3, 4, 4, 3)
  far = lambda loss: Autoencode(loss=loss).distances(Shown(a, b), {})
  np.testing.assert_allclose(
    far('l1'), np.abs(a - b).mean((1, 2, 3)), rtol=1e-5
  )
  np.testing.assert_allclose(
    far('mse'), ((a - b) ** 2).mean((1, 2, 3)), rtol=1e-5
  )


def test_lpips_of_grey_pictures_is_that_of_three_equal_channels():
  network = Lpips(Vgg16())
  a, b = normal(1, 32, 32, 1), normal(1, 32, 32, 1)
  three = lambda x: jnp.repeat(x, 3, -1)
  shapes = jax.eval_shape(network.init, KEY, three(a), three(b))
  variables = jax.tree.map(lambda x: np.abs(normal(*x.shape)) / 30, shapes)

  @jax.jit
  def both(variables):
    found = Autoencode(loss='lpips').distances(Shown(a, b), {LPIPS: variables})
    return found, network.apply(variables, three(b), three(a))

  found, wanted = both(variables)
  assert found.shape == (1,) and found[0] > 0
  np.testing.assert_allclose(found, wanted, rtol=1e-4)


def viewed(task, seen, maps):
  """A view, and the term's first parameters, for pictures and maps of D."""
  view = types.SimpleNamespace(
    seen_real=seen, on_real=Judgement(None, maps), key=KEY, constants={}
  )
  view.own, view.carried = jax.jit(lambda: task.init(view, KEY))()
  return view


def test_a_sum_counts_each_picture_and_each_decoder():
  settings = dict(whole=('8',), part=('4',), loss='mse')
  maps = {'8': normal(3, 8, 8, 2), '4': normal(3, 4, 4, 2)}
  seen = np.float32(RNG.uniform(-1, 1, (3, 16, 16, 1)))
  task = Autoencode(**settings)
  view = viewed(task, seen, maps)

  @jax.jit
  def values(own):
    summed = Autoencode(**settings, reduction='sum')
    shown, _ = task.reconstruct(own, view.carried, maps, seen, KEY, train=True)
    return task.value(own, view)[0], summed.value(own, view)[0], shown

  mean, total, shown = values(view.own)
  assert set(shown) == {'whole_8', 'part_4'}
  wanted = sum(np.mean((x.picture - x.target) ** 2) for x in shown.values())
  assert mean == pytest.approx(float(wanted), rel=1e-5)
  assert total == pytest.approx(3 * float(wanted), rel=1e-5)
  np.testing.assert_array_equal(shown['whole_8'].target, seen)
  quarters = [resized(seen[:, i : i + 8, j : j + 8], 16)
              for i in (0, 8) for j in (0, 8)]  # fmt: skip
  assert any(np.array_equal(shown['part_4'].target, q) for q in quarters)


def test_the_part_that_is_drawn_is_that_of_the_map():
  """A decoder of one quadrant sees nothing of the other three."""
  task = Autoencode(whole=(), part=('4',))
  maps, seen = normal(2, 4, 4, 2), np.zeros((2, 16, 16, 1), np.float32)
  view = viewed(task, seen, {'4': maps})

  @jax.jit
  def slope(key):
    def total(x):
      shown, _ = task.reconstruct(
        view.own, view.carried, {'4': x}, seen, key, train=True
      )
      return jnp.sum(shown['part_4'].picture ** 2)

    return jax.grad(total)(maps)

  found = set()
  for seed in range(12):
    felt = np.abs(slope(jax.random.key(seed))).sum((0, 3)) > 0
    found.add(tuple(felt.ravel()))
    assert felt.sum() == 4
    i, j = np.argwhere(felt)[0]
    assert i in (0, 2) and j in (0, 2) and felt[i : i + 2, j : j + 2].all()
  assert len(found) == 4
