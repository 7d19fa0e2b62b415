"""Every method on eight devices and on one: the same curves."""

import jax
import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax import experiment
from gan_jax.data import open_source
from gan_jax.mesh import make_mesh, one_device, replicated
from gan_jax.schemes import ensemble

STEPS = 5
# A gradient's sign is rounding's where it is zero, and Adam moves by signs.
SGD = dict(name='sgd', lr=0.01, b1=0.0)
# At 0.01 these drift apart, from 1e-7 at the first step on, by ten times a step
# and more, as two orders of a sum let them.
RATES = {'fastgan': 3e-5, 'distill': 1e-3}
METHODS = {
  'dcgan, two stages': ('dcgan_cifar.py:test', {}),
  'dcgan, one stage': (
    'osgan_cifar.py:loss=dcgan,test',
    {},
  ),
  'sgan': ('sgan_cifar.py:n=2,loss=wgan_gp,test', {}),
  'progan': ('progan_cifar.py:test', {'growth.start': 0}),
  'fastgan': ('fastgan_folder.py:test', {}),
  'stylegan2': ('stylegan2_cifar.py:test', {}),
  'glead': ('glead_folder.py:test', {}),
  'distill': ('distill_cifar.py:method=dfad,test', {}),
}


def curves(config, mesh):
  """Metrics of the first steps, by name, [STEPS]."""
  source = open_source(config.data)
  made = experiment.build(config, source.shape, len(source.classes))
  (span,), (stage,), _ = made.growth
  feed = experiment.make_feed(config, stage, source, mesh)
  state = experiment.initial_state(made, 0, mesh)
  quick = {'xla_backend_optimization_level': 0}
  constants = {
    name: jax.device_put(
      jax.jit(first, compiler_options=quick)(jax.random.key(0)),
      replicated(mesh),
    )
    for name, first in made.constants.items()
  }
  batches, span = feed.batches(0), jax.tree.map(np.int32, span)
  step, lines = None, []
  for _ in range(STEPS):
    given = state, constants, feed.table, next(batches), span
    if step is None:
      jitted = experiment.compile_step(made, stage, feed.decode, mesh)
      step = jitted.lower(*given).compile(compiler_options=quick)
    state, metrics = step(*given)
    lines.append(jax.device_get(metrics))
  batches.close()
  return {name: np.array([line[name] for line in lines]) for name in lines[0]}


@pytest.mark.release
@pytest.mark.parametrize('method', METHODS)
def test_curves_on_eight_devices_are_those_on_one(method):
  spec, changes = METHODS[method]
  config = config_lib.load(f'configs/{spec}')
  with config.unlocked():
    for rule in config.optimizer.values():
      rule.update(SGD, lr=RATES.get(method, SGD['lr']))
    for path, value in changes.items():
      section, key = path.split('.')
      config[section][key] = value
  mesh = make_mesh(config.mesh, ensemble.parts(config.ensemble))
  assert mesh.size == 8
  many, alone = curves(config, mesh), curves(config, one_device())
  assert many.keys() == alone.keys()
  for name, wanted in alone.items():
    scale = max(np.abs(wanted).max(), 1e-2)
    np.testing.assert_allclose(
      many[name], wanted, rtol=1e-3, atol=1e-3 * scale, err_msg=name
    )
    first = wanted[0]  # before an update
    assert many[name][0] == pytest.approx(first, rel=1e-5, abs=1e-5), name
  assert any(np.ptp(curve) > 1e-4 for curve in alone.values())
