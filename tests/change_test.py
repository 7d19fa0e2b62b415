"""A permitted change: the networks go on, what is new begins anew."""

import shutil

import pytest

from gan_jax.mesh import one_device
from gan_jax.restore import restore
from gan_jax.sample import sample
from gan_jax.train import train
from tests import small

# Sections and what changes in them.
CHANGES = {
  'another rule': dict(
    optimizer=dict(
      generator=dict(name='sgd', lr=0.01, b1=0.0),
      discriminator=dict(name='sgd', lr=0.01, b1=0.0),
    )
  ),
  'weight decay': dict(optimizer=dict(generator=dict(weight_decay=0.1))),
  'a rate that falls': dict(optimizer=dict(generator=dict(decay_at=(16,)))),
  'a loss that carries': dict(loss=dict(name='fisher')),
  'a lazy term': dict(
    penalties=dict(r1=dict(weight=1.0, every=2, phase='after'))
  ),
  'no average': dict(ema=dict(name='none')),
  'an ensemble': dict(ensemble=dict(pairs=2)),
}


@pytest.fixture(scope='module', name='trained')
def _trained(tmp_path_factory):
  folder = tmp_path_factory.mktemp('trained')
  train(small.config(), folder)
  return folder


def changed(steps, sections):
  config = small.config(**sections).unlock()
  config.train.update(steps=steps, change=tuple(sections))
  return config.lock()


def networks(folder):
  pair = restore(folder, one_device()).state.pair
  return [(p.params, p.stats.get('batch_stats')) for p in (pair.g, pair.d)]


@pytest.mark.parametrize('change', CHANGES)
def test_the_networks_go_on(change, trained, tmp_path):
  run = shutil.copytree(trained, tmp_path / 'run')
  before = networks(run)
  train(changed(4, CHANGES[change]), run)  # its last step: nothing to do
  assert small.identical(networks(run), before)
  sample(run, '0', None, None)  # before there is a checkpoint of the new kind
  train(changed(6, CHANGES[change]), run)
  found = restore(run, one_device())
  assert found.step == 6 and not small.identical(networks(run), before)


def test_an_average_begins_with_the_generator_as_it_is(trained, tmp_path):
  run = shutil.copytree(trained, tmp_path / 'run')
  train(changed(6, dict(ema=dict(name='none'))), run)
  assert restore(run, one_device()).state.ema is None
  train(changed(6, dict(ema=dict(name='half_life'))), run)
  state = restore(run, one_device()).state
  assert small.identical(state.ema.params, state.pair.g.params)


@pytest.mark.slow
def test_messengers_begin_as_the_local_discriminators_are(tmp_path):
  """Not as these were before they had learned anything."""
  train(small.config(ensemble=dict(pairs=2)), tmp_path)
  before = restore(tmp_path, one_device()).state
  train(changed(4, dict(ensemble=dict(pairs=2, memory=0.9))), tmp_path)
  state = restore(tmp_path, one_device()).state
  assert before.messengers is None
  assert small.identical(state.messengers.params, before.local_pairs.d.params)
  assert not small.flat(state.messengers.opt).any()
  train(changed(6, dict(ensemble=dict(pairs=2, memory=0.9))), tmp_path)


def test_and_is_saved_to_the_bit(trained, tmp_path):
  """What was begun anew is a checkpoint like any other."""
  run = shutil.copytree(trained, tmp_path / 'run')
  sections = CHANGES['weight decay']
  train(changed(8, sections), run)
  again = shutil.copytree(trained, tmp_path / 'again')
  train(changed(6, sections), again)
  train(changed(8, sections), again)
  a, b = (restore(folder, one_device()).state for folder in (run, again))
  assert small.identical(a, b)
