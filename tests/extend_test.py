"""Adding one thing takes one file and one line of a registry.

Each test plays the file and the line from outside the package: it registers a
loss, a penalty, a task, a network or a setting, names it in a config as a user
would, and trains a step with it. Observers: tests/observe/observers_test.py.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax import experiment, losses, networks, tasks
from gan_jax.errors import UserError
from gan_jax.help import explain
from gan_jax.losses.adversarial import Separable
from gan_jax.losses.penalties import penalty
from gan_jax.mesh import one_device
from gan_jax.networks import Judgement
from gan_jax.settings import Setting, field
from gan_jax.terms import Kind, Term
from gan_jax.validate import validate
from tests import small


def stepped(config):
  """The first state of a config's run, the next one, and the metrics."""
  validate(config)
  made = experiment.build(config, small.SHAPE, 0)
  (span,), (stage,), _ = made.growth
  state = experiment.initial_state(made, 0, one_device())
  step = jax.jit(made.make_step(stage))
  new, metrics = step(state, {}, small.batch(stage.draws), span)
  return state, new, jax.device_get(metrics)


@dataclasses.dataclass(frozen=True)
class Margin(Separable):
  """A loss with a setting of its own."""

  margin: float = field(Setting(1.0, 'how far apart', above=0.0))

  @property
  def symmetric(self):
    return False

  def d_loss(self, real, fake, carried, key=None):
    return jnp.mean(nn.relu(self.margin - real) + nn.relu(self.margin + fake))

  def g_loss(self, real, fake, carried, key=None):
    return -jnp.mean(fake)


def test_a_loss_with_a_setting(monkeypatch):
  monkeypatch.setitem(losses.LOSSES, 'margin', Margin(None, None))
  config = small.config(loss=dict(name='margin', margin=3.0))
  _, _, metrics = stepped(config)
  scores = metrics['d_real'], metrics['d_fake']
  # All scores of fresh networks lie within the margin: both relus are open.
  assert metrics['d_loss'] == pytest.approx(6 - scores[0] + scores[1], rel=1e-5)
  assert 'how far apart' in explain('loss')
  config_lib.override(config.unlock(), 'loss.margin', '-1')
  with pytest.raises(UserError, match='config.loss.margin = -1.0 must be'):
    validate(config)


def test_a_penalty_with_a_setting(monkeypatch):
  flat = lambda view, *, power: jnp.mean(jnp.abs(view.scores_real) ** power)
  kind = penalty(
    flat,
    '|D|^power at real samples',
    reads=['scores_real'],
    power=Setting(2.0, 'the exponent', low=1.0, high=4.0),
  )
  monkeypatch.setitem(losses.PENALTIES, 'flat', kind)
  config = small.config(
    penalties=dict(flat=dict(weight=10.0, power=3.0, every=1, phase='with'))
  )
  _, _, metrics = stepped(config)
  assert metrics['flat'] > 0
  plain = stepped(small.config())[2]
  expected = plain['d_loss'] + 10 * metrics['flat']
  assert metrics['d_loss'] == pytest.approx(expected, rel=1e-4)
  assert 'the exponent' in explain('penalties.flat')


def test_a_task_with_a_head(monkeypatch):
  """D's last map tells where the point was; the head is D's optimiser's."""

  def where() -> Term:
    def init(view, key):
      wide = view.on_real.features['1'].shape[-1]
      return {'w': 0.1 * jax.random.normal(key, (wide, 2))}, {}

    def value(own, view):
      guess = view.on_real.features['1'] @ own['w']
      return jnp.mean((guess - view.real) ** 2), {}, {}

    return Term('d', value, frozenset(['features_real']), init)

  kind = Kind(where, 'how well D knows where a point was')
  monkeypatch.setitem(tasks.TASKS, 'where', kind)
  config = small.config(
    tasks=dict(where=dict(weight=2.0, every=1, phase='with'))
  )
  before, after, metrics = stepped(config)
  heads = [s.pair.d.params['terms']['where']['w'] for s in (before, after)]
  assert not np.array_equal(*heads) and metrics['where'] > 0


class Line(nn.Module):
  """A discriminator of one layer, times a setting."""

  kinds = ('points',)
  per_sample = True

  shape: tuple
  classes: int = 0
  gain: float = field(Setting(1.0, 'factor of the score', above=0.0))

  @nn.compact
  def __call__(self, x, labels=None, *, train):
    return Judgement(self.gain * nn.Dense(1)(x)[:, 0], {})


def test_a_network_with_a_setting(monkeypatch):
  monkeypatch.setitem(networks.DISCRIMINATORS, 'line', Line)
  config = small.config().unlock()
  config.discriminator = dict(name='line', gain=2.0)
  before, after, _ = stepped(config.lock())
  assert before.pair.d.params['Dense_0']['kernel'].shape == (2, 1)
  assert not small.identical(before.pair.d.params, after.pair.d.params)
  assert 'factor of the score' in explain('discriminator:line')
  config.unlock().discriminator.gain = 0.0
  with pytest.raises(UserError, match='discriminator.gain = 0.0 must be'):
    validate(config)


def test_a_setting_of_a_section(monkeypatch):
  from gan_jax.nn import latent

  setting = Setting(1.0, 'factor of latent vectors', above=0.0, high=9.0)
  monkeypatch.setitem(latent.SETTINGS, 'stretch', setting)
  config = config_lib.defaults()
  assert config.latent.stretch == 1.0
  config_lib.override(config, 'latent.stretch', '2.5')
  assert config.latent.stretch == 2.5
  older = small.config().to_dict()
  older['latent'].pop('stretch')
  assert config_lib.filled(older).latent.stretch == 1.0
  bad = small.config().unlock()
  bad.latent.stretch = 10.0
  with pytest.raises(UserError, match='latent.stretch = 10.0 must be'):
    validate(bad)
