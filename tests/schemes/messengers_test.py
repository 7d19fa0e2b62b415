"""Messengers that remember: ensemble.memory, and that it changes nothing else.

The update is written out here from its formula, one pair after the other.
"""

import random

import jax
import jax.numpy as jnp
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
  assert none is None
  # More than one update of Adam makes, 2e-4: it adds up.
  assert np.abs(small.flat(kept.params)).max() > 4e-4
  assert small.identical(pairs, plain_pairs) and small.identical(
    pair.d, plain.d
  )
  assert not small.identical(pair.g, plain.g)


def test_the_first_step_is_algorithm_1_but_for_the_optimisers_memory():
  """Nothing has been learned yet: by gradient descent both are the same."""
  with_memory, without = game(sgd=True, memory=0.5), game(sgd=True)
  pair, pairs, _ = steps(with_memory, 1, with_memory.kept)
  plain, plain_pairs, _ = steps(without, 1, None)
  close(pair, plain)
  assert small.identical(pairs, plain_pairs)


@pytest.mark.parametrize('memory', [0.25, 1.0])
def test_a_messenger_begins_at_its_discriminator_and_what_it_kept(memory):
  """M = D + m (M' - D'), then I_D updates by an optimiser of its own."""
  g = game(d_steps=2, memory=memory)
  _, before, _ = steps(g, 1, g.kept)
  _, after, kept = steps(g, 2, g.kept)
  pair, _, kept_before = steps(g, 1, g.kept)
  key = jax.random.fold_in(KEY, 1)
  keys = g.group.dealing.keys(key, 'messenger', IDS)
  batch = member(g.dealt()[1], 2)  # the last pair's
  last = member(before.d.params, 2)
  apart = member(kept_before.params, 2)
  theirs = jax.tree.map(jnp.add, last, apart)  # M', as the last step left it
  now = member(after.d.params, 2)
  start = jax.tree.map(
    lambda d, m, d_: d + memory * (m - d_), now, theirs, last
  )
  d = Player(start, {}, member(kept_before.opt, 2))
  for k in range(2):
    now_k = small.now(batch.image[k], stream(keys[2], f'{k}'))
    z = g.objective.latents(now_k.key, small.N)
    made, _ = g.objective.generate(pair.g.params, {}, z, now_k)
    opponent = Player(pair.g.params, {}, None)
    gradient, _ = jax.jit(jax.grad(g.objective.d_loss, has_aux=True))(
      d.params, {}, opponent, made, now_k
    )
    d = g.rules.d.update(d, gradient, {}, START)
  close(member(kept.params, 2), jax.tree.map(jnp.subtract, d.params, now), 1e-3)
  close(member(kept.opt, 2), d.opt, 1e-3)
  assert member(kept.opt, 2)[0].count == 4  # of two steps


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
  assert np.abs(small.flat(whole.state.messengers.params)).max() > 0
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
