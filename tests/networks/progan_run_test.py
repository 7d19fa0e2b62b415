"""ProGAN's networks in a run: settings, a run that grows."""

import jax
import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax import experiment, networks
from gan_jax.data import open_source
from gan_jax.engine import Engine
from gan_jax.errors import UserError
from gan_jax.help import explain
from gan_jax.mesh import one_device
from gan_jax.schemes.growth import Growth
from gan_jax.state import Span, Stage
from gan_jax.validate import validate
from tests import small
from tests.networks.progan_test import TINY, Z


def config(**sections):
  """A shrunken config of both networks on digits of 16 px."""
  c = config_lib.defaults().unlock()
  c.data.update(source='digits', resolution=16, channels=1)
  c.generator = dict(name='progan', **TINY)
  c.discriminator = dict(name='progan', **TINY)
  c.loss.name = 'wasserstein'
  c.penalties.wgan_gp.weight = 10.0
  c.penalties.drift.weight = 1e-3
  c.latent.size = Z
  c.train.update(batch=8, steps=4)
  for name, values in sections.items():
    c[name].update(values)
  return c.lock()


def test_settings_are_what_a_config_may_say():
  for role in ('generator', 'discriminator'):
    own = networks.settings(role, 'progan')
    assert {'fmap_base', 'fmap_decay', 'fmap_max', 'norm'} <= set(own)
    assert not {'resolution', 'shape', 'classes'} & set(own)
    text = explain(f'{role}:progan')
    assert all(name in text and entry.text for name, entry in own.items())
  validate(config())
  with pytest.raises(UserError, match="no setting 'resolution'"):
    validate(config(generator=dict(resolution=8)))
  with pytest.raises(UserError, match="'progan' works on pictures of 4, 8"):
    experiment.build(config(), (48, 48, 1), 0)
  with pytest.raises(UserError, match='one_stage'):
    validate(
      config(scheme=dict(name='one_stage'), loss=dict(name='non_saturating'))
    )


# What rows a to h of Table 1 (paper, section 6.1) take from or add to the
# networks; appendix A.2 and spec/progan.md section 1.3 have the values.
GULRAJANI = (
  dict(norm='batch', slope=0.0, tanh=True, sphere='none', equalised=False),
  dict(norm='layer', group_size=1, equalised=False),
)
NO_NORMS = (
  dict(norm='none', equalised=False),
  dict(norm='none', group_size=1, equalised=False),
)
ROWS = {
  'a': GULRAJANI,
  'b': GULRAJANI,
  'c': GULRAJANI,
  'd': NO_NORMS,
  'e*': (NO_NORMS[0], NO_NORMS[1] | dict(discrimination=100)),
  'e': (NO_NORMS[0], NO_NORMS[1] | dict(group_size=4)),
  'f': (dict(norm='none'), dict(group_size=4)),
  'g': ({}, dict(group_size=4)),
  'h': ({}, dict(group_size=4)),
}


@pytest.mark.parametrize('row', ROWS)
def test_each_row_of_table_1_is_settings(row):
  g, d = ROWS[row]
  c = config(generator=g, discriminator=d)
  validate(c)
  game = experiment.build_game(c, (8, 8, 1), 0)
  shapes = lambda net, x: jax.eval_shape(
    lambda: net.init(jax.random.key(0), x, train=True)
  )
  z, x = np.zeros((4, Z), 'f'), np.zeros((4, 8, 8, 1), 'f')
  on_g, on_d = shapes(game.generator, z), shapes(game.discriminator, x)
  early = row in 'abc'
  assert ('batch_stats' in on_g) == early
  assert any('norm' in name for name in on_d['params']) == early
  assert ('beside' in on_d['params']) == (row == 'e*')
  # One channel more where the deviation stands beside the map.
  spread = row in ('e', 'f', 'g', 'h')
  wide = on_d['params']['conv_4_0']['kernel'].shape[2]
  assert wide == game.discriminator.width(4) + spread
  assert game.discriminator.per_sample == (row in 'abcd')


def test_a_run_that_grows():
  """4 px, then 8 px faded in: finite, and each stage moves its own levels."""
  c = config(data=dict(conditional=True))
  source = open_source(c.data)
  low, high = Stage(4, 8, 1, 8), Stage(8, 8, 1, 8)
  grown = Growth(
    (Span(), Span(2, 16, 16, fade_from=16, fade_images=16)), (low, high)
  )
  game = experiment.build_game(c, source.shape, 10)
  made = experiment.assemble(c, game, source.shape, grown)
  engine, params = Engine(c, made, source, one_device()), []
  engine.enter(0)
  state = engine.first()
  for _ in range(4):
    state, metrics = engine.step(state)
    assert all(np.isfinite(v) for v in jax.device_get(metrics).values())
    params.append(jax.device_get((state.pair.g.params, state.pair.d.params)))
  engine.close()
  for role, name in enumerate(('to_rgb_8', 'from_rgb_8')):
    at = [step[role][name] for step in params]
    assert small.identical(at[0], at[1]) and not small.identical(at[1], at[3])
    high_ = [step[role]['conv_16_0'] for step in params]
    assert small.identical(high_[0], high_[3])
