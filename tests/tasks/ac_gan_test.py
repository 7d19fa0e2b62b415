"""AC-GAN's two terms: their formula, each scheme's gradients, refusals.

progan_golden_test.py has them against the released code.
"""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax import objective, optimizer
from gan_jax.data.pipeline import Batch
from gan_jax.errors import UserError
from gan_jax.help import explain
from gan_jax.networks.judgement import Judgement
from gan_jax.passes import Round
from gan_jax.schemes import SCHEMES
from gan_jax.state import START, stream
from gan_jax.tasks import AC_GAN, TASKS
from gan_jax.tasks.ac_gan import cross_entropy
from gan_jax.validate import validate
from tests import small

N, SHAPE, CLASSES, WEIGHT = 4, (4, 4, 1), 3, 0.7
SGD = dict(name='sgd', lr=0.1, b1=0.0)
KEY = jax.random.key(5)


def config(
  scheme='simultaneous', weight=WEIGHT, discriminator='progan', **data
):
  """ProGAN's smallest networks, with labels."""
  c = config_lib.defaults().unlock()
  c.data.update(source='digits', resolution=8, channels=1, **data)
  c.generator = dict(name='progan', fmap_base=16, fmap_max=8)
  c.discriminator = dict(name=discriminator)
  if discriminator == 'progan':
    c.discriminator.update(fmap_base=16, fmap_max=8)
  c.loss.name = 'non_saturating'
  c.tasks.ac_gan.weight = weight
  c.latent.size = 5
  c.scheme.update(name=scheme)
  c.optimizer.update(generator=SGD, discriminator=SGD)
  return config_lib.finish(c)


def labelled(**more):
  return config(conditional=True, **more)


@functools.cache
def stepped(scheme, weight=WEIGHT, fakes='fresh'):
  """The game, the pair before and after an SGD step, its batch, metrics."""
  c = labelled(scheme=scheme, weight=weight).unlock()
  c.scheme.fakes = fakes
  game = objective.build(c, SHAPE, CLASSES)
  rules = optimizer.build(c, game.terms)
  z, sample = jnp.zeros((1, 5)), jnp.zeros((1, *SHAPE))
  pair = jax.jit(lambda key: game.first_pair(z, sample, rules, key))(KEY)
  image = np.random.default_rng(0).normal(size=(1, N, *SHAPE))
  batch = Batch(jnp.float32(image), jnp.array([[0, 2, 1, 2]], jnp.int32))
  step = SCHEMES[scheme].make_step(game, rules, c.scheme)
  new, metrics = small.compiled(step)(pair, batch, KEY)
  return game, pair, new, batch, jax.device_get(metrics)


def test_cross_entropy_is_its_formula():
  rng = np.random.default_rng(1)
  logits, labels = rng.normal(0, 30, (7, CLASSES)), rng.integers(0, CLASSES, 7)
  p = np.exp(logits - logits.max(1, keepdims=True))
  p /= p.sum(1, keepdims=True)
  wanted = -np.mean(np.log(p[np.arange(7), labels]))
  found = cross_entropy(jnp.float32(logits), jnp.int32(labels))
  np.testing.assert_allclose(found, wanted, rtol=1e-5)
  # Where a class is certain: finite, in its gradient too.
  sure = jnp.float32([[1e4, 0.0, -1e4]])
  value, slope = jax.value_and_grad(cross_entropy)(sure, jnp.array([1]))
  assert value == 1e4 and np.array_equal(slope, [[1.0, -1.0, 0.0]])


def test_d_counts_both_batches_and_g_its_own():
  on = lambda seed: Judgement(
    jnp.zeros(N), {}, jax.random.normal(jax.random.key(seed), (N, CLASSES))
  )
  labels = jnp.array([0, 2, 1, 2])
  view = types.SimpleNamespace(
    on_real=on(1), on_fake=on(2), labels=labels, carried={}
  )
  real, fake = (
    cross_entropy(x.class_logits, labels) for x in (view.on_real, view.on_fake)
  )
  values = {term.player: term.value({}, view)[0] for term in AC_GAN.make()}
  assert values['d'] == pytest.approx(float(real + fake))
  assert values['g'] == pytest.approx(float(fake))


def wanted_losses(game, pair, batch):
  """Both players' losses as functions of their parameters, by hand."""
  labels, z = batch.label[0], game.latents(stream(KEY, 'latent'), N)
  make = lambda params: game.generator.apply(
    {'params': params}, z, labels, train=True
  )
  judge = lambda params, x: game.discriminator.apply(
    {'params': params}, x, train=True
  )

  def right(on):
    p = jax.nn.softmax(on.class_logits)[np.arange(N), labels]
    return -jnp.mean(jnp.log(p))

  def d_loss(d):
    real, fake = judge(d, batch.image[0]), judge(d, make(pair.g.params))
    play = jnp.mean(jnp.log1p(jnp.exp(-real.logits)))
    play += jnp.mean(jnp.log1p(jnp.exp(fake.logits)))
    return play + WEIGHT * (right(real) + right(fake))

  def g_loss(g, d=pair.d.params):
    on = judge(d, make(g))
    return jnp.mean(jnp.log1p(jnp.exp(-on.logits))) + WEIGHT * right(on)

  return d_loss, g_loss


def test_both_players_learn_what_they_are_told_from_one_pass():
  game, pair, new, batch, metrics = stepped('simultaneous')
  d_loss, g_loss = wanted_losses(game, pair, batch)
  for loss, name in ((d_loss, 'd'), (g_loss, 'g')):
    before, after = getattr(pair, name), getattr(new, name)
    value, slope = jax.jit(jax.value_and_grad(loss))(before.params)
    moved = small.flat(after.params) - small.flat(before.params)
    np.testing.assert_allclose(moved, -0.1 * small.flat(slope), atol=2e-6)
    assert metrics[f'{name}_loss'] == pytest.approx(float(value), rel=1e-5)
  assert metrics['d_ac_gan'] > metrics['g_ac_gan'] > 0


def test_in_two_stages_g_learns_from_the_new_d():
  game, pair, new, batch, _ = stepped('two_stage', fakes='shared')
  key = stream(KEY, 'd0')
  z = game.latents(key, N)
  labels = batch.label[0]

  def g_loss(g):
    x = game.generator.apply({'params': g}, z, labels, train=True)
    on = game.discriminator.apply({'params': new.d.params}, x, train=True)
    p = jax.nn.softmax(on.class_logits)[np.arange(N), labels]
    play = jnp.mean(jnp.log1p(jnp.exp(-on.logits)))
    return play - WEIGHT * jnp.mean(jnp.log(p))

  moved = small.flat(new.g.params) - small.flat(pair.g.params)
  slope = jax.jit(jax.grad(g_loss))(pair.g.params)
  np.testing.assert_allclose(moved, -0.1 * small.flat(slope), atol=2e-6)


def test_fakes_are_judged_by_the_labels_they_were_made_of():
  """Other labels of the round make other pictures and another term."""
  game, pair, *_, batch, _ = stepped('simultaneous')
  now = Round(batch.image[0], batch.label[0], START, KEY)
  z = game.latents(KEY, N)

  def term(labels):
    again = now._replace(labels=labels)
    made, _ = game.generate(pair.g.params, pair.g.stats, z, again)
    _, (_, metrics) = game.g_loss(pair.g.params, {}, pair.d, made, again)
    return made.samples, metrics['g_ac_gan']

  (one, a), (other, b) = (term(x) for x in (now.labels, (now.labels + 1) % 3))
  assert not np.array_equal(one, other) and a != b


def test_one_stage_is_refused_and_the_others_are_taken():
  for scheme in ('two_stage', 'simultaneous'):
    validate(labelled(scheme=scheme))
  with pytest.raises(UserError) as refused:
    c = labelled(scheme='one_stage').unlock()
    c.discriminator.group_size = 1
    validate(c)
  text = str(refused.value)
  assert "'simultaneous'" in text and 'class logits' in text
  assert 'tasks.ac_gan' in text
  assert '\n' not in text
  c.tasks.ac_gan.weight = 0.0
  validate(c)


@pytest.mark.parametrize(
  'made, words',
  [
    (lambda: config(discriminator='dcgan'), "discriminator.name = 'progan'"),
    (lambda: config(), 'config.data.conditional = True'),
  ],
)
def test_where_d_tells_no_classes_it_is_refused(made, words):
  c = made()
  with pytest.raises(UserError) as refused:
    validate(c)
  assert words in str(refused.value) and 'tasks.ac_gan' in str(refused.value)
  c.unlock().tasks.ac_gan.weight = 0.0
  validate(c)


def test_one_weight_turns_on_both():
  assert 'ac_gan' in TASKS
  found = objective.build_terms(labelled())
  assert {name: term.player for name, term in found.items()} == {
    'd_ac_gan': 'd',
    'g_ac_gan': 'g',
  }
  assert {term.weight for term in found.values()} == {WEIGHT}
  assert objective.build_terms(labelled(weight=0.0)) == {}
  assert 'of both players' in explain('tasks.ac_gan')
