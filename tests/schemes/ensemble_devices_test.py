"""Ensembles on several devices, in whole runs, and what is refused."""

import re

import jax
import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax import experiment
from gan_jax.data import open_source
from gan_jax.errors import UserError
from gan_jax.mesh import make_mesh, one_device
from gan_jax.plan import hlo
from gan_jax.restore import restore
from gan_jax.run.folder import RunDir
from gan_jax.schemes import ensemble
from gan_jax.train import train
from gan_jax.validate import validate
from tests import small

SGD = dict(name='sgd', lr=0.05, b1=0.0)


def points(scheme='two_stage', **values):
  """An ensemble of four tiny pairs on points."""
  rules = dict(generator=SGD, discriminator=SGD)
  config = small.config(optimizer=rules, scheme=dict(name=scheme)).unlock()
  config.ensemble.update(dict(pairs=4) | values)
  validate(config)
  return config.lock()


def compiled(config, mesh):
  """A compiled step with its arguments."""
  source = open_source(config.data)
  made = experiment.build(config, source.shape, len(source.classes))
  (span,), (stage,), _ = made.growth
  feed = experiment.make_feed(config, stage, source, mesh)
  state = experiment.initial_state(made, 0, mesh)
  raw = next(feed.batches(0))
  step = experiment.compile_step(made, stage, feed.decode, mesh)
  arguments = state, {}, feed.table, raw, jax.tree.map(np.int32, span)
  return step.lower(*arguments).compile(), *arguments


@pytest.mark.parametrize(
  'values',
  [
    dict(pairs=8, memory=0.9),
    dict(scheme='one_stage', reduce='sum', weight_sharing=0.5),
    dict(real='shared', noise='shared', messengers=False),
  ],
  ids=['1 x 8', '2 x 4, one_stage, shared layers', '2 x 4, shared draws'],
)
def test_pairs_spread_over_eight_devices_equal_pairs_on_one(values):
  """And nothing but sums of gradients and means passes between devices."""
  config = points(**values)
  count = config.ensemble.pairs
  mesh = make_mesh(config.mesh, ensemble.parts(config.ensemble))
  assert dict(mesh.shape) == {'data': 8 // count, 'pair': count}
  many, state, *batch = compiled(config, mesh)
  for x in jax.tree.leaves((state.local_pairs, state.messengers)):
    assert x.sharding.shard_shape(x.shape) == (1, *x.shape[1:])
  parameters = len(small.flat((state.pair.g.params, state.pair.d.params)))
  text = many.as_text()
  state, metrics = many(state, *batch)
  for x in jax.tree.leaves((state.local_pairs, state.messengers)):
    assert x.sharding.shard_shape(x.shape) == (1, *x.shape[1:])

  alone, on_one = (step := compiled(config, one_device()))[0](*step[1:])
  for a, b in ((state, alone), (metrics, on_one)):
    np.testing.assert_allclose(
      small.flat(a), small.flat(b), rtol=1e-4, atol=1e-6
    )

  # Algorithm 1 needs sums over the pairs: G_0's gradient, D_0's, and here the
  # metrics. No device gets another's pair or minibatch.
  passed = hlo.collectives(text)
  assert set(passed) == {'all-reduce'}
  reduced = passed['all-reduce'].bytes / 4
  if count == 8:
    assert parameters <= reduced <= parameters + len(metrics)
  else:  # over `data`, too: its own pair, its messenger, both global players,
    # and what local pairs share
    assert parameters <= reduced <= 6 * parameters + len(metrics)


def test_devices_get_equally_many_pairs():
  def shape(pairs, **section):
    section = config_lib.ml_collections.ConfigDict(
      dict(data=0, pair=0) | section
    )
    mesh = make_mesh(section, pairs)
    return mesh.shape['data'], mesh.shape['pair']

  # Eight devices, none idle.
  assert shape(8) == (1, 8) and shape(4) == (2, 4) and shape(16) == (1, 8)
  assert shape(10) == (4, 2) and shape(5) == (8, 1) and shape(1) == (8, 1)
  # As asked for, or the nearest divisor below.
  assert shape(10, data=1) == (1, 5) and shape(5, data=1) == (1, 5)
  assert shape(5, pair=5) == (1, 5) and shape(4, pair=2, data=1) == (1, 2)
  assert shape(5, pair=8) == (1, 5) and shape(10, pair=4) == (4, 2)


def test_a_mesh_that_pairs_do_not_fill_is_told(caplog):
  section = config_lib.defaults().mesh
  section.pair = 4
  make_mesh(section, 10)
  assert (
    'config.mesh.pair = 4 does not divide the 10 local pairs' in caplog.text
  )


def test_what_is_sequential_lies_on_one_device():
  assert ensemble.parts(points().ensemble) == 4
  assert ensemble.parts(points(g_updates='each').ensemble) == 1
  assert ensemble.parts(points(pairs=0).ensemble) == 1


@pytest.mark.slow
def test_a_run_goes_on_bit_for_bit_and_shows_the_locals(tmp_path):
  """Two pairs on eight devices: pair 2 x data 4."""
  whole = small.config().unlock()
  whole.ensemble.update(pairs=2, messengers=False)
  whole.lock()
  half = whole.copy_and_resolve_references()
  half.train.steps = 2
  train(whole, tmp_path / 'a')
  train(half, tmp_path / 'b')
  train(whole, tmp_path / 'b')
  state, other = (restore(tmp_path / name, one_device()).state for name in 'ab')
  assert small.identical(state, other)
  assert jax.tree.leaves(state.local_pairs)[0].shape[0] == 2
  file = tmp_path / 'a' / 'images' / 'landscape_000000004.png'
  assert file.stat().st_size > 0
  line = RunDir(tmp_path / 'a').lines()[-1]
  assert {'d_loss', 'g_loss', 'local_d_loss', 'local_g_loss'} <= set(line)
  assert line['images'] == 4 * 8  # of one pair


def test_convolutions_of_pairs_keep_the_fast_path():
  """All of an ensemble's convolutions are `nn.conv`'s, with members."""
  config = config_lib.load('configs/sgan_cifar.py:test')
  made = experiment.build(config, (32, 32, 3), 0)
  shapes = jax.eval_shape(made.init, jax.random.key(0))
  (span,), (stage,), _ = made.growth
  batch = small.batch(stage.draws, shape=(32, 32, 3))
  text = str(jax.make_jaxpr(made.make_step(stage))(shapes, {}, batch, span))
  assert 'conv_general_dilated' not in text
  members = re.findall(r'f32\[(\d+),[\d,]+\] = gan_conv', text)
  assert set(members) == {'1', '2'}  # global networks: one; locals: two


@pytest.mark.parametrize(
  'section, values, words',
  [
    ('ensemble', dict(pairs=-1), 'config.ensemble.pairs = -1'),
    ('ensemble', dict(reduce='max'), "'mean', 'sum'"),
    ('ensemble', dict(real='old'), "'fresh', 'shared'"),
    ('ensemble', dict(g_updates='twice'), "'once', 'each'"),
    (
      'ensemble',
      dict(messengers=False, messenger_opt='fresh'),
      'there are none',
    ),
    ('ensemble', dict(pairs=1, weight_sharing=0.5), 'two local pairs'),
    ('ensemble', dict(weight_sharing=1.5), 'at most 1.0'),
    ('ensemble', dict(pairs=0), 'config.mesh.pair = 2'),
    ('ensemble', dict(g_updates='each'), 'in turn'),
  ],
)
def test_what_does_not_go_together_is_refused(section, values, words):
  config = points().copy_and_resolve_references().unlock()
  config.mesh.pair = 2
  config.optimizer.discriminator.decay_at = (1000,)
  validate(config)
  config[section].update(values)
  with pytest.raises(UserError) as error:
    validate(config)
  text = str(error.value)
  assert words in text and '\n' not in text and text.endswith('.')


def test_an_ensemble_of_classifiers_is_refused():
  config = config_lib.load('configs/classifier_cifar.py')
  validate(config)
  config.ensemble.pairs = 2
  with pytest.raises(UserError, match='neither penalties, nor tasks'):
    validate(config)
