"""Ensembles: the invariants of SGAN's Algorithm 1, phase by phase.

(a) to (g) must hold of any right implementation, whatever the paper leaves
open: nothing flows from the global pair to the local ones, and each update is
the one that the algorithm's line says.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import experiment, optimizer
from gan_jax.data.pipeline import Batch
from gan_jax.mesh import one_device
from gan_jax.passes import Round
from gan_jax.schemes import SCHEMES, ensemble
from gan_jax.state import START, Pair, Player, stream
from gan_jax.validate import validate
from tests import small

SGD = dict(name='sgd', lr=0.1, b1=0.0)
KEY = jax.random.key(7)
IDS = jnp.arange(3)
NOW = Round(None, jnp.zeros(small.N, jnp.int32), START, KEY, {})
SCHEME_NAMES = ('two_stage', 'one_stage', 'simultaneous')


class Game:
  """An ensemble of three tiny pairs, its first state and a batch."""

  def __init__(self, scheme, d_steps, sgd, loss, values):
    rules = dict(generator=SGD, discriminator=SGD) if sgd else {}
    config = small.config(
      scheme=dict(name=scheme, d_steps=d_steps),
      loss=dict(name=loss),
      optimizer=rules,
    ).unlock()
    config.ensemble.update(dict(pairs=3) | values)
    validate(config)
    self.config = config.lock()
    self.made = experiment.build(config, small.SHAPE, 0)
    self.objective, self.rules = self.made.objective, optimizer.build(config)
    self.scheme = SCHEMES[scheme]
    z, sample = jnp.zeros((1, 8)), jnp.zeros((1, 2))
    self.group = ensemble.build(
      config, self.objective, self.rules, self.scheme, z, sample
    )
    state = experiment.initial_state(self.made, 0, one_device())
    self.pair, self.pairs = state.pair, state.local_pairs
    self.kept = state.messengers
    self.draws = self.made.growth.stages[0].draws
    self.batch = small.batch(self.draws)
    self.step = jax.jit(
      lambda pair, pairs, kept, batch, key: self.group.step(
        pair, pairs, kept, batch, START, key, {}
      )
    )

  def run(self, pair, steps):
    """The global and the local pairs after some steps."""
    pairs, kept = self.pairs, self.kept
    for t in range(steps):
      key = jax.random.fold_in(KEY, t)
      pair, pairs, kept, _ = self.step(pair, pairs, kept, self.batch, key)
    return pair, pairs

  def dealt(self):
    """Fresh minibatches of the phases: [3, I_D, ...] twice, [3, ...]."""
    apart = lambda x: x.reshape(3, -1, *x.shape[1:])
    return self.group.dealing.phases(jax.tree.map(apart, self.batch))


@functools.cache
def game(scheme='two_stage', d_steps=1, sgd=False, loss=None, **values):
  return Game(scheme, d_steps, sgd, loss or 'non_saturating', values)


def member(tree, n):
  return jax.tree.map(lambda x: x[n], tree)


def stack(trees):
  return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def moved(player, size=0.3):
  """The same player elsewhere."""
  return player.replace(params=jax.tree.map(lambda x: x + size, player.params))


def close(a, b, rtol=1e-4, atol=2e-6):
  np.testing.assert_allclose(small.flat(a), small.flat(b), rtol=rtol, atol=atol)


@pytest.mark.parametrize('scheme', SCHEME_NAMES)
def test_a_locals_go_the_same_way_without_a_global_pair(scheme):
  g = game(scheme, at_once=3)
  _, pairs = g.run(g.pair, 2)
  step = g.scheme.make_step(g.objective, g.rules, g.config.scheme)
  alone = jax.jit(
    jax.vmap(lambda pair, batch, key: step(pair, batch, START, key, {}))
  )
  expected, (batch, _, _) = g.pairs, g.dealt()
  for t in range(2):
    keys = g.group.dealing.keys(jax.random.fold_in(KEY, t), 'local', IDS)
    expected, _ = alone(expected, batch, keys)
  assert small.identical(pairs, expected)


def test_b_locals_do_not_see_the_global_pair():
  g = game()
  pair, pairs = g.run(g.pair, 2)
  other, same = g.run(Pair(moved(g.pair.g), moved(g.pair.d)), 2)
  assert small.identical(pairs, same)
  assert not small.identical(pair, other)


def test_global_networks_do_not_see_each_other():
  """G_0 never meets D_0, in either direction."""
  g = game()
  pair, _ = g.run(g.pair, 2)
  other_d, _ = g.run(Pair(g.pair.g, moved(g.pair.d)), 2)
  other_g, _ = g.run(Pair(moved(g.pair.g), g.pair.d), 2)
  assert small.identical(pair.g, other_d.g)
  assert small.identical(pair.d, other_g.d)


def test_c_messengers_are_the_locals_then_learn_from_g():
  g = game(d_steps=2)
  _, batch, _ = g.dealt()
  keys = g.group.dealing.keys(KEY, 'messenger', IDS)
  train = jax.jit(g.group.messengers.learn)
  messengers = g.group.messengers.clones(g.pairs.d, None)
  assert small.identical(messengers, g.pairs.d)
  learned = train(g.pair.g, messengers, batch, keys, NOW)
  elsewhere = train(moved(g.pair.g), messengers, batch, keys, NOW)
  for n in range(3):
    before, after = (
      small.flat(member(m.params, n)) for m in (messengers, learned)
    )
    assert np.abs(before - after).max() > 1e-5
  assert not small.identical(learned.params, elsewhere.params)


def test_d_one_pair_without_messengers_is_the_standard_gradient():
  g = game(sgd=True, messengers=False)
  net_g, net_d = g.objective.generator, g.objective.discriminator
  _, _, batch = g.dealt()
  first = lambda tree: jax.tree.map(lambda x: x[:1], tree)
  keys = g.group.dealing.keys(KEY, 'global g', IDS[:1])
  gradient, _, metrics = jax.jit(g.group.g_gradient)(
    g.pair.g, first(g.pairs.d), first(batch), keys, NOW
  )
  z = g.objective.latents(keys[0], small.N)
  critic = {'params': member(g.pairs.d.params, 0)}

  def loss(params):
    fake = net_g.apply({'params': params}, z, train=True)
    return jnp.mean(
      jnp.log1p(jnp.exp(-net_d.apply(critic, fake, train=True).logits))
    )

  value, expected = jax.jit(jax.value_and_grad(loss))(g.pair.g.params)
  close(gradient, expected)
  close(metrics['g_loss'], value)


@pytest.mark.parametrize('reduce', ['mean', 'sum'])
def test_e_global_gradients_are_those_of_the_pairs_put_together(reduce):
  g = game(d_steps=1, sgd=True, reduce=reduce)
  _, _, batch = g.dealt()
  keys = g.group.dealing.keys(KEY, 'x', IDS)
  put = {'mean': np.mean, 'sum': np.sum}[reduce]

  def loss_d(params, n):
    z = g.objective.latents(keys[n], small.N)
    local, now = member(g.pairs.g, n), small.now(batch.image[n], keys[n])
    made, _ = g.objective.generate(local.params, {}, z, now)
    return g.objective.d_loss(params, {}, local, made, now)[0]

  def loss_g(params, n):
    z = g.objective.latents(keys[n], small.N)
    now = small.now(batch.image[n], keys[n])
    made, _ = g.objective.generate(params, {}, z, now)
    critic = member(g.pairs.d, n)
    return g.objective.g_loss(params, {}, critic, made, now)[0]

  for method, loss, player, opponents in (
    (g.group.d_gradient, loss_d, g.pair.d, g.pairs.g),
    (g.group.g_gradient, loss_g, g.pair.g, g.pairs.d),
  ):
    gradient, _, _ = jax.jit(method)(player, opponents, batch, keys, NOW)
    one = jax.jit(jax.grad(loss))
    apart = [small.flat(one(player.params, n)) for n in range(3)]
    np.testing.assert_allclose(
      small.flat(gradient), put(apart, axis=0), rtol=1e-4, atol=1e-6
    )
    assert np.abs(apart[0] - apart[1]).max() > 1e-3


def count(player):
  """Adam's own count of its updates."""
  return np.asarray(player.opt[0].count).tolist()


def test_f_updates_are_counted():
  g = game(d_steps=2)
  pair, pairs = g.run(g.pair, 2)
  assert count(pairs.d) == [4, 4, 4] and count(pairs.g) == [2, 2, 2]
  assert count(pair.d) == 2 and count(pair.g) == 2
  _, batch, _ = g.dealt()
  keys = g.group.dealing.keys(KEY, 'messenger', IDS)
  train = jax.jit(g.group.messengers.learn)
  clones = g.group.messengers.clones(pairs.d, None)
  messengers = train(pair.g, clones, batch, keys, NOW)
  assert count(messengers) == [6, 6, 6]  # copied with the local's 4


def test_messengers_may_begin_with_a_fresh_optimiser():
  g = game(messenger_opt='fresh')
  _, pairs = g.run(g.pair, 1)
  messengers = g.group.messengers.clones(pairs.d, None)
  assert small.identical(messengers.params, pairs.d.params)
  assert count(pairs.d) == [1, 1, 1] and count(messengers) == [0, 0, 0]
  assert np.abs(small.flat(messengers.opt)).max() == 0.0


@pytest.mark.parametrize('scheme', SCHEME_NAMES)
def test_g_pairs_side_by_side_equal_pairs_in_a_loop(scheme):
  g = game(scheme, sgd=True)
  batch, _, _ = g.dealt()
  keys = g.group.dealing.keys(KEY, 'local', IDS)
  pairs, metrics = jax.jit(g.group.train_locals)(g.pairs, batch, keys, NOW)
  step = g.scheme.make_step(g.objective, g.rules, g.config.scheme)
  alone = small.compiled(step)
  for n in range(3):
    pair, on_pair = alone(member(g.pairs, n), member(batch, n), keys[n])
    close(pair, member(pairs, n))
    close(on_pair, member(metrics, n))


def algorithm_1(g):
  """One iteration, line by line, one update after the other."""
  objective, rules, local = g.objective, g.rules, g.scheme
  settings, batches = g.config.ensemble, g.dealt()
  step = local.make_step(objective, rules, g.config.scheme)
  update_pair = small.compiled(step)
  key = lambda name: g.group.dealing.keys(KEY, name, IDS)
  d_gradient = jax.jit(jax.grad(objective.d_loss, has_aux=True))

  @jax.jit
  def g_gradient(params, critic, batch, key):
    def loss(params):
      z = objective.latents(key, small.N)
      now = small.now(batch.image, key)
      made, _ = objective.generate(params, {}, z, now)
      return objective.g_loss(params, {}, critic, made, now)[0]

    return jax.grad(loss)(params)

  def learn(d, g_params, batch, key):
    z = objective.latents(key, small.N)
    now = small.now(batch.image, key)
    made, _ = objective.generate(g_params, {}, z, now)
    opponent = Player(g_params, {}, None)
    return d_gradient(d.params, d.stats, opponent, made, now)

  pairs = [
    update_pair(member(g.pairs, n), member(batches[0], n), key('local')[n])[0]
    for n in range(3)
  ]
  messengers = []
  for n in range(3):
    d = pairs[n].d
    for k in range(g.config.scheme.d_steps * settings.messengers):
      batch = member(member(batches[1], n), k)
      key_k = stream(key('messenger')[n], f'{k}')
      gradient, (stats, _) = learn(d, g.pair.g.params, batch, key_k)
      d = rules.d.update(d, gradient, stats, START)
    messengers.append(d)
  together = lambda trees: jax.tree.map(
    lambda *x: sum(x) if settings.reduce == 'sum' else sum(x) / 3, *trees
  )
  on_g = [
    g_gradient(
      g.pair.g.params,
      messengers[n],
      member(member(batches[1], n), -1),
      key('global g')[n],
    )
    for n in range(3)
  ]
  on_d = [
    learn(
      g.pair.d, pairs[n].g.params, member(batches[2], n), key('global d')[n]
    )
    for n in range(3)
  ]
  stats = jax.tree.map(lambda *x: sum(x) / 3, *[aux[0] for _, aux in on_d])
  return Pair(
    rules.g.update(g.pair.g, together(on_g), {}, START),
    rules.d.update(g.pair.d, together([x for x, _ in on_d]), stats, START),
  ), stack(pairs)


@pytest.mark.parametrize(
  'values',
  [
    dict(d_steps=2, reduce='sum'),
    dict(scheme='one_stage', loss='hinge'),
    dict(loss='fisher'),  # D's stats hold its multiplier
    dict(
      loss='relativistic_paired', messengers=False
    ),  # G's loss meets real samples
  ],
  ids=lambda v: '-'.join(map(str, v.values())),
)
def test_a_step_is_algorithm_1(values):
  g = game(sgd=True, **values)
  pair, pairs, _, _ = g.step(g.pair, g.pairs, None, g.batch, KEY)
  expected, expected_pairs = algorithm_1(g)
  close(pairs, expected_pairs)
  close(pair, expected)
  assert jax.tree.structure(pair) == jax.tree.structure(expected)


def test_g_may_be_updated_after_each_local_pair():
  g = game(sgd=True, g_updates='each')
  pair, pairs, _, _ = g.step(g.pair, g.pairs, None, g.batch, KEY)
  once = game(sgd=True).step(g.pair, g.pairs, None, g.batch, KEY)
  assert small.identical(pairs, once[1]) and small.identical(pair.d, once[0].d)
  _, batch, _ = g.dealt()
  keys = [
    g.group.dealing.keys(KEY, name, IDS) for name in ('messenger', 'global g')
  ]
  train, global_g = jax.jit(g.group.train_g), g.pair.g
  for n in range(3):
    own = lambda tree, n=n: jax.tree.map(lambda x: x[n : n + 1], tree)
    global_g, _, _ = train(
      global_g, own(pairs.d), None, own(batch), own(keys), NOW
    )
  close(pair.g, global_g)


def test_every_minibatch_is_used_once():
  g = game(d_steps=2)
  number = jnp.arange(g.draws)
  assert g.draws == 3 * (2 + 2 + 1)
  batch = Batch(number.reshape(3, 5), number.reshape(3, 5))
  dealt = [np.asarray(x.label) for x in g.group.dealing.phases(batch)]
  assert [x.shape for x in dealt] == [(3, 2), (3, 2), (3,)]
  used = np.concatenate([x.ravel() for x in dealt])
  assert sorted(used) == list(number)
  # One pair's minibatches are neighbours: they can be sent to its device.
  assert set(dealt[0][1]) | set(dealt[1][1]) | {dealt[2][1]} == set(
    range(5, 10)
  )


def test_shared_draws_are_the_same_for_all_pairs():
  g = game(real='shared', noise='shared', d_steps=2)
  assert g.draws == 2
  same = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), g.pairs)
  _, pairs, _, metrics = g.step(g.pair, same, None, g.batch, KEY)
  assert small.identical(member(pairs, 0), member(pairs, 2))
  assert all(np.isfinite(x) for x in metrics.values())
  fresh = game(d_steps=2)
  _, pairs, _, _ = fresh.step(g.pair, same, None, fresh.batch, KEY)
  assert not small.identical(member(pairs, 0), member(pairs, 2))


def test_pairs_begin_apart():
  g = game()
  first = [small.flat(member(g.pairs, n)) for n in range(3)]
  first.append(small.flat(g.pair))
  for i in range(4):
    for j in range(i):
      assert np.abs(first[i] - first[j]).max() > 0.1


def test_metrics_name_the_global_pair_and_the_locals_means():
  g = game()
  _, _, _, metrics = g.step(g.pair, g.pairs, None, g.batch, KEY)
  names = {'d_loss', 'd_real', 'd_fake', 'g_loss'}
  assert set(metrics) == names | {f'local_{name}' for name in names}
  batch, _, _ = g.dealt()
  keys = g.group.dealing.keys(KEY, 'local', IDS)
  _, on_pairs = jax.jit(g.group.train_locals)(g.pairs, batch, keys, NOW)
  assert on_pairs['d_loss'].shape == (3,)
  close(metrics['local_d_loss'], on_pairs['d_loss'].mean())


def test_without_an_ensemble_nothing_is_stacked():
  config = small.config()
  made = experiment.build(config, small.SHAPE, 0)
  state = jax.eval_shape(made.init, jax.random.key(0))
  assert state.local_pairs is None and made.growth.stages[0].draws == 1


@pytest.mark.parametrize(
  'values',
  [
    dict(),
    dict(reduce='sum', real='shared', noise='shared'),
    dict(messengers=False),
    dict(memory=0.5),
    dict(weight_sharing=0.5),
    dict(g_updates='each'),
  ],
)
def test_pairs_in_groups_are_those_all_at_once(values):
  whole, single = (
    game(d_steps=2, sgd=True, at_once=at_once, **values) for at_once in (3, 1)
  )
  ends = (g.run(g.pair, 2) for g in (whole, single))
  for a, b in zip(*ends, strict=True):
    close(a, b)


def test_fewer_pairs_at_once_take_less_memory():
  def temporary(at_once):
    g = game(at_once=at_once)
    batch = small.batch(g.draws, n=4096)
    lowered = g.step.lower(g.pair, g.pairs, g.kept, batch, KEY)
    return lowered.compile().memory_analysis().temp_size_in_bytes

  assert temporary(1) < 0.6 * temporary(3)
