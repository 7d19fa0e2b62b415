"""DiffAugment and ADA in front of D: in schemes, in ensembles, on devices."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax import experiment
from gan_jax.data.ada import Ada
from gan_jax.data.diff_augment import CHANGES, DiffAugment
from gan_jax.errors import UserError
from gan_jax.losses import LOSSES
from gan_jax.losses.adversarial import Hinge
from gan_jax.mesh import make_mesh, one_device
from gan_jax.networks import Judgement, Made
from gan_jax.objective import Objective
from gan_jax.schemes import SCHEMES, growth, one_stage
from gan_jax.state import Pair, Player, Span, Stage, stream
from gan_jax.validate import validate, validate_shape
from tests import small, tiny
from tests.schemes.devices_test import on_mesh

ALL = tuple(CHANGES)
N = 4
KEY = jax.random.key(5)
SGD = dict(name='sgd', lr=0.1, b1=0.0)


class Scales(NamedTuple):
  """A picture and a small one, as FastGAN's generator makes them."""

  image: Any
  small: Any


class Critic(nn.Module):
  """Pictures, or `Scales` of them, to [N] or [N, patches] logits."""

  patches: int = 0

  @nn.compact
  def __call__(self, x, labels, *, train):
    del labels, train
    low = x.small if isinstance(x, Scales) else x[:, ::2, ::2]
    high = x.image if isinstance(x, Scales) else x
    h = [nn.Dense(6)(part.reshape(len(part), -1)) for part in (high, low)]
    h = nn.leaky_relu(sum(h), 0.2)
    logits = nn.Dense(self.patches or 1)(h)
    return Judgement(logits if self.patches else logits[:, 0], {})


def quickly(function):
  quick = {'xla_backend_optimization_level': 0}
  return jax.jit(function, compiler_options=quick)


LOSS = {
  'non_saturating': LOSSES['non_saturating'],
  'wasserstein': LOSSES['wasserstein'],
  'jittered hinge': Hinge(margin_jitter=0.2),
}


@pytest.mark.parametrize(
  'loss, patches, augment',
  [
    *(
      (loss, patches, DiffAugment(ALL, scales))
      for loss in LOSS
      for patches, scales in ((0, 'same'), (7, 'independent'))
    ),
    ('non_saturating', 0, Ada(('color',), p=0.8)),
    pytest.param('wasserstein', 7, Ada(p=0.8), marks=pytest.mark.slow),
  ],
)
def test_one_stage_is_exact_at_what_g_made(loss, patches, augment):
  """G's gradient goes through the change of each fake, written out here."""
  critic, stats = Critic(patches), {}
  if carried := augment.start():
    stats = {'augment': carried}
  keys = jax.random.split(KEY, 4)
  real, image = jax.random.uniform(keys[0], (2, N, 8, 8, 3), minval=-1)
  fake = Scales(image, jax.random.uniform(keys[1], (N, 4, 4, 3), minval=-1))
  labels = jnp.zeros(N, jnp.int32)
  params = critic.init(keys[2], real, labels, train=True)['params']
  game = Objective(None, critic, LOSS[loss], {}, None, augment)

  def one():
    pair = Pair(Player({}, {}, None), Player(params, stats, None))
    way = one_stage.gradients_of(game.loss, {})
    of_d, of_g, _ = way(game, pair, {}, Made(fake, {}), small.now(real, KEY))
    return of_d[0], of_g[0].samples

  def scores(params, fake):
    seen = (
      augment(x, carried, stream(stream(KEY, name), 'augment'))
      for name, x in (('real', real), ('fake', fake))
    )
    return [
      critic.apply({'params': params}, x, labels, train=True).logits
      for x in seen
    ]

  drawn = stream(KEY, 'loss')
  d_loss = lambda p: game.loss.d_loss(*scores(p, fake), {}, drawn)
  g_loss = lambda x: game.loss.g_loss(*scores(params, x), {})
  two = lambda: (jax.grad(d_loss)(params), jax.grad(g_loss)(fake))
  got, wanted = jax.device_get(quickly(lambda: (one(), two()))())
  for a, b in zip(got, wanted, strict=True):
    size = np.linalg.norm(small.flat(b))
    assert np.linalg.norm(small.flat(a) - small.flat(b)) < 1e-5 * size
  for at_picture in got[1]:
    assert np.all(at_picture.any((1, 2, 3)))  # each fake learns


def built(game, scheme, pairs=0, side=0):
  rules = dict(generator=SGD, discriminator=SGD)
  c = small.config(optimizer=rules, scheme=dict(name=scheme)).unlock()
  c.ensemble.pairs, c.latent.size = pairs, tiny.Z
  draws = SCHEMES[scheme].draws(c.scheme)
  stage = Stage(side, N, pairs * 3 if pairs else draws, draws * N)
  phases = growth.after((), (growth.Phase(stage),), 0)
  return experiment.assemble(c.lock(), game, tiny.SHAPE, phases), stage


def stepped(scheme, augment, **how):
  """The pairs of a step of the tiny networks, from one first state."""
  made, stage = built(tiny.game({}, augment=augment), scheme, **how)
  state = quickly(made.init)(jax.random.key(0))
  batch = small.batch(stage.draws, N, shape=tiny.SHAPE)
  new, metrics = quickly(made.make_step(stage))(state, {}, batch, Span())
  assert np.all(np.isfinite(small.flat(metrics)))
  return new.pair, new.local_pairs


ADA = Ada(p=0.8, images=100.0, every=1)


@pytest.mark.parametrize(
  'augment, how',
  [
    (DiffAugment(ALL), {}),
    (DiffAugment(ALL), dict(side=4)),
    pytest.param(DiffAugment(ALL), dict(pairs=2), marks=pytest.mark.slow),
    pytest.param(ADA, dict(side=4), marks=pytest.mark.slow),
  ],
)
def test_schemes_agree_and_an_ensemble_and_growth_take_it(augment, how):
  """One stage and simultaneous are one update of SGD, changed or not."""
  one, both, bare = (
    stepped(scheme, augment, **how)
    for scheme, augment in (
      ('one_stage', augment),
      ('simultaneous', augment),
      ('one_stage', None),
    )
  )
  if augment is ADA:
    p = one[0].d.stats['augment']['p']
    assert abs(p - 0.8) == pytest.approx(N / ADA.images)
  params = lambda pairs: [(x.g.params, x.d.params) for x in pairs if x]
  a, b, c = (small.flat(params(x)) for x in (one, both, bare))
  np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
  assert np.abs(a - c).max() > 1e-4


def digits(**augment):
  c = small.config(
    optimizer=dict(generator=SGD, discriminator=SGD),
    scheme=dict(name='one_stage'),
    augment=augment,
  )
  with c.unlocked():
    c.data.source = 'digits'
    for player in ('generator', 'discriminator'):
      c[player] = dict(
        name='dcgan', width=2, norm='group', spectral=False, bias=True
      )
  validate(c)
  return c


@pytest.mark.slow
@pytest.mark.parametrize(
  'augment',
  [dict(diff=ALL), dict(ada=('blit', 'geometry', 'color'), ada_p=0.8)],
  ids=['diff', 'ada'],
)
def test_eight_devices_change_their_own_pictures(augment):
  """Nothing of a batch passes between devices, and the step is the same."""
  config = digits(**augment)
  many, on_eight = on_mesh(config, make_mesh(config.mesh))
  text = many.as_text()
  assert 'all-reduce' in text  # gradients
  for word in ('all-gather', 'all-to-all', 'collective-permute'):
    assert word not in text, word
  _, on_one = on_mesh(config, one_device())
  # Gradients of 0.1 that cancel to 1e-6: sums in another order, in float32.
  np.testing.assert_allclose(
    small.flat(on_eight), small.flat(on_one), rtol=1e-4, atol=5e-6
  )


@pytest.mark.parametrize(
  'source, shape, words',
  [
    ('toy:ring8', (2,), "'toy:ring8' gives points"),
    ('text:builtin', (32, 40), "'text:builtin' gives text"),
    ('npz:x.npz', (32, 32, 4), 'have 4'),
  ],
)
def test_what_is_no_picture_is_refused(source, shape, words):
  c = digits(diff=('color',)).unlock()
  c.data.source, c.metrics.names = source, ('scores',)
  if len(shape) < 3:
    name = {1: 'mlp', 2: 'charcnn'}[len(shape)]
    c.generator = dict(name=name)
    c.discriminator = dict(name=name)
  with pytest.raises(UserError) as refused:
    validate_shape(c, shape)
  text = str(refused.value)
  assert words in text and 'config.augment.diff' in text
  c.augment.diff = ('translation', 'cutout') if len(shape) == 3 else ()
  validate_shape(c, shape)


def test_a_classifier_has_no_discriminator_to_stand_in_front_of():
  c = config_lib.load('configs/distill_cifar.py:method=dfad,test').unlock()
  c.augment.diff = ('cutout',)
  with pytest.raises(UserError, match=r"augment\.diff .* 'dfad' trains a cl"):
    validate(c)
