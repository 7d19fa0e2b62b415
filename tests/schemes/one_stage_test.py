"""One stage against two separate passes, and gamma against closed forms."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax import experiment, losses, optimizer
from gan_jax.errors import UserError
from gan_jax.losses import LOSSES, PENALTIES
from gan_jax.losses.adversarial import Fisher, Hinge
from gan_jax.networks import Judgement, Made
from gan_jax.nn.norm import normalise
from gan_jax.objective import LOSS, Objective
from gan_jax.schemes import SCHEMES, one_stage, simultaneous
from gan_jax.state import Pair, Player, stream
from gan_jax.validate import validate
from tests import small

N, SHAPE = 6, (6, 6, 2)
LABELS = jnp.zeros(N, jnp.int32)
KEY = jax.random.key(3)
RHO = 0.1

ALL = {
  **LOSSES,
  'fisher': Fisher(rho=RHO),
  'jittered hinge': Hinge(margin_jitter=0.2),
}


class Critic(nn.Module):
  """Two layers with a norm between them; [N, patches] logits, or [N] of 0."""

  norm: str = 'group'
  spectral: bool = False
  patches: int = 0
  dtype: type = jnp.float32

  @nn.compact
  def __call__(self, x, labels, *, train):
    x = x.astype(self.dtype).reshape(len(x), 6, 12)
    first = nn.Dense(8, dtype=self.dtype)
    if self.spectral:
      norm = nn.SpectralNorm(first, collection_name='spectral')
      x = norm(x, update_stats=train)
    else:
      x = first(x)
    x = normalise(x, self.norm, train=train)
    x = nn.leaky_relu(x, 0.2).reshape(len(x), -1)
    x = nn.Dense(self.patches or 1, dtype=self.dtype)(x).astype(jnp.float32)
    return Judgement(x if self.patches else x[:, 0], {})


def game(loss, critic=None, terms=None):
  latents = lambda key, count: jnp.zeros((count, 1))
  return Objective(None, critic or Critic(), loss, terms or {}, latents)


def both(gradients, objective, d, real, fake):
  """D's gradient, G's at the fakes, D's stats, metrics."""
  pair = Pair(Player({}, {}, None), d)
  now, made = small.now(real, KEY), Made(fake, {})
  of_d, of_g, metrics = gradients(objective, pair, {}, made, now)
  return of_d[0], of_g[0].samples, of_d[1], metrics


def draw(critic, loss, seed, scale=1.0, shift=0.0):
  """A random D whose logits are scaled and shifted; real and fake samples."""
  keys = jax.random.split(jax.random.key(seed), 4)
  real, fake = jax.random.normal(keys[0], (2, N, *SHAPE))
  variables = dict(critic.init(keys[1], real, LABELS, train=True))
  params = dict(variables.pop('params'))
  last = max(k for k in params if k.startswith('Dense'))
  params[last] = {
    'kernel': scale * params[last]['kernel'],
    'bias': shift + params[last]['bias'],
  }
  if loss.start():
    variables[LOSS] = {'multiplier': jnp.float32(0.4)}
  return Player(params, variables, None), real, fake


def separate(objective, d, real, fake):
  """two_stage's: D's loss in its parameters, then G's loss in the fakes.

  The passes are those of one step: D's statistics move from the real batch to
  the fake one, and G's answer is judged where D judged its fakes.
  """
  now, g = small.now(real, KEY), Player({}, {}, None)

  def g_loss(fake):
    judged, _ = objective.judge_both(d.params, d.stats, Made(fake, {}), now)
    on_real, on_fake, *_ = judged
    carried = d.stats.get(LOSS, {})
    return objective.loss.g_loss(on_real.logits, on_fake.logits, carried)

  d_gradient, (stats, _) = jax.grad(objective.d_loss, has_aux=True)(
    d.params, d.stats, g, Made(fake, {}), now
  )
  return d_gradient, jax.grad(g_loss)(fake), stats


def floor_error(critic, d, fake):
  """The most that the floor can add to D's gradient: FLOOR mean |ds / dp|.

  Nothing where D is pulled back with what its loss gives: with patches.
  """
  if critic.patches > 1:
    return 0.0

  def score(params, x):
    variables = {'params': params, **d.stats}
    judgement, _ = critic.apply(
      variables, x[None], LABELS[:1], train=True, mutable=list(d.stats)
    )
    return jnp.sum(judgement.logits)

  each = jax.vmap(jax.grad(score), (None, 0))(d.params, fake)
  squared = sum(
    jnp.sum(x.reshape(N, -1) ** 2, 1) for x in jax.tree.leaves(each)
  )
  return one_stage.FLOOR * jnp.mean(jnp.sqrt(squared))


def distance(a, b):
  return np.linalg.norm(small.flat(a) - small.flat(b))


SOME = ('non_saturating', 'hinge', 'fisher')
CRITICS = {
  'group': Critic('group'),
  'layer': Critic('layer'),
  'instance': Critic('instance'),
  'spectral': Critic('none', spectral=True),
  'none': Critic('none'),
  'one patch': Critic('group', patches=1),
  'patches': Critic('group', patches=7),
}


@functools.cache
def compiled(critic):
  """For every loss both ways to the gradients, and the floor's share."""

  # Many losses, few numbers: compiling is the cost, and not worth optimising.
  @functools.partial(
    jax.jit, compiler_options={'xla_backend_optimization_level': 0}
  )
  def gradients(seed, scale, shift):
    out = {}
    # What a norm changes does not depend on the loss: all of them with one.
    for name in ALL if critic in ('group', 'patches') else SOME:
      loss = ALL[name]
      net = CRITICS[critic]
      d, real, fake = draw(net, loss, seed, scale, shift)
      objective = game(loss, net)
      way = one_stage.gradients_of(loss, {})
      one = both(way, objective, d, real, fake)
      two = separate(objective, d, real, fake)
      judged, _ = objective.judge_both(
        d.params, d.stats, Made(fake, {}), small.now(real, KEY)
      )
      reach = jnp.max(jnp.abs(judged.on_fake.logits))
      out[name] = one, two, floor_error(net, d, fake), reach
    return out

  return gradients


@pytest.mark.parametrize(
  'critic',
  [
    pytest.param(
      name, marks=[pytest.mark.slow] * (name in ('instance', 'layer'))
    )
    for name in CRITICS
  ],
)
@settings(max_examples=25, deadline=None)
@given(
  seed=st.integers(0, 2**31 - 1),
  scale=st.floats(2**-6, 64, width=32),
  shift=st.floats(-100, 100, width=32),
)
def test_gradients_are_those_of_two_separate_passes(critic, seed, scale, shift):
  results = jax.device_get(compiled(critic)(seed, scale, shift))
  for name, (one, two, floor, reach) in results.items():
    # gamma may be e^-s, whose relative error is s times that of s.
    precision = 1e-5 + 2 * np.finfo(np.float32).eps * reach
    d_gradient, fake_gradient, stats, metrics = one
    expected_d, expected_fake, expected_stats = two
    for x in (d_gradient, fake_gradient, metrics):
      assert np.all(np.isfinite(small.flat(x))), name
    for got, expected, extra in (
      (d_gradient, expected_d, floor),
      (fake_gradient, expected_fake, 0.0),
    ):
      size = np.linalg.norm(small.flat(expected))
      assert distance(got, expected) <= precision * size + extra + 1e-30, name
    if stats:
      np.testing.assert_allclose(
        small.flat(stats), small.flat(expected_stats), rtol=1e-5, atol=1e-6
      )


@pytest.mark.parametrize('name', ALL)
def test_gradients_in_bfloat16_agree_within_its_precision(name):
  critic = Critic('group', dtype=jnp.bfloat16)
  objective = game(ALL[name], critic)
  d, real, fake = draw(critic, ALL[name], seed=1)
  way = one_stage.gradients_of(ALL[name], {})
  one = both(way, objective, d, real, fake)
  two = separate(objective, d, real, fake)
  for got, expected in zip(one[:2], two[:2], strict=True):
    # Eight bits of mantissa, rounded in each of a handful of layers.
    size = np.linalg.norm(small.flat(expected))
    assert distance(got, expected) <= 0.03 * size


# spec/osgan.md section 3.3, from the losses' derivatives by hand; r and s are
# one score each, n the number of samples.
GAMMAS = {
  'minimax': lambda r, s: -np.ones_like(s),
  'wasserstein': lambda r, s: -np.ones_like(s),
  'non_saturating': lambda r, s: -np.exp(-s),
  'least_squares': lambda r, s: (s - 1) / s,
  'inverted_least_squares': lambda r, s: 10 * s / (s - 1),
  'hinge': lambda r, s: np.where(s > -1, -1.0, np.nan),
  'relativistic_paired': lambda r, s: -np.exp(r - s),
  'boundary_seeking': lambda r, s: s * (1 + np.exp(-s)),
  'fisher': lambda r, s: (
    -1 / (1 + (0.4 + RHO * ((np.mean(r**2) + np.mean(s**2)) / 2 - 1)) * s)
  ),
}


@pytest.mark.parametrize('patches', [0, 7])
@pytest.mark.parametrize('name', GAMMAS)
def test_gamma_is_its_closed_form(name, patches):
  """What scales a score's share in the fakes' gradient: the spec's table."""
  loss = ALL[name]
  objective = game(loss, Critic(patches=patches))
  d, real, fake = draw(objective.discriminator, loss, seed=2, scale=3.0)
  judged, _ = objective.judge_both(
    d.params, d.stats, Made(fake, {}), small.now(real, KEY)
  )
  expected = GAMMAS[name](judged.on_real.logits, judged.on_fake.logits)
  way = one_stage.asymmetric_gradients
  *_, metrics = both(way, objective, d, real, fake)
  defined = np.isfinite(expected)
  assert metrics['gamma_floored'] == pytest.approx(1 - defined.mean())
  if np.all(defined):
    got = [metrics['gamma'], metrics['gamma_min'], metrics['gamma_max']]
    wanted = [expected.mean(), expected.min(), expected.max()]
    np.testing.assert_allclose(got, wanted, rtol=1e-4)
  else:
    assert 0 < defined.mean() < 1  # this draw has scores on both sides of -1
    assert metrics['gamma_max'] == pytest.approx(-1)


@pytest.mark.parametrize('patches', [0, 1, 7])
def test_the_log_says_what_is_minimised_with_patches(patches, caplog):
  caplog.set_level('INFO', 'gan_jax')
  for name in ('hinge', 'wasserstein'):
    critic = Critic(patches=patches)
    d, real, fake = draw(critic, ALL[name], seed=8)
    way = one_stage.gradients_of(ALL[name], {})
    both(way, game(ALL[name], critic), d, real, fake)
  words = 'D gives 7 scores a sample. Both players minimise the mean over all'
  assert caplog.text.count(words) == (patches == 7)  # hinge's


@pytest.mark.parametrize('scheme', ['one_stage', 'simultaneous'])
@pytest.mark.parametrize('loss', ['non_saturating', 'wasserstein'])
def test_penalties_reach_d_only(scheme, loss):
  gradients = {
    'one_stage': one_stage.gradients_of(LOSSES[loss], {}),
    'simultaneous': simultaneous.gradients,
  }[scheme]
  penalties = {
    name: PENALTIES[name].make(**own)._replace(weight=0.7)
    for name, own in (('wgan_gp', dict(target=1.0)), ('r1', {}), ('drift', {}))
  }
  d, real, fake = draw(Critic(), LOSSES[loss], seed=4)
  found = {}
  for name, some in (('with', penalties), ('without', {})):
    objective = game(LOSSES[loss], terms=some)
    d_gradient, fake_gradient, _, metrics = both(
      gradients, objective, d, real, fake
    )
    expected_d, expected_fake, _ = separate(objective, d, real, fake)
    assert distance(d_gradient, expected_d) < 1e-5
    assert distance(fake_gradient, expected_fake) < 1e-5
    found[name] = d_gradient, fake_gradient
    assert set(some) <= set(metrics)
  assert distance(found['with'][0], found['without'][0]) > 0.1
  np.testing.assert_allclose(found['with'][1], found['without'][1], atol=1e-7)


@pytest.mark.parametrize('norm', ['batch', 'group'])
@pytest.mark.parametrize('name', ALL)
def test_simultaneous_is_exact_for_any_discriminator(name, norm):
  critic = Critic(norm, patches=3)
  objective = game(ALL[name], critic)
  d, real, fake = draw(critic, ALL[name], seed=5)
  d_gradient, fake_gradient, stats, _ = both(
    simultaneous.gradients, objective, d, real, fake
  )
  now, g = small.now(real, KEY), Player({}, {}, None)

  def g_loss(fake):
    judged, _ = objective.judge_both(d.params, d.stats, Made(fake, {}), now)
    on_real, on_fake, *_ = judged
    return ALL[name].g_loss(on_real.logits, on_fake.logits, d.stats.get(LOSS))

  expected_d, (new, _) = jax.grad(objective.d_loss, has_aux=True)(
    d.params, d.stats, g, Made(fake, {}), now
  )
  for got, wanted in (
    (d_gradient, expected_d),
    (fake_gradient, jax.grad(g_loss)(fake)),
  ):
    assert distance(got, wanted) <= 1e-5 * np.linalg.norm(small.flat(wanted))
  if stats:
    np.testing.assert_allclose(small.flat(stats), small.flat(new), rtol=1e-6)


def test_batch_norm_spoils_gamma_unless_it_is_minus_one():
  """Why one_stage refuses it: the image gradient mixes the samples' gammas."""
  critic = Critic('batch')
  for name in ('minimax', 'non_saturating'):
    objective = game(LOSSES[name], critic)
    d, real, fake = draw(critic, LOSSES[name], seed=6)
    way = one_stage.gradients_of(LOSSES[name], {})
    _, got, _, _ = both(way, objective, d, real, fake)
    _, expected, _ = separate(objective, d, real, fake)
    error = distance(got, expected) / np.linalg.norm(expected)
    assert (error < 1e-5) == (name == 'minimax')


def config(norm, loss, **scheme):
  c = small.config(loss=dict(name=loss), scheme=scheme)
  with c.unlocked():
    c.data.source = 'digits'
    for player in ('generator', 'discriminator'):
      c[player] = dict(
        name='dcgan', width=4, norm=norm, spectral=False, bias=True
      )
  return c


@pytest.mark.parametrize(
  'norm, loss, scheme, words',
  [
    ('batch', 'hinge', dict(name='one_stage'), "norm = 'group'"),
    ('batch', 'fisher', dict(name='one_stage'), "'simultaneous'"),
    ('group', 'hinge', dict(name='one_stage', d_steps=2), 'd_steps = 1'),
    ('batch', 'hinge', dict(name='simultaneous', d_steps=5), 'd_steps = 1'),
  ],
)
def test_refusals_name_what_to_change(norm, loss, scheme, words):
  with pytest.raises(UserError) as refused:
    validate(config(norm, loss, **scheme))
  assert words in str(refused.value)


@pytest.mark.parametrize(
  'norm, loss, name',
  [
    ('batch', 'minimax', 'one_stage'),
    ('batch', 'wasserstein', 'one_stage'),
    ('instance', 'hinge', 'one_stage'),
    ('batch', 'relativistic_average', 'simultaneous'),
    ('batch', 'hinge', 'two_stage'),
  ],
)
def test_what_is_exact_is_taken(norm, loss, name):
  validate(config(norm, loss, name=name))


@pytest.mark.parametrize('name', ['one_stage', 'simultaneous'])
def test_step_moves_both_players_against_the_same_opponent(name):
  """One SGD step of each equals the gradients at the state before it."""
  sgd = dict(name='sgd', lr=0.1, b1=0.0)
  made = small.config(
    optimizer=dict(generator=sgd, discriminator=sgd), scheme=dict(name=name)
  )
  built = experiment.build(made, small.SHAPE, 0)
  objective, pair = built.objective, built.init(jax.random.key(0)).pair
  step = SCHEMES[name].make_step(objective, optimizer.build(made), made.scheme)
  batch = small.batch(1)
  new, _ = small.compiled(step)(pair, batch, KEY)

  z = objective.latents(stream(KEY, 'latent'), small.N)
  apply = lambda net, params, x: net.apply({'params': params}, x, train=True)
  judge = lambda d, x: apply(objective.discriminator, d, x).logits
  make = lambda g: apply(objective.generator, g, z)

  def d_loss(d):
    on_real, on_fake = judge(d, batch.image[0]), judge(d, make(pair.g.params))
    return jnp.mean(jnp.log1p(jnp.exp(-on_real))) + jnp.mean(
      jnp.log1p(jnp.exp(on_fake))
    )

  def g_loss(g):
    return jnp.mean(jnp.log1p(jnp.exp(-judge(pair.d.params, make(g)))))

  for loss, before, after in (
    (d_loss, pair.d, new.d),
    (g_loss, pair.g, new.g),
  ):
    moved = small.flat(after.params) - small.flat(before.params)
    expected = -0.1 * small.flat(jax.grad(loss)(before.params))
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_fishers_multiplier_is_part_of_the_state():
  made = small.config(loss=dict(name='fisher', rho=0.5))
  built = experiment.build(made, small.SHAPE, 0)
  state = built.init(jax.random.key(0))
  assert state.pair.d.stats[LOSS]['multiplier'] == 0
  step = jax.jit(built.make_step(built.growth.stages[0]))
  new, _ = step(state, {}, small.batch(1), built.growth.spans[0])
  assert new.pair.d.stats[LOSS]['multiplier'] != 0
  assert losses.build_loss(made.loss).rho == 0.5
