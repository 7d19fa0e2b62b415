"""ADA's probability against the recurrence written out, and what is refused."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax import config as config_lib
from gan_jax import losses
from gan_jax.data import ada_pipe
from gan_jax.data.ada import Ada, build
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.restore import restore
from gan_jax.run.folder import RunDir
from gan_jax.train import train
from gan_jax.validate import validate, validate_shape
from tests import small

CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'
KEY = jax.random.key(3)

BGC = tuple(ada_pipe.GROUPS)
RULES = {
  'each': Ada(p=0.0, images=100.0, target=0.61, every=1),
  'third': Ada(p=0.5, images=40.0, target=0.61, every=3),
  'high': Ada(p=0.9, images=64.0, target=-0.61, every=2),
  'fixed': Ada(p=0.3, images=0.0, target=0.61, every=2),
}
STEPS = {name: jax.jit(rule.advance) for name, rule in RULES.items()}


@pytest.mark.parametrize('name', RULES)
@settings(max_examples=15, deadline=None)
@given(
  batches=st.lists(
    st.tuples(
      st.sampled_from([(4,), (8, 3)]),
      st.sampled_from([-3.0, 0.0, 0.5, 3.0]),
      st.integers(0, 99),
    ),
    max_size=14,
  )
)
def test_p_follows_the_signs_of_real_scores(name, batches):
  """Patches count by their mean; minibatches of a run that grows differ."""
  rule = RULES[name]
  carried, p, r, seen = rule.start(), rule.p, 0.0, []
  for k, (shape, bias, seed) in enumerate(batches, 1):
    scores = np.random.default_rng(seed).normal(bias, 1, shape)
    scores[0] = 0.0  # of no sign
    carried = STEPS[name](jnp.float32(scores), carried)
    seen += [np.mean(np.sign(x)) for x in scores]
    if k % rule.every == 0:
      r = np.mean(seen)
      if rule.images:
        p += np.sign(r - rule.target) * len(seen) / rule.images
      p, seen = min(max(p, 0.0), 1.0), []
    got = rule.metrics(carried)
    assert float(got['ada_p']) == pytest.approx(p, abs=1e-5)
    assert float(got['ada_r']) == pytest.approx(r, abs=1e-5)
    assert 0.0 <= got['ada_p'] <= 1.0


def test_a_small_picture_is_changed_as_the_large_one():
  """FastGAN's two keep the same colours."""
  x = jax.random.normal(jax.random.key(0), (8, 8, 8, 3))
  x = jnp.repeat(jnp.repeat(x[:, ::2, ::2], 2, 1), 2, 2)
  rule = Ada(('color',), p=1.0)
  both = {'image': x, 'small': x[:, ::2, ::2]}
  got = jax.jit(lambda x: rule(x, rule.start(), KEY))(both)
  np.testing.assert_array_equal(got['image'][:, ::2, ::2], got['small'])
  assert not np.allclose(got['image'], x, atol=0.1)


def with_ada(loss='non_saturating', **settings):
  c = small.config(augment=dict(ada=BGC) | settings, loss=dict(name=loss))
  with c.unlocked():
    c.data.source = 'digits'
    for player in ('generator', 'discriminator'):
      c[player] = dict(
        name='dcgan', width=2, norm='group', spectral=False, bias=True
      )
  return c


def test_the_settings_are_the_rule():
  c = with_ada(ada=BGC[::-1], ada_p=0.2, ada_target=0.5, ada_every=2)
  validate(c)
  assert build(c.augment) == Ada(BGC, 0.2, 500_000.0, 0.5, 2)
  assert build(small.config().augment) is None
  path = CONFIGS / 'stylegan2_folder.py'
  c = config_lib.load(f'{path}:augment=ada,test')
  assert build(c.augment) == Ada() and not c.augment.diff


@pytest.mark.parametrize('loss', losses.LOSSES)
def test_it_needs_a_loss_whose_scores_have_signs(loss):
  """Of which a D that cannot tell gives zeros, and one that can does not."""
  c = with_ada(loss)
  found = losses.build_loss(c.loss)
  if not found.signed:
    with pytest.raises(UserError, match='or config.augment.ada_images = 0.0'):
      validate(c)
    c = with_ada(loss, ada_images=0.0)
  else:
    # D's loss on a score of both kinds is least at 0; apart, on either side.
    s = jnp.linspace(-1, 1, 41)
    of = jax.vmap(lambda r, s: found.d_loss(r[None], s[None], {}))
    assert abs(of(s, s)[20] - of(s, s).min()) < 1e-6
    assert np.all(np.diff(of(s, -s)) < 0)
  validate(c)


@pytest.mark.parametrize(
  'settings, shape, words',
  [
    (dict(diff=('cutout',)), (32, 32, 3), ['augment.diff', 'both', 'one of']),
    (dict(ada=('fliter',)), (32, 32, 3), ["'blit', 'geometry', 'color'"]),
    ({}, (32, 32, 4), ["ada has 'color'", 'have 4']),
    ({}, (2,), ['augment.ada changes pictures', 'gives points']),
    ({}, (32, 40), ['augment.ada changes pictures', 'gives text']),
  ],
)
def test_what_it_cannot_do_is_refused_in_a_sentence(settings, shape, words):
  with pytest.raises(UserError) as refused:
    c = with_ada(**settings)
    validate(c)
    name = {1: 'mlp', 2: 'charcnn', 3: 'dcgan'}[len(shape)]
    with c.unlocked():
      c.generator = dict(name=name)
      c.discriminator = dict(name=name)
    validate_shape(c, shape)
  text = str(refused.value)
  assert '\n' not in text and all(word in text for word in words), text


def test_a_classifier_has_no_discriminator_to_stand_in_front_of():
  c = config_lib.load(f'{CONFIGS}/distill_cifar.py:method=dfad,test').unlock()
  c.augment.ada = ('blit',)
  with pytest.raises(UserError, match=r"augment\.ada .* 'dfad' trains a cl"):
    validate(c)


@pytest.mark.slow
def test_stopping_and_going_on_changes_no_bit(tmp_path):
  """p among it: at other steps than those after which it moves."""

  def run(folder, *steps):
    for many in steps:
      overrides = {
        'augment.ada': 'blit,geometry,color',
        'augment.ada_every': '3',
        'augment.ada_images': '100',
        'augment.ada_target': '-1',  # p goes up
        'train.log_every': '1',
        'train.steps': str(many),
      }
      path = f'{CONFIGS}/quickstart.py:test'
      train(config_lib.load(path, tuple(overrides.items())), folder)
    return restore(folder, one_device()).state

  whole, parts = run(tmp_path / 'a', 5), run(tmp_path / 'b', 2, 5)
  assert small.identical(whole, parts)
  assert 0 < whole.pair.d.stats['augment']['p'] < 1
  assert whole.pair.d.stats['augment']['updates'] == 2
  p = [line['ada_p'] for line in RunDir(tmp_path / 'b').lines()]
  assert p[:2] == [0, 0] and p[2] == p[4] > 0
