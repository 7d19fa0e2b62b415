"""The contracts of time, terms, passes and growth, on the tiny networks.

Each is held under every scheme and in an ensemble; what is compared with is
written out here from the networks alone.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import experiment, objective, optimizer
from gan_jax import terms as terms_lib
from gan_jax.data.augment import Augmentation
from gan_jax.data.pipeline import Batch
from gan_jax.errors import UserError
from gan_jax.schemes import SCHEMES, growth
from gan_jax.state import At, Span, Stage, stream
from tests import small, tiny

N = 4
KEY = jax.random.key(5)
SGD = dict(name='sgd', lr=0.1, b1=0.0)
SCHEME_NAMES = ('two_stage', 'one_stage', 'simultaneous')


def config(scheme='two_stage', pairs=0, **sections):
  c = small.config(scheme=dict(name=scheme), **sections).unlock()
  c.ensemble.pairs = pairs
  c.latent.size = tiny.Z
  return c.lock()


def built(game, scheme='two_stage', pairs=0, **sections):
  """An experiment of the tiny networks at 8 px."""
  c = config(scheme, pairs, **sections)
  draws = SCHEMES[scheme].draws(c.scheme)
  count = pairs * 3 if pairs else draws
  stage = Stage(0, N, count, draws * N)
  return experiment.assemble(
    c, game, tiny.SHAPE, growth.after((), (growth.Phase(stage),), 0)
  )


def batch(draws, seed=0):
  image = np.random.default_rng(seed).normal(size=(draws, N, *tiny.SHAPE))
  return Batch(jnp.float32(image), jnp.zeros((draws, N), jnp.int32))


def quickly(function):
  """Compiled with little optimisation: what it takes is compiling."""
  quick = {'xla_backend_optimization_level': 0}
  return jax.jit(function, compiler_options=quick)


@functools.cache
def trained(scheme, pairs=0, steps=6):
  """The states and metrics of a run with all terms, step by step."""
  made = built(tiny.game(tiny.terms(scheme != 'one_stage')), scheme, pairs)
  state = quickly(made.init)(jax.random.key(0))
  (span,), (stage,), _ = made.growth
  step = quickly(made.make_step(stage))
  states, metrics = [state], []
  for k in range(steps):
    state, found = step(state, {}, batch(stage.draws, k), span)
    states.append(state)
    metrics.append(jax.device_get(found))
  return states, metrics


def players(state):
  yield 'g', state.pair.g
  yield 'd', state.pair.d
  if state.local_pairs is not None:
    yield 'g', state.local_pairs.g
    yield 'd', state.local_pairs.d


@pytest.mark.parametrize('pairs', [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize('scheme', SCHEME_NAMES)
def test_all_terms_train_under_every_scheme_and_in_an_ensemble(scheme, pairs):
  states, metrics = trained(scheme, pairs)
  names = set(tiny.terms(scheme != 'one_stage')) | {'length'}
  for found in metrics:
    assert names <= set(found)
    assert all(np.isfinite(x) for x in found.values())
  first, last = states[0], states[-1]
  for (role, before), (_, after) in zip(
    players(first), players(last), strict=True
  ):
    assert jax.tree.structure(before) == jax.tree.structure(after)
    own = before.params.get(terms_lib.TERMS, {})
    assert set(own) == (
      names & {'decode', 'lead', 'align'} if role == 'd' else set()
    )
    for name in own:  # each term's heads have learned
      a, b = own[name], after.params[terms_lib.TERMS][name]
      assert not small.identical(a, b), name
    kept = after.stats[terms_lib.TERMS]
    carrying = {'path_length'} if role == 'g' else {'lecam', 'r1'}
    assert set(kept) == carrying
    for name in carrying - {'r1'}:
      assert np.all(small.flat(kept[name]['carried']) != 0), name
  assert set(last.ema.params) == set(last.pair.g.params)
  assert terms_lib.TERMS not in last.ema.stats


@pytest.mark.parametrize('scheme', SCHEME_NAMES)
def test_lazy_terms_come_every_fourth_step_and_are_logged_in_all(scheme):
  states, metrics = trained(scheme)
  for name in ('r1', 'path_length'):
    logged = [found[name] for found in metrics]
    assert len(set(map(float, logged[:4]))) == 1, name
    assert logged[4] != logged[3] and logged[5] == logged[4]
  count = lambda player: int(player.opt[0].count)
  updates = [count(state.pair.d) for state in states]
  assert np.diff(updates).tolist() == [2, 1, 1, 1, 2, 1]
  assert [count(state.pair.g) for state in states] == updates


def test_adam_is_corrected_for_lazy_terms():
  """StyleGAN2: rate and betas to the power k / (k + 1), only where one is."""
  c = config(optimizer=dict(discriminator=dict(b1=0.5, b2=0.9, lr=0.1)))
  rules = optimizer.build(c, {'r1': tiny.terms()['r1']})
  w, m, v, out = 1.0, 0.0, 0.0, []
  share = 4 / 5
  b1, b2, lr = 0.5**share, 0.9**share, 0.1 * share
  player = objective.Player(
    {'w': jnp.ones(())}, {}, rules.d.init({'w': jnp.ones(())})
  )
  at = At(jnp.int32(0), jnp.int32(0), jnp.float32(1))
  for t, g in enumerate([0.3, -0.2, 0.7], 1):
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    w -= lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + 1e-8)
    player = rules.d.update(player, {'w': jnp.float32(g)}, {}, at)
    out.append((float(player.params['w']), w))
  np.testing.assert_allclose(*zip(*out, strict=True), rtol=1e-5)
  plain = rules.g.update(
    player.replace(opt=rules.g.init(player.params)),
    {'w': jnp.float32(1)},
    {},
    at,
  )
  moved = float(player.params['w'] - plain.params['w'])
  assert moved == pytest.approx(c.optimizer.generator.lr, rel=1e-3)


def test_rhythms_of_one_player_must_be_equal():
  found = tiny.terms()
  found['decode'] = found['decode']._replace(phase='after', every=2)
  with pytest.raises(UserError, match='must have one rhythm'):
    optimizer.build(config(), found)


def sgd_step(scheme, found, **more):
  """One SGD step of a pair: before, after, batch, metrics, the game."""
  game = tiny.game(found, **more)
  made = built(game, scheme, optimizer=dict(generator=SGD, discriminator=SGD))
  state = quickly(made.init)(jax.random.key(0))
  one = batch(1)
  new, metrics = quickly(made.make_step(made.growth.stages[0]))(
    state, {}, one, Span()
  )
  return state, new, one, metrics, game


@functools.cache
def with_terms(scheme):
  some = tiny.terms(align_too=False)
  late = {k: v._replace(every=1) for k, v in some.items()}
  return sgd_step(
    scheme, {k: v._replace(phase='with') for k, v in late.items()}
  )


def test_one_stage_has_the_gradients_of_simultaneous_terms_included():
  """Every image's own gamma; one stage never sees G's loss on its own."""
  one, both = (
    with_terms(name)[1].pair for name in ('one_stage', 'simultaneous')
  )
  for role in 'gd':
    a, b = getattr(one, role), getattr(both, role)
    np.testing.assert_allclose(
      small.flat(a.params), small.flat(b.params), rtol=2e-4, atol=2e-6
    )


def test_two_stages_minimise_the_sum_written_out():
  """D's loss with LeCam, decoder, lead and R1, from the networks alone."""
  state, new, one, metrics, game = with_terms('two_stage')
  key = jax.random.fold_in(state.key, 0)
  key_d, g, d = stream(key, 'd0'), state.pair.g, state.pair.d
  network = lambda tree: {k: v for k, v in tree.items() if k != 'terms'}
  judge = lambda p, x: tiny.Discriminator().apply(
    {'params': network(p)}, x, train=True
  )
  z = tiny.latents(stream(key_d, 'latent') if False else key_d, N)
  made = tiny.Generator().apply(g.variables, z, train=False)
  real = one.image[0]
  softplus = jax.nn.softplus

  def loss(params):
    own = params['terms']
    on_real, on_fake = judge(params, real), judge(params, made)
    r, s, h = on_real.logits, on_fake.logits, on_real.features['4']
    total = jnp.mean(softplus(-r)) + jnp.mean(softplus(s))
    total += 0.7 * jnp.mean((h @ own['decode']['w'] - tiny.down(real)) ** 2)
    total += 0.2 * (jnp.mean(r**2) + jnp.mean(s**2))  # means are 0 at first
    entered = objective.networks.Start(
      4, h @ own['lead']['features']['w'], h @ own['lead']['rgb']['w']
    )
    rebuilt = tiny.Generator().apply(
      g.variables,
      jnp.mean(h, (1, 2)) @ own['lead']['style']['w'],
      entered,
      train=False,
      method='synthesise',
    )
    total += 0.4 * jnp.mean((rebuilt.samples - real) ** 2)
    slope = jax.grad(lambda x: jnp.sum(judge(params, x).logits))(real)
    return total + 0.5 * 0.5 * jnp.mean(jnp.sum(slope**2, (1, 2, 3)))

  value, gradient = quickly(jax.value_and_grad(loss))(d.params)
  assert float(metrics['d_loss']) == pytest.approx(float(value), rel=1e-5)
  expected = jax.tree.map(lambda p, x: p - 0.1 * x, d.params, gradient)
  np.testing.assert_allclose(
    small.flat(new.pair.d.params), small.flat(expected), rtol=1e-4, atol=1e-6
  )


def test_no_gradient_reaches_the_opponents_parameters():
  state, _, one, _, game = with_terms('two_stage')
  g, d, now = state.pair.g, state.pair.d, small.now(one.image[0], KEY)
  z = tiny.latents(KEY, N)
  made, _ = game.generate(g.params, g.stats, z, now)

  def d_loss(d_params, g_params):
    opponent = g.replace(params=g_params)
    return game.d_loss(d_params, d.stats, opponent, made, now)[0]

  def g_loss(g_params, d_params):
    opponent = d.replace(params=d_params)
    return game.g_loss(g_params, g.stats, opponent, made, now)[0]

  for loss, own, other in ((d_loss, d, g), (g_loss, g, d)):
    on_own, on_other = quickly(jax.grad(loss, (0, 1)))(own.params, other.params)
    assert np.all(small.flat(on_other) == 0)
    assert np.any(small.flat(on_own) != 0)
  heads = quickly(jax.grad(d_loss))(d.params, g.params)['terms']['lead']
  for name in ('style', 'features', 'rgb'):  # all of them, through G
    assert np.any(np.asarray(heads[name]['w']) != 0), name


def test_an_update_of_its_own_moves_the_network_and_that_term_alone():
  """Others' heads would otherwise drift on by Adam's momentum."""
  found = {
    'decode': tiny.decode(),
    'lead': tiny.lead()._replace(phase='with'),
    'own': tiny.Term(
      'd',
      lambda own, view: (
        jnp.sum(own['w'] ** 2) + jnp.mean(view.score(view.real)),
        {},
        {},
      ),
      init=lambda view, key: ({'w': jnp.ones(3)}, {}),
      phase='after',
    ),
  }
  game = tiny.game(found)
  made = built(game)
  state = quickly(made.init)(jax.random.key(0))
  new, _ = quickly(made.make_step(made.growth.stages[0]))(
    state, {}, batch(1), Span()
  )
  rules, d = optimizer.build(config(), found), new.pair.d
  ones = jax.tree.map(jnp.ones_like, d.params)
  at = At(jnp.int32(1), jnp.int32(N), jnp.float32(1))
  late = rules.d.update(d, ones, d.stats, at, 'own')
  main = rules.d.update(d, ones, d.stats, at)
  for after, moved in ((late, {'own'}), (main, {'decode', 'lead'})):
    for name in found:
      same = small.identical(
        after.params['terms'][name], d.params['terms'][name]
      )
      assert same == (name not in moved), name
    mu = after.opt[0].mu['terms']['own']['w']
    assert (mu != d.opt[0].mu['terms']['own']['w']).any() == ('own' in moved)
    assert not small.identical(after.params['score'], d.params['score'])


def test_what_one_stage_cannot_give_is_refused():
  check = SCHEMES['one_stage'].check
  c, loss = config('one_stage').scheme, tiny.game().loss
  with pytest.raises(UserError) as refused:
    check(c, loss, tiny.Discriminator(), {'align': tiny.align()})
  text = str(refused.value)
  assert 'align' in text and "'simultaneous'" in text and '\n' not in text
  check(c, loss, tiny.Discriminator(), tiny.terms(align_too=False))


def test_a_term_on_scores_of_fakes_leaves_the_symmetric_path():
  """LeCam with Wasserstein: gamma is no longer -1, and one stage knows."""
  found = {'lecam': tiny.lecam()._replace(weight=0.5)}
  one, both = (
    sgd_step(name, found, loss='wasserstein')[1].pair
    for name in ('one_stage', 'simultaneous')
  )
  for role in 'gd':
    a, b = getattr(one, role), getattr(both, role)
    np.testing.assert_allclose(
      small.flat(a.params), small.flat(b.params), rtol=2e-4, atol=2e-6
    )


def test_a_term_that_reads_the_main_pass_has_no_update_of_its_own():
  registry = {'decode': terms_lib.Kind(tiny.decode, 'a decoder')}
  section = {'decode': {'weight': 1.0, 'phase': 'after', 'every': 2}}
  with pytest.raises(UserError, match='reads features_real'):
    terms_lib.build(registry, {'tasks': section}, 'tasks')
  off = {'decode': {'weight': 0.0, 'phase': 'after', 'every': 2}}
  assert terms_lib.build(registry, {'tasks': off}, 'tasks') == {}


class Brightness(Augmentation):
  """A brightness and a contrast of its own for each sample."""

  def __call__(self, samples, carried, key):
    draw = jax.random.uniform(key, (2, len(samples), 1, 1, 1))
    return samples * (0.5 + draw[0]) + carried['p'] * draw[1]

  def start(self):
    return {'p': jnp.float32(0.25)}

  def advance(self, real, carried):
    return {'p': carried['p'] + 0.01 * jnp.sign(jnp.mean(real))}


def test_one_stage_stays_exact_with_an_augmentation_in_front_of_d():
  found = {
    'decode': tiny.decode(),
    'r1': tiny.terms()['r1']._replace(phase='with', every=1),
  }
  one, both, bare = (
    sgd_step(name, found, augment=augment)[1].pair
    for name, augment in (
      ('one_stage', Brightness()),
      ('simultaneous', Brightness()),
      ('one_stage', None),
    )
  )
  for role in 'gd':
    a, b, c = (small.flat(getattr(p, role).params) for p in (one, both, bare))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert np.abs(a - c).max() > 1e-4
  assert abs(one.d.stats['augment']['p'] - 0.25) == pytest.approx(0.01)


def test_every_pass_of_d_draws_by_itself_and_seen_is_what_it_saw():
  game = tiny.game({}, augment=Brightness())
  made = built(game)
  d = quickly(made.init)(jax.random.key(0)).pair.d
  now = small.now(jnp.ones((N, *tiny.SHAPE)), KEY)
  passes = [game.judge(d.params, d.stats, now.real, now, x) for x in 'ab']
  seen = [x[1] for x in passes]
  assert not np.allclose(*seen)
  again, _ = tiny.Discriminator().apply(
    d.variables, seen[0], train=True, mutable=list(d.stats)
  )
  np.testing.assert_allclose(again.logits, passes[0][0].logits, rtol=1e-6)


@pytest.mark.parametrize('phase', ['with', 'after'])
def test_between_its_turns_a_lazy_term_changes_nothing(phase):
  """And counts `every` times as much when it is due."""
  updates = {}
  for name, every in (('none', 0), ('lazy', 4), ('plain', 1)):
    found = {}
    if every:
      r1 = tiny.terms()['r1']._replace(phase=phase, every=every, weight=0.5)
      found = {'r1': r1}
    rules = dict(generator=SGD, discriminator=SGD)
    made = built(tiny.game(found), optimizer=rules)
    state = quickly(made.init)(jax.random.key(0))
    step = quickly(made.make_step(made.growth.stages[0]))
    for k in (0, 1):
      at = state.replace(step=jnp.int32(k))
      new, _ = step(at, {}, batch(1), Span())
      updates[name, k] = small.flat(
        terms_lib.network_only(new.pair.d.params)
      ) - small.flat(terms_lib.network_only(state.pair.d.params))
  # Two programs: to rounding.
  np.testing.assert_allclose(
    updates['lazy', 1], updates['none', 1], rtol=0, atol=1e-7
  )
  own = {k: updates[k, 0] - updates['none', 0] for k in ('lazy', 'plain')}
  assert np.abs(own['plain']).max() > 1e-4
  np.testing.assert_allclose(
    own['lazy'], 4 * own['plain'], rtol=1e-3, atol=1e-6
  )


def test_clipping_is_for_the_network_alone():
  c = config(penalties=dict(clip=dict(limit=0.01)))
  game = tiny.game({'decode': tiny.decode()})
  stage = Stage(0, N, 1, N)
  made = experiment.assemble(
    c, game, tiny.SHAPE, growth.after((), (growth.Phase(stage),), 0)
  )
  state = quickly(made.init)(jax.random.key(0))
  new, _ = quickly(made.make_step(stage))(state, {}, batch(1), Span())
  params = new.pair.d.params
  network = small.flat(terms_lib.network_only(params))
  assert np.abs(network).max() <= np.float32(0.01)
  assert np.abs(params['terms']['decode']['w']).max() > 0.1


@pytest.mark.parametrize('reads, times', [((), 1), (('opponent',), 2)])
def test_g0s_terms_meet_each_opponent_or_none(reads, times):
  """A term that sees nothing of the opponents runs once, not N times."""
  calls = []

  def value(own, view):
    z = view.latents(2)
    jax.debug.callback(lambda x: calls.append(float(x)), jnp.mean(z))
    return jnp.mean(view.play(z).samples ** 2), {}, {}

  found = {'own': tiny.Term('g', value, frozenset(reads), weight=0.1)}
  made = built(tiny.game(found), pairs=2, scheme='two_stage')
  # The local generators have the term, too: theirs are two more.
  state = quickly(made.init)(jax.random.key(0))
  stage = made.growth.stages[0]
  new, metrics = quickly(made.make_step(stage))(
    state, {}, batch(stage.draws), Span()
  )
  jax.block_until_ready(new)
  jax.effects_barrier()
  assert len(calls) == 2 + times
  assert metrics['own'] > 0 and metrics['local_own'] > 0
