"""Messengers that remember: ensemble.memory, and that it changes nothing else.

The update is written out here from its formula, one pair after the other.
"""

import random

import jax
import numpy as np
import pytest

from gan_jax import experiment
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.state import START, Player, stream
from tests import main_test, small
from tests.schemes.ensemble_devices_test import points
from tests.schemes.ensemble_test import IDS, KEY, close, game, member


def steps(g, count, kept):
  """The state of a game after some steps: (pair, pairs, kept)."""
  pair, pairs = g.pair, g.pairs
  for t in range(count):
    key = jax.random.fold_in(KEY, t)
    pair, pairs, kept, _ = g.step(pair, pairs, kept, g.batch, key)
  return pair, pairs, kept


@pytest.mark.parametrize('values', [{}, dict(g_updates='each')])
def test_locals_and_d_0_hear_nothing_of_what_messengers_remember(values):
  with_memory, without = game(memory=0.9, **values), game(**values)
  pair, pairs, kept = steps(with_memory, 3, with_memory.kept)
  plain, plain_pairs, none = steps(without, 3, without.kept)
  assert none is None and kept is not None
  assert small.identical(pairs, plain_pairs) and small.identical(
    pair.d, plain.d
  )
  assert not small.identical(pair.g, plain.g)


def test_with_hardly_any_memory_a_step_is_algorithm_1():
  """By gradient descent: an optimiser of its own has no part in it."""
  with_memory, without = game(sgd=True, memory=1e-6), game(sgd=True)
  pair, pairs, _ = steps(with_memory, 2, with_memory.kept)
  plain, plain_pairs, _ = steps(without, 2, None)
  close(pair, plain)
  assert small.identical(pairs, plain_pairs)


@pytest.mark.parametrize('memory', [0.25, 1.0])
def test_a_messenger_begins_as_a_share_of_itself(memory):
  """m M + (1 - m) D, then I_D updates by an optimiser of its own."""
  g = game(d_steps=2, memory=memory)
  pair, _, before = steps(g, 1, g.kept)
  _, pairs, after = steps(g, 2, g.kept)
  key = jax.random.fold_in(KEY, 1)
  keys = g.group.dealing.keys(key, 'messenger', IDS)
  batch = member(g.dealt()[1], 2)  # the last pair's
  share = lambda own, local: memory * own + (1 - memory) * local
  now = member(pairs.d.params, 2)
  start = jax.tree.map(share, member(before.params, 2), now)
  d = Player(start, {}, member(before.opt, 2))
  for k in range(2):
    now_k = small.now(batch.image[k], stream(keys[2], f'{k}'))
    z = g.objective.latents(now_k.key, small.N)
    made, _ = g.objective.generate(pair.g.params, {}, z, now_k)
    opponent = Player(pair.g.params, {}, None)
    gradient, _ = jax.jit(jax.grad(g.objective.d_loss, has_aux=True))(
      d.params, {}, opponent, made, now_k
    )
    d = g.rules.d.update(d, gradient, {}, START)
  close(member(after.params, 2), d.params)
  close(member(after.opt, 2), d.opt, 1e-3)
  assert d.opt[0].count == 4  # of two steps
  apart = small.flat(d.params) - small.flat(now)
  assert np.abs(apart).max() > 1e-4


def test_growth_begins_their_optimisers_anew_with_the_others():
  g = game(memory=0.9)
  _, pairs, kept = steps(g, 1, g.kept)
  state = experiment.initial_state(g.made, 0, one_device())
  new = g.made.renew(state.replace(local_pairs=pairs, messengers=kept))
  assert small.identical(new.messengers.params, kept.params)
  assert np.abs(small.flat(new.messengers.opt)).max() == 0.0


@pytest.mark.parametrize(
  'values, words',
  [
    (dict(messengers=False), 'there are none'),
    (dict(messenger_opt='fresh'), 'an optimiser of its own'),
  ],
)
def test_what_cannot_remember_is_refused(values, words):
  with pytest.raises(UserError, match=words):
    points(memory=0.5, **values)


RUN = (
  '--config=configs/sgan_toy.py:test',
  '--config.train.steps=120',
  '--config.train.checkpoint_every=10',
  '--config.train.log_every=5',
)


@pytest.mark.slow
def test_a_killed_run_remembers_to_the_bit(tmp_path):
  """SIGKILL, data on the device and streamed, against a run left alone."""
  moments = random.Random(0)
  status, output = main_test.run(*RUN, f'--workdir={tmp_path / "whole"}')
  assert status == 0, output
  whole = main_test.final(tmp_path / 'whole')
  assert whole.config.ensemble.memory > 0
  assert whole.state.messengers is not None
  for budget in (512, 0):
    killed = tmp_path / f'budget_{budget}'
    command = (*RUN, f'--config.data.device_budget_mb={budget}')
    for step in (25, 65):
      process = main_test.start(*command, f'--workdir={killed}')
      main_test.wait_for_step(process, killed, step + moments.randint(0, 10))
      process.kill()
      process.communicate()
      assert process.returncode == -9, 'it was done before'
    status, output = main_test.run(*command, f'--workdir={killed}')
    assert status == 0, output
    assert small.identical(main_test.final(killed).state, whole.state)
