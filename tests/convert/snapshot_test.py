"""ProGAN's snapshots: pickles of three networks, as a run."""

import functools
import pickle
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_jax import convert, released
from gan_jax.convert import files
from gan_jax.data.source import to_bytes
from gan_jax.errors import UserError
from gan_jax.evaluate import evaluate
from gan_jax.mesh import one_device
from gan_jax.networks import progan
from gan_jax.nn import latent
from gan_jax.restore import restore
from gan_jax.sample import sample
from gan_jax.train import train
from tests import small

SHAPE, Z = (8, 8, 3), 5
TINY = dict(fmap_base=16, fmap_max=6)
DATA = [
  ('data.source', 'digits'),
  ('metrics.samples', '8'),
  ('metrics.names', 'scores'),
  ('train.batch', '4'),
  ('train.tensorboard', 'false'),
  ('mesh.data', '1'),
  ('penalties.wgan_gp.weight', '0'),  # quicker to compile
]


def module_of(kind, classes=0):
  if kind == 'discriminator':
    more = dict(group_layout='strided', fused_scale_order=True)
    return progan.Discriminator(SHAPE, classes, **TINY, **more)
  sphere = 'joint' if classes else 'latent'
  return progan.Generator(SHAPE, classes, **TINY, sphere=sphere)


@functools.cache
def variables_of(kind, seed, classes=0):
  """(module, its variables, under released names) of a random network."""
  module = module_of(kind, classes)
  sample = jnp.zeros((1, Z) if kind == 'generator' else (1, *SHAPE))
  variables = small.init(module, sample, jnp.zeros(1, jnp.int32))
  rng = np.random.default_rng(seed)
  draw = lambda x: rng.standard_normal(x.shape, np.float32)
  variables = jax.tree.map(draw, variables)
  own = convert.under_released_names(f'progan.{kind}', variables, fused=True)
  return module, variables, own


def state_of(own, lod=0.0, **told):
  """What the pickle of a network holds."""
  return {
    'version': 2,
    'name': 'some',
    'static_kwargs': dict(told, resolution=8, num_channels=3, dtype='float32'),
    'build_module_src': 'raise SystemExit("executed")',
    'build_func_name': 'build',
    'variables': [('lod', np.float32(lod)), *own.items()],
  }


@pytest.fixture(name='write')
def _write(tmp_path, monkeypatch):
  """(states, protocol) -> the pickle of so many networks, as tfutil's are."""

  def forbidden(self, state):
    raise AssertionError('a class of the file was asked')

  network = type('Network', (), {'__module__': 'tfutil'})
  network.__getstate__ = lambda self: self.held
  network.__setstate__ = forbidden
  module = types.ModuleType('tfutil')
  module.Network = network

  def write(*states, protocol=pickle.HIGHEST_PROTOCOL, name='snapshot.pkl'):
    made = []
    for state in states:
      made.append(network())
      made[-1].held = state
    monkeypatch.setitem(sys.modules, 'tfutil', module)
    content = pickle.dumps(tuple(made) if made[1:] else made[0], protocol)
    monkeypatch.delitem(sys.modules, 'tfutil')
    (tmp_path / name).write_bytes(content)
    return str(tmp_path / name)

  return write


def snapshot(classes=0, **more):
  """Variables of G, D and Gs, and the states of the three."""
  made, states = {}, []
  for seed, (name, kind) in enumerate(
    [('G', 'generator'), ('D', 'discriminator'), ('Gs', 'generator')]
  ):
    _, made[name], own = variables_of(kind, seed, classes)
    told = dict(label_size=classes)
    if kind == 'discriminator':
      told['mbstd_group_size'] = 2
    states.append(state_of(own, **told, **more))
  return made, states


@pytest.mark.parametrize('protocol', [2, 3, 4])
def test_arrays_by_name(write, protocol):
  made, states = snapshot()
  arrays = files.read(write(*states, protocol=protocol))
  assert {name.partition('.')[0] for name in arrays} == set(made)
  for name, state in zip(made, states, strict=True):
    for key, array in state['variables']:
      np.testing.assert_array_equal(arrays[f'{name}.{key}'], array)
  assert arrays['D.static_kwargs/mbstd_group_size'] == 2
  assert not any('build' in key or 'dtype' in key for key in arrays)


@pytest.mark.slow
def test_it_is_sampled_scored_and_trained_on(write, tmp_path):
  made, states = snapshot()
  folder = tmp_path / 'run'
  released.run(write(*states), folder, overrides=DATA)
  _, config, _, _, state = restore(folder, one_device())
  assert small.identical(state.pair.g.params, made['G']['params'])
  assert small.identical(state.pair.d.params, made['D']['params'])
  assert small.identical(state.ema.params, made['Gs']['params'])
  assert config.discriminator.group_size == 2 and config.latent.size == Z

  sample(folder, '3', None, None)
  z = latent.by_seed([3], Z, 'normal')
  make = lambda v: module_of('generator').apply(v, z, train=False)
  file = folder / 'samples' / 'step_000000000' / 'seed0003.png'
  found = np.asarray(Image.open(file))
  np.testing.assert_allclose(found, to_bytes(make(made['Gs']))[0], atol=1)
  assert np.abs(found - to_bytes(make(made['G']))[0]).max() > 1

  assert evaluate(folder)['step'] == 0
  with config.unlocked():
    config.train.steps = 1
  train(config, folder)
  after = restore(folder, one_device())
  assert after.step == 1
  # Adam's first step: no weight moves further than the rate.
  for player in ('g', 'd'):
    old, new = (getattr(s.pair, player) for s in (state, after.state))
    moved = np.abs(small.flat(new.params) - small.flat(old.params))
    assert 0 < moved.max() <= 1e-3 * 1.01


def test_labels_are_those_that_the_pickle_tells(write, tmp_path):
  made, states = snapshot(classes=3)
  folder = tmp_path / 'run'
  released.run(write(*states), folder, overrides=DATA)
  _, config, _, _, _ = restore(folder, one_device())
  assert config.data.conditional and config.latent.size == Z
  assert config.generator.sphere == 'joint'
  sample(folder, '4', None, 2)
  z, label = latent.by_seed([4], Z, 'normal'), jnp.array([2])
  # By hand: behind z the one-hot label, all of it of mean square 1.
  both = np.concatenate([z, np.eye(3)[None, 2]], 1)
  both /= np.sqrt(np.mean(both**2))
  module = module_of('generator', 3)
  styles = module.styles(z, label, train=False)
  np.testing.assert_allclose(styles, both, rtol=1e-5)
  expected = module.apply(made['Gs'], z, label, train=False)
  (file,) = (folder / 'samples').rglob('*0004*.png')
  found = np.asarray(Image.open(file))
  np.testing.assert_allclose(found, to_bytes(expected)[0], atol=1)


def test_of_bare_arrays_the_discriminator_tells_the_labels(tmp_path):
  for name, kind in (('g', 'generator'), ('d', 'discriminator')):
    np.savez(tmp_path / f'{name}.npz', **variables_of(kind, 0, classes=3)[2])
  g, d = (str(tmp_path / f'{name}.npz') for name in 'gd')
  networks = released.open_networks([g, d])
  assert networks['generator'].module.classes == 3
  assert networks['discriminator'].module.group_size == 4
  # Alone, nothing tells it from one with longer latent vectors.
  (alone,) = released.open_networks([g]).values()
  assert alone.module.classes == 0


def test_one_network_alone(write):
  _, variables, own = variables_of('generator', 0)
  networks = released.open_networks([write(state_of(own))])
  assert small.identical(networks['generator'].variables, variables)
  config, _ = released.make_config(networks)  # spec 1.3, where none is named
  assert (config.loss.name, config.ema.decay) == ('wasserstein', 0.999)
  rules = config.optimizer.generator, config.optimizer.discriminator
  assert {(r.lr, r.b1, r.b2) for r in rules} == {(1e-3, 0.0, 0.99)}


@pytest.mark.parametrize(
  'change, words',
  [
    (dict(lod=2.5), 'lod is 2.5: this snapshot'),
    (dict(label_size=2.5), 'static_kwargs/label_size is no whole number'),
    (dict(label_size=9), 'label_size is 9, and G has 5 inputs'),
  ],
)
def test_what_cannot_be_a_run_is_refused(write, change, words):
  own = variables_of('generator', 0)[2]
  with pytest.raises(UserError, match=words) as error:
    released.open_networks([write(state_of(own, **change))])
  assert '\n' not in str(error.value)


def test_another_class_is_refused_by_name(write, tmp_path):
  file = write(state_of({}))
  content = open(file, 'rb').read().replace(b'tfutil', b'sysutl')
  (tmp_path / 'other.pkl').write_bytes(content)
  with pytest.raises(UserError, match='wants to run sysutl.Network: refused'):
    files.read(tmp_path / 'other.pkl')


@pytest.mark.parametrize(
  'state',
  [
    dict(variables=3),
    dict(variables=[('a', 1, 2)]),
    dict(variables=[(1, np.ones(2))]),
    dict(variables=[('a', np.ones(2)), ('a', np.ones(2))]),
    dict(static_kwargs=[1]),
    [1],
  ],
)
def test_a_damaged_state_is_one_sentence(write, state):
  with pytest.raises(UserError, match='damaged'):
    files.read(write(state))
