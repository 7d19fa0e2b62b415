"""What passes between eight devices in a step of each method: gradients' sums.

Convolutions are XLA's own, as everywhere but on a CPU: what is fast there goes
through the batch in a loop, for which all of it is gathered.
"""

import functools

import jax
import pytest
from jax.interpreters import mlir

from gan_jax import config as config_lib
from gan_jax import experiment
from gan_jax.data import open_source
from gan_jax.engine import Engine
from gan_jax.mesh import make_mesh
from gan_jax.nn import conv, conv_forms, conv_plain
from gan_jax.plan import hlo
from gan_jax.restore import like
from gan_jax.schemes import ensemble

# How often each player's parameters are summed at most. This compiler sums what
# each pass of a network contributes by itself, the TPU's after adding it up
# (see topology_test.py): real samples, fakes, a penalty's two orders.
PASSES = {
  'dcgan_cifar.py:test': (1, 2),
  'osgan_cifar.py:test': (1, 2),
  'wgan_gp_cifar.py:test': (1, 5 * 3),
  'progan_cifar.py:test': (1, 5),
  'stylegan2_cifar.py:test': (1, 4),
  'glead_folder.py:test': (2, 8),  # path length's update of G
  'fastgan_folder.py:test': (1, 2),
  'classifier_cifar.py:test': (0, 1),
  'distill_cifar.py:test': (1, 1),
}


@pytest.fixture
def own_convolutions():
  """XLA's convolutions on the CPU."""
  use = lambda form: mlir.register_lowering(
    conv.form_p, mlir.lower_fun(form, multiple_results=False), platform='cpu'
  )
  use(conv_plain.every)
  yield
  use(functools.partial(conv_forms.form, platform='cpu'))


def last_step(spec, *overrides):
  """Collectives of the last stage's step; numbers of G's and D's parameters."""
  more = [('train.batch', '32'), *overrides]
  config = config_lib.load(f'configs/{spec}', more)
  source = open_source(config.data)
  mesh = make_mesh(config.mesh, ensemble.parts(config.ensemble))
  made = experiment.build(config, source.shape, len(source.classes))
  engine = Engine(config, made, source, mesh, planned=True)
  turn = engine.ready(engine.total - 1)
  engine.close()
  pair = like(made, mesh).pair
  count = lambda player: sum(
    x.size for x in jax.tree.leaves(player and player.params)
  )
  text = turn.compiled.as_text()
  return hlo.collectives(text), count(pair.g), count(pair.d), mesh.shape


@pytest.mark.release
@pytest.mark.parametrize('spec', PASSES)
def test_gradients_are_summed_and_nothing_is_gathered(spec, own_convolutions):
  found, g, d, mesh = last_step(spec)
  assert dict(mesh) == {'data': 8, 'pair': 1}
  assert set(found) == {'all-reduce'}
  summed = found['all-reduce'].bytes / 4
  of_g, of_d = PASSES[spec]
  # Statistics of norms and metrics come on top.
  assert 0.95 * (g + d) <= summed <= 1.05 * (of_g * g + of_d * d) + 1000


@pytest.mark.release
@pytest.mark.parametrize('spec', ['sgan_cifar.py:test', 'sgan_text.py:test'])
def test_pairs_on_their_own_devices_gather_nothing(spec, own_convolutions):
  """How much is summed, ensemble_devices_test.py has of Algorithm 1."""
  found, _, _, mesh = last_step(spec)
  assert dict(mesh) == {'data': 4, 'pair': 2}
  assert set(found) == {'all-reduce'}


@pytest.mark.slow
@pytest.mark.parametrize('at_once', ['1', '1000'])
def test_pairs_that_share_devices_gather_nothing(at_once, own_convolutions):
  turns = [('mesh.pair', '1'), ('ensemble.at_once', at_once)]
  found, _, _, mesh = last_step('sgan_cifar.py:test', *turns)
  assert dict(mesh) == {'data': 8, 'pair': 1}
  assert set(found) == {'all-reduce'}
