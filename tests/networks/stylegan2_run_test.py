"""StyleGAN2 in training: mixed styles, a run with both lazy terms, devices."""

import functools
import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from gan_jax import config as config_lib
from gan_jax.errors import UserError
from gan_jax.mesh import make_mesh, one_device
from gan_jax.networks import stylegan2
from gan_jax.plan import hlo
from gan_jax.restore import restore
from gan_jax.sample import sample
from gan_jax.train import train
from gan_jax.validate import validate
from tests import small
from tests.networks.stylegan2_test import QUICK, SMALL, variables_of
from tests.schemes.devices_test import on_mesh

CONFIG = pathlib.Path(__file__).parents[2] / 'configs/stylegan2_folder.py:test'
COUNT = 600


@functools.cache
def styles(mixing, train=True):
  """[COUNT, L, 8], the mean w after them, and how they are without mixing."""
  net = stylegan2.Generator(**SMALL, style_size=8, mixing=mixing)
  z = jax.random.normal(jax.random.key(1), (COUNT, 8))
  variables = variables_of(net, z)
  # Of the size that the slow rate of the mapping network goes with.
  mapping = variables['params']['mapping']
  variables['params']['mapping'] = jax.tree.map(lambda x: 100 * x, mapping)
  run = lambda z: net.apply(
    variables,
    z,
    train=train,
    method='styles',
    mutable=['w_average'],
    rngs={'noise': jax.random.key(2)},
  )
  found, new = jax.jit(run, compiler_options=QUICK)(z)
  return np.asarray(found), np.asarray(new['w_average']['mean'])


def test_two_w_a_sample_from_a_layer_of_its_own_on():
  plain, mean = styles(0.0)
  assert np.ptp(plain, axis=1).max() < 1e-5  # one w for all layers
  mixed, mean_too = styles(1.0)
  other = np.abs(mixed - plain).max(-1) > 1e-4  # [COUNT, L]
  assert not other[:, 0].any() and other[:, -1].all()
  # It changes once, and the second w is one for all the layers it has.
  assert (np.diff(other.astype(int), axis=1) >= 0).all()
  last = np.where(other[..., None], mixed - mixed[:, -1:], 0.0)
  assert np.abs(last).max() < 1e-5
  # Each layer but the first is as likely to be where it does.
  layers = plain.shape[1]
  counts = np.bincount(other.argmax(1), minlength=layers)
  assert counts[0] == 0
  expected = COUNT / (layers - 1)
  assert np.sum((counts[1:] - expected) ** 2 / expected) < 25  # chi^2 of 6
  # The second w is no other sample's, and does not count in the mean.
  gaps = np.abs(mixed[:50, None, -1] - plain[None, :, 0]).max(-1)
  assert gaps.min() > 1e-4
  np.testing.assert_array_equal(mean_too, mean)


def test_mixing_is_a_share_of_the_samples_and_none_in_use():
  plain, _ = styles(0.0)
  some, _ = styles(0.9)
  share = np.mean(np.abs(some - plain).max((1, 2)) > 1e-4)
  assert abs(share - 0.9) < 5 * np.sqrt(0.09 / COUNT)
  in_use = [styles(mixing, train=False)[0] for mixing in (0.0, 0.9)]
  np.testing.assert_array_equal(*in_use)


def test_path_length_needs_a_generator_with_styles():
  c = small.config(penalties=dict(path_length=dict(weight=2.0)))
  with pytest.raises(UserError) as refused:
    validate(c)
  text = str(refused.value)
  assert "'mlp' does not" in text and "'stylegan2'" in text
  assert 'config.penalties.path_length.weight = 0.0' in text


def config(*overrides):
  """The shrunken run: R1 and path length at steps 0 and 2."""
  more = [
    *((f'{role}.fmap_max', '4') for role in ('generator', 'discriminator')),
    ('penalties.r1.every', '2'),
    ('penalties.path_length.every', '2'),
  ]
  return config_lib.load(str(CONFIG), [*more, *overrides])


@pytest.mark.slow
def test_a_run_goes_on_bit_for_bit_and_gives_samples(tmp_path):
  """An ensemble of two did too, once; it takes eight minutes to compile."""
  make = lambda steps: config(('mesh.data', '1'), ('train.steps', steps))
  whole, parts = tmp_path / 'whole', tmp_path / 'parts'
  train(make('4'), whole)
  train(make('2'), parts)
  train(make('4'), parts)
  states = [restore(run, one_device()).state for run in (whole, parts)]
  assert small.identical(*states)
  g, average = states[0].pair.g, states[0].ema
  for name in ('w_average', 'noise_maps'):
    assert small.identical(average.stats[name], g.stats[name])
  assert np.any(average.stats['w_average']['mean'])
  assert not small.identical(average.params, g.params)
  assert g.stats['terms']['path_length']['carried']['mean'] > 0
  sample(whole, '0-1', None, None)
  files = [*whole.glob('samples/*/seed*.png')]
  assert [Image.open(f).size for f in files] == [(32, 32)] * 2


@pytest.mark.slow
def test_eight_devices_reduce_gradients_and_gather_nothing():
  """A step with both lazy terms: its losses and state are those of one."""
  sgd = [
    (f'optimizer.{role}.{name}', value)
    for role in ('generator', 'discriminator')
    for name, value in dict(name='sgd', lr='0.01', b1='0.0').items()
  ]
  c = config(('train.batch', '32'), *sgd)  # groups of 4, halves of 16
  many, on_eight = on_mesh(c, make_mesh(c.mesh))
  one, on_one = on_mesh(c, one_device())
  passed = hlo.collectives(many.as_text())
  assert set(passed) == {'all-reduce'}
  reduced = passed['all-reduce'].bytes / 4
  pair = on_eight[0].pair
  parameters = len(small.flat((pair.g.params, pair.d.params)))
  # Once in each of the two updates that each player has; of kernels that a pass
  # uses twice (two batches of D, second derivatives) each part by itself.
  assert 2 * parameters <= reduced <= 3 * parameters
  flops = [compiled.cost_analysis()['flops'] for compiled in (many, one)]
  assert flops[0] < flops[1] / 6
  np.testing.assert_allclose(
    small.flat(on_eight), small.flat(on_one), rtol=1e-3, atol=1e-5
  )
