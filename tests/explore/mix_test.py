"""--tool=mix on a FastGAN: its grid, and G driven by other samples' maps."""

import json
import types

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax import explore as explore_lib
from gan_jax import restore
from gan_jax.data.source import to_bytes
from gan_jax.errors import UserError
from gan_jax.explore import mix, neighbours
from gan_jax.networks import fastgan
from gan_jax.sampler import Sampler
from tests import small

Z, SHAPE = 8, (64, 64, 3)


def run_of(generator, folder):
  """A run of a generator with random weights, as tools see it."""
  first = jax.eval_shape(
    lambda key: generator.init(key, np.zeros((1, Z), np.float32), train=True),
    jax.random.key(0),
  )
  draws = np.random.default_rng(0)
  draw = lambda x: np.float32(draws.normal(size=x.shape))
  variables = {name: jax.tree.map(draw, part) for name, part in first.items()}
  # Singular vectors are of length 1; initialising would find them, slowly.
  unit = lambda x: x / np.linalg.norm(x)
  variables['spectral'] = jax.tree.map(unit, variables['spectral'])
  c = small.config(latent=dict(size=Z))
  c.generator.name = 'fastgan'
  facts = {'shape': list(SHAPE), 'classes': []}
  player = types.SimpleNamespace(variables=variables)
  state = types.SimpleNamespace(ema=None, pair=types.SimpleNamespace(g=player))
  return restore.Restored(
    types.SimpleNamespace(path=folder, load_data=lambda: facts),
    c,
    types.SimpleNamespace(
      objective=types.SimpleNamespace(generator=generator), growth=None
    ),
    7,
    state,
  )


@pytest.fixture(name='run', scope='module')
def _run(tmp_path_factory):
  generator = fastgan.Generator(SHAPE, width=2, norm='layer')
  return run_of(generator, tmp_path_factory.mktemp('run'))


@pytest.fixture(name='mixed', scope='module')
def _mixed(run):
  """(gates, seeds, seeds of styles) -> pictures."""
  sampler = Sampler(run.config, run.experiment)
  mixed = jax.jit(sampler.mixed, static_argnums=0)

  def of(gates, seeds, styles, variables=None):
    labels = np.zeros(len(seeds), np.int32)
    z = sampler.latents(seeds), labels, sampler.latents(styles), labels
    return np.asarray(
      mixed(gates, variables or sampler.variables(run.state), *z)
    )

  of.sampler = sampler
  return of


def test_mixed_with_itself_is_the_plain_picture(run, mixed):
  """Noise, which all passes have in common, included."""
  seeds = [1, 2, 3]
  plain = mixed.sampler(mixed.sampler.variables(run.state), seeds)
  assert np.std(plain, 0).mean() > 0.01  # pictures differ
  itself = mixed((64,), seeds, seeds)
  np.testing.assert_allclose(itself, plain, atol=1e-5)
  np.testing.assert_allclose(mixed((), seeds, [4, 5, 6]), plain, atol=1e-5)
  other = mixed((64,), seeds, [2, 3, 1])
  assert np.abs(other - plain).mean() > 0.01


def test_a_style_acts_through_gates_alone(run, mixed):
  """Gates that are the same for all maps give everyone the same style."""
  variables = run.state.pair.g.variables
  gate = variables['spectral']['gate_64']
  # By so large a norm a layer is divided that nothing is left of it.
  gate = gate | {'excite': {k: 1e9 * x for k, x in gate['excite'].items()}}
  spectral = variables['spectral'] | {'gate_64': gate}
  constant = variables | {'spectral': spectral}
  a, b = (mixed((64,), [1, 2], s, constant) for s in ([1, 2], [3, 4]))
  np.testing.assert_allclose(a, b, atol=1e-6)
  assert np.isfinite(a).all()


def test_drivers_are_the_maps_below_every_gate():
  net = fastgan.Generator((256, 256, 3), width=4, sle_from=(8, 16))
  assert net.gates == (128, 256)
  z = np.zeros((2, Z), np.float32)

  def drivers(key):
    variables = net.init(key, z, train=False)
    return net.apply(variables, z, train=False, method='drivers')

  found = jax.eval_shape(drivers, jax.random.key(0))
  assert {k: v.shape[:3] for k, v in found.items()} == {
    128: (2, 8, 8),
    256: (2, 16, 16),
  }


def test_a_grid_of_contents_and_styles(run, mixed, tmp_path):
  _, settings = explore_lib.parse('mix:seeds=3,4,styles=4,9,5')
  mix.run(run, tmp_path, settings)
  grid = np.asarray(Image.open(tmp_path / 'mix_step_000000007.png'))
  assert grid.shape == (3 * 66 + 2, 4 * 66 + 2, 3)
  cell = lambda row, column: grid[2 + 66 * row : 66 + 66 * row,][
    :, 2 + 66 * column : 66 + 66 * column
  ].astype(int)
  near = lambda a, b: np.testing.assert_allclose(a, b, atol=2)
  assert (cell(0, 0) == 255).all()
  plain = mixed.sampler(mixed.sampler.variables(run.state), [3, 4, 9, 5])
  for place, k in (((1, 0), 0), ((2, 0), 1), ((0, 1), 1), ((0, 2), 2)):
    near(cell(*place), to_bytes(plain[k]))
  near(cell(2, 1), cell(2, 0))  # 4 in its own style
  wanted = mixed((64,), [3, 4], [5, 9])
  near(cell(1, 3), to_bytes(wanted[0]))
  near(cell(2, 2), to_bytes(wanted[1]))
  assert np.abs(cell(1, 3) - cell(1, 0)).mean() > 1


@pytest.mark.parametrize(
  'spec, words',
  [
    ('mix:gates=128', 'this generator excites have sides 64.'),
    ('mix:gates=1', '--tool=mix:gates = '),
    ('mix:styles=9-3', '--tool=mix:styles=9-3: 9-3 runs backwards'),
    ('mix:seeds=0-999,styles=0-999', 'megapixels: ask for fewer seeds'),
  ],
)
def test_a_mistake_ends_in_one_sentence(spec, words, run, tmp_path):
  with pytest.raises(UserError) as error:
    mix.run(run, tmp_path / 'out', explore_lib.parse(spec)[1])
  assert words in str(error.value) and not (tmp_path / 'out').exists()


def test_generators_without_gates_are_refused(tmp_path):
  run = run_of(fastgan.Generator(SHAPE, width=1, sle_from=()), tmp_path)
  with pytest.raises(UserError, match="this run, 'fastgan', has no gates"):
    mix.run(run, tmp_path / 'out', explore_lib.parse('mix')[1])


def test_neighbours_take_samples_that_are_trees(
  run, mixed, tmp_path, monkeypatch
):
  made = mixed.sampler(mixed.sampler.variables(run.state), [5])
  pictures = np.random.default_rng(0).integers(0, 256, (6, *SHAPE), np.uint8)
  pictures[4] = to_bytes(made)[0]

  class Pictures:
    name, classes, shape = 'noise', (), SHAPE

    def __len__(self):
      return len(pictures)

    def __getitem__(self, i):
      return pictures[i], 0

    def label(self, i):
      return 0

  monkeypatch.setattr(neighbours, 'open_source', lambda config: Pictures())
  run.run.check_same_data = lambda source: None
  neighbours.run(run, tmp_path, explore_lib.parse('neighbours:seeds=5,k=2')[1])
  found = json.loads((tmp_path / 'neighbours_step_000000007.json').read_text())
  for way in ('by_pixels', 'by_features'):
    first, second = found['samples'][0][way]
    assert first['picture'] == 4 and first['distance'] < second['distance'] / 9
