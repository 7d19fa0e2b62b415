"""Tools on a generator with styles: truncation, mixing, the projector."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gan_jax import explore as explore_lib
from gan_jax import restore
from gan_jax.data.source import to_bytes
from gan_jax.errors import UserError
from gan_jax.explore import (
  interpolate,
  latents,
  likeness,
  mix,
  search,
  truncation,
)
from gan_jax.explore import targets as targets_lib
from gan_jax.networks import stylegan2
from gan_jax.nn.style import NOISE_MAPS
from gan_jax.sampler import Sampler
from tests import small
from tests.networks.stylegan2_test import SMALL, variables_of

Z, LAYERS, WIDE = 8, 8, 6
STEM = 'step_000000007'
NET = stylegan2.Generator(**SMALL, style_size=WIDE)


@pytest.fixture(name='run', scope='module')
def _run(tmp_path_factory):
  """A run of the generator with random weights, as tools see it."""
  variables = variables_of(NET, np.zeros((1, Z), np.float32))
  less = lambda x: x / 4  # pictures are not all black and white
  for name in ('params', NOISE_MAPS):
    variables[name] = jax.tree.map(less, variables[name])
  variables['params']['mapping'] = jax.tree.map(
    lambda x: 400 * x, variables['params']['mapping']
  )
  c = small.config(latent=dict(size=Z))
  c.generator.name = 'stylegan2'
  facts = {'shape': [32, 32, 3], 'classes': []}
  player = types.SimpleNamespace(variables=variables)
  state = types.SimpleNamespace(ema=None, pair=types.SimpleNamespace(g=player))
  folder = tmp_path_factory.mktemp('run')
  return restore.Restored(
    types.SimpleNamespace(path=folder, load_data=lambda: facts),
    c,
    types.SimpleNamespace(
      objective=types.SimpleNamespace(generator=NET), growth=None
    ),
    7,
    state,
  )


@pytest.fixture(name='ask', scope='module')
def _ask(run):
  """A sampler, its variables, and functions of them."""
  sampler = Sampler(run.config, run.experiment)
  variables = sampler.variables(run.state)
  labels = lambda seeds: np.zeros(len(seeds), np.int32)
  find = jax.jit(sampler.styles)
  synthesise = dict(train=False, method='synthesise')
  make = jax.jit(lambda w: NET.apply(variables, w, **synthesise))

  def sixes(function, rows):
    """A function of rows, all calls of one size: compiled once."""
    return np.asarray(function(np.resize(rows, (6, *np.shape(rows)[1:]))))[
      : len(rows)
    ]

  return types.SimpleNamespace(
    sampler=sampler,
    variables=variables,
    mean=variables['w_average']['mean'],
    plain=lambda seeds: sixes(lambda x: sampler(variables, x), seeds),
    styles=lambda seeds: np.asarray(
      find(variables, sampler.latents(seeds), labels(seeds))
    ),
    of_styles=lambda w: sixes(lambda x: make(x).samples, np.float32(w)),
  )


def cells(file, head=0):
  """The pictures of a grid, int [rows, columns, 64, 64, 3]."""
  grid = np.asarray(Image.open(file)).astype(int)[head:]
  rows, columns = (n // 66 for n in grid.shape[:2])
  return np.stack(
    [
      [grid[2 + 66 * i :, 2 + 66 * k :][:64, :64] for k in range(columns)]
      for i in range(rows)
    ]
  )


def near(seen, pictures):
  """Whether cells [N, 64, 64, 3] show pictures [N, 32, 32, 3] in [-1, 1]."""
  wanted = to_bytes(pictures).repeat(2, 1).repeat(2, 2)
  np.testing.assert_allclose(seen, wanted, atol=1)


def test_truncation_is_its_formula(ask):
  seeds = [3, 4, 9]
  w = ask.styles(seeds)
  assert w.shape == (3, LAYERS, WIDE) and (w == w[:, :1]).all()
  plain = ask.plain(seeds)
  assert np.std(plain, 0).mean() > 0.02 and np.abs(plain).mean() < 3
  np.testing.assert_allclose(ask.of_styles(w), plain, atol=1e-4)
  for psi, cutoff in ((0.3, None), (-1.0, None), (0.0, 3)):
    kept = np.where(np.arange(LAYERS) < (cutoff or LAYERS), psi, 1.0)[:, None]
    wanted = ask.of_styles(ask.mean + kept * (w - ask.mean))
    sampler = ask.sampler.truncated(psi, cutoff)
    found = sampler(ask.variables, seeds)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert np.abs(found - plain).mean() > 1e-3
  with pytest.raises(UserError, match='--truncation = 3.0 must be'):
    ask.sampler.truncated(3.0)


@pytest.mark.slow
def test_a_sweep_of_psi(run, ask, tmp_path):
  _, settings = explore_lib.parse('truncation:seeds=3,9,psi=1,0.3,0,cutoff=5')
  truncation.run(run, tmp_path, settings)
  seen = cells(tmp_path / f'truncation_{STEM}.png', head=20)
  assert seen.shape[:2] == (2, 3)
  near(seen[:, 0], ask.plain([3, 9]))
  near(seen[:, 1], ask.sampler.truncated(0.3, 5)(ask.variables, [3, 9]))
  _, settings = explore_lib.parse('truncation:cutoff=9')
  with pytest.raises(UserError, match='cutoff=9: the generator .* 8 layers'):
    truncation.run(run, tmp_path / 'x', settings)


def test_styles_are_mixed_by_layers(run, ask, tmp_path):
  spec = 'mix:seeds=3,4,styles=4,9,5,layers=coarse,6'
  mix.run(run, tmp_path, explore_lib.parse(spec)[1])
  seen = cells(tmp_path / f'mix_{STEM}.png')
  assert seen.shape[:2] == (3, 4) and (seen[0, 0] == 255).all()
  near(seen[1:, 0], ask.plain([3, 4]))
  near(seen[0, 1:], ask.plain([4, 9, 5]))
  near(seen[2, 1:2], ask.plain([4]))  # in its own style
  own, other = ask.styles([3, 4]), ask.styles([4, 9, 5])
  w = own[:, None].repeat(3, 1)
  for layer in (0, 1, 2, 3, 6):
    w[:, :, layer] = other[None, :, layer]
  made = ask.of_styles(w.reshape(-1, LAYERS, WIDE))
  near(seen[1:, 1:].reshape(-1, 64, 64, 3), made)
  with pytest.raises(UserError, match='gates mean nothing .* say layers='):
    mix.run(run, tmp_path, explore_lib.parse('mix:gates=64')[1])


@given(st.sets(st.integers(0, 13), min_size=1), st.randoms())
def test_layers_as_they_are_written(layers, random):
  """One by one or in ranges, in any order, twice too."""
  words = [str(k) for k in layers]
  words += [f'{k}-{k + 1}' for k in layers if k + 1 in layers]
  for name, band in (('coarse', 4), ('middle', 8)):
    if set(range(band - 4, band)) <= layers:
      words.append(name)
  random.shuffle(words)
  assert mix.layers_of(','.join(words), 14) == tuple(sorted(layers))
  with pytest.raises(UserError, match='has the layers 0 to'):
    mix.layers_of(','.join(words), max(layers))


def test_bands_end_with_the_generator():
  assert mix.layers_of('fine', 14) == tuple(range(8, 14))
  assert mix.layers_of('middle', 8) == (4, 5, 6, 7)
  for text in ('fine', '8', 'rough', ''):
    with pytest.raises(UserError, match='--tool=mix:layers='):
      mix.layers_of(text, 8)


def projected(run, wanted, tmp_path, space, **settings):
  """What is found for pictures [N, 32, 32, 3]."""
  _, values = explore_lib.parse(f'invert:space={space}')
  values.__dict__.update(settings)
  sampler = Sampler(run.config, run.experiment)
  targets = targets_lib.Targets(
    None, np.arange(len(wanted)), np.zeros(len(wanted), np.int32), ''
  )
  object.__setattr__(targets, 'pictures', lambda part: wanted[part])
  near = likeness.open_likeness('pixels', '', (32, 32, 3))
  look = search.Search(run, sampler, near, values)
  return look, look(targets, tmp_path / f'{space}.npz')


@pytest.mark.slow
@pytest.mark.parametrize('space', ['w', 'w+'])
def test_the_projector_begins_at_the_mean(space, run, ask, tmp_path):
  """In one step the rate is 0: nothing has moved."""
  wanted = ask.plain([1, 2])
  look, found = projected(run, wanted, tmp_path, space, iterations=1)
  mean = np.broadcast_to(ask.mean, (2, LAYERS, WIDE))
  np.testing.assert_allclose(found.z, mean, rtol=1e-6)
  w = np.asarray(ask.styles(range(search._DRAWN)))[:, 0].astype(np.float64)
  spread = np.sqrt(np.square(w - w.mean(0)).sum(-1).mean())
  np.testing.assert_allclose(look._deviation, spread, rtol=1e-4)


@pytest.mark.slow
def test_the_projector_finds_what_g_made(run, ask, tmp_path):
  """One w is found in both spaces, many only in w+; the file serves tools."""
  draws = np.random.default_rng(0).normal(size=(2, LAYERS, WIDE))
  w = ask.mean + 0.3 * draws
  w[0] = w[0, :1]
  wanted = ask.of_styles(w)
  how = dict(iterations=150, lr=0.05)
  _, one = projected(run, wanted, tmp_path, 'w', **how)
  _, many = projected(run, wanted, tmp_path, 'w+', **how)
  assert (one.z == one.z[:, :1]).all() and one.z.shape == w.shape
  start = np.square(wanted - ask.of_styles(0 * w + ask.mean)).mean((1, 2, 3))
  assert one.mse[0] < 0.05 * start[0] and many.mse[1] < 0.2 * start[1]
  assert many.mse[1] < 0.5 * one.mse[1]
  assert np.ptp(many.z, 1).max() > 0.1
  again = np.square(ask.of_styles(many.z).clip(-1, 1) - wanted).mean((1, 2, 3))
  np.testing.assert_allclose(many.mse, again, rtol=1e-3)
  file = tmp_path / 'w+.npz'
  spec = f'interpolate:latents={file},seeds=0,1,columns=3,make=strip'
  interpolate.run(run, tmp_path, explore_lib.parse(spec)[1])
  seen = cells(tmp_path / f'interpolate_{STEM}.png')[0]
  ends = many.z[0], many.z[1]
  near(seen, ask.of_styles([ends[0], (ends[0] + ends[1]) / 2, ends[1]]))
  with pytest.raises(UserError, match='8 x 6 numbers, and the run takes 8 or'):
    latents.load(file, Z, (LAYERS, WIDE + 1), 'x')


@pytest.mark.slow
def test_samples_are_joined_straight_in_w(run, ask, tmp_path):
  spec = 'interpolate:seeds=3,9,columns=3,make=strip,truncation=0.5'
  interpolate.run(run, tmp_path, explore_lib.parse(spec)[1])
  w = ask.mean + 0.5 * (ask.styles([3, 9]) - ask.mean)
  seen = cells(tmp_path / f'interpolate_{STEM}.png')[0]
  near(seen, ask.of_styles([w[0], w.mean(0), w[1]]))


def test_rate_and_noise_of_the_projector():
  """StyleGAN2, appendix D, of 1,000 iterations: 50 up, 250 down, 750 noisy."""
  rate = lambda i: float(search.rate(jnp.float32(i / 1000), 0.1))
  for i, wanted in ((0, 0), (25, 0.05), (50, 0.1), (400, 0.1), (750, 0.1)):
    assert rate(i) == pytest.approx(wanted, abs=1e-6)
  for i in (800, 875, 990):
    wanted = 0.05 * (1 + np.cos(np.pi * (i - 750) / 250))
    assert rate(i) == pytest.approx(wanted, rel=1e-3)
  for i in (0, 100, 500, 749, 750, 999):
    t = max(0, 1 - i / 750)
    assert float(search.noise(i / 1000)) == pytest.approx(0.05 * t**2, abs=1e-7)
