"""Distillation in the schemes: gradients, updates, the teacher, resuming."""

import functools
import json
import pathlib
import shutil

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import config as config_lib
from gan_jax import experiment
from gan_jax.data.pipeline import Batch
from gan_jax.distill import LOSSES
from gan_jax.distill.game import TEACHER, Distillation
from gan_jax.distill.losses import ZeroShot
from gan_jax.distill.teacher import find
from gan_jax.errors import UserError
from gan_jax.evaluate import evaluate
from gan_jax.mesh import one_device
from gan_jax.networks import Judgement, Made
from gan_jax.nn.latent import draw
from gan_jax.nn.norm import normalise
from gan_jax.optimizer import Optimizer, Optimizers
from gan_jax.passes import Round
from gan_jax.plan import plan
from gan_jax.restore import restore
from gan_jax.run import constants as constants_lib
from gan_jax.run.folder import RunDir
from gan_jax.sample import sample
from gan_jax.schemes import alone, one_stage, two_stage
from gan_jax.state import START, stream
from gan_jax.train import train
from gan_jax.validate import validate, validate_shape
from tests import small

N, SHAPE, K, Z = 6, (4, 4, 1), 3, 5
KEY = jax.random.key(3)
RATE = 0.1
CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'


class Net(nn.Module):
  """Two layers around a batch norm; a classifier's form."""

  width: int

  @nn.compact
  def __call__(self, x, labels, *, train):
    x = nn.Dense(self.width)(x.reshape(len(x), -1))
    x = nn.leaky_relu(normalise(x, 'batch', train=train))
    return Judgement(nn.Dense(K)(x), {'2': x.reshape(len(x), 2, 2, -1)})


class Maker(nn.Module):
  """Latent vectors to pictures, with a batch norm."""

  @nn.compact
  def __call__(self, z, labels, *, train):
    x = normalise(nn.Dense(16)(z), 'batch', train=train)
    return jnp.tanh(nn.Dense(16)(x)).reshape(len(z), *SHAPE)


def quickly(function, *args):
  """What a function gives, compiled with little optimisation: it runs once."""
  quick = {'xla_backend_optimization_level': 0}
  return jax.jit(function, compiler_options=quick)(*args)


def game(loss):
  """A game, its optimisers (plain gradient descent) and its first pair."""
  data_free = loss.data_free
  made = Distillation(
    generator=Maker() if data_free else None,
    discriminator=Net(8),
    loss=loss,
    latents=functools.partial(draw, size=Z, distribution='normal'),
    teacher=Net(12) if loss.has_teacher else None,
  )
  rule = Optimizer(optax.sgd(1.0), lambda images: RATE)
  rules = Optimizers(rule, rule)
  z, sample = jnp.zeros((2, Z)), jnp.zeros((2, *SHAPE))
  start = lambda key: made.first_pair(z, sample, rules, key)
  pair = quickly(start, jax.random.key(1))
  return made, rules, pair


@functools.cache
def constants():
  """An untrained teacher's variables, by their name."""
  made, _, _ = game(LOSSES['dfad'])
  sample = jnp.zeros((2, *SHAPE))
  return {
    TEACHER: quickly(
      lambda key: made.first_teacher(sample, key), jax.random.key(1)
    )
  }


def now(real, labels):
  return Round(real, labels, START, KEY, constants())


def stepped(step, *args):
  """What a scheme's step gives at the start."""
  run = lambda pair, batch, key, constants: step(
    pair, batch, START, key, constants
  )
  return quickly(run, *args, constants())


def batch(draws, fill=None):
  rng = np.random.default_rng(0)
  image = rng.normal(size=(draws, N, *SHAPE)) if fill is None else fill
  image = jnp.broadcast_to(jnp.float32(image), (draws, N, *SHAPE))
  return Batch(image, jnp.tile(jnp.arange(N, dtype=jnp.int32) % K, (draws, 1)))


def student_loss(loss, params, d, x):
  """DFAD's or ZSKT's loss, written from the networks alone."""
  variables = {'params': params, 'batch_stats': d.stats['batch_stats']}
  s, stats = Net(8).apply(variables, x, None, train=True, mutable='batch_stats')
  t = Net(12).apply(constants()[TEACHER], x, None, train=False)
  if loss == 'dfad':
    return jnp.mean(jnp.abs(t.logits - s.logits)), stats
  p, q = (jax.nn.softmax(j.logits) for j in (t, s))
  return jnp.mean(jnp.sum(p * jnp.log(p / q), -1)), stats


@pytest.mark.parametrize('name', ['dfad', 'zskt'])
def test_one_stage_has_the_gradients_of_two_passes(name):
  made, _, pair = game(LOSSES[name])
  d = pair.d
  fake = jax.random.normal(KEY, (N, *SHAPE))
  real = jnp.full((N, *SHAPE), jnp.nan)  # no real picture is looked at
  labels = batch(1).label[0]
  constants()  # made here, not inside what is compiled
  (got_d, stats), ((got_fake, _), *_), _ = quickly(
    lambda pair, fake: one_stage.symmetric_gradients(
      made, pair, pair.g.stats, Made(fake, {}), now(real, labels)
    ),
    pair,
    fake,
  )
  loss = lambda params, x: student_loss(name, params, d, x)
  want_d, want_stats = quickly(jax.grad(loss, has_aux=True), d.params, fake)
  want_fake, _ = quickly(jax.grad(loss, 1, has_aux=True), d.params, fake)
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-7)
  close(small.flat(got_d), small.flat(want_d))
  close(got_fake, -want_fake)
  close(small.flat(stats['batch_stats']), small.flat(want_stats))
  # The same from the second pass that two stages would make.
  g_loss = lambda x: made.g_loss(None, {}, d, Made(x, {}), now(real, labels))[0]
  close(got_fake, quickly(jax.grad(g_loss), fake))
  assert np.abs(want_fake).max() > 1e-4


def test_two_stages_update_the_student_five_times_and_g_once():
  made, rules, pair = game(LOSSES['dfad'])
  settings = small.config(scheme=dict(d_steps=5)).scheme
  step = two_stage.make_step(made, rules, settings)
  new, metrics = stepped(step, pair, batch(5, fill=jnp.nan), KEY)

  def down(params, gradient):
    return jax.tree.map(lambda p, x: p - RATE * x, params, gradient)

  def fakes(params, key):
    z = made.latents(key, N)
    variables = {'params': params, **pair.g.stats}
    return Maker().apply(variables, z, None, train=True, mutable='batch_stats')

  def round_of_five(pair):
    d = pair.d
    for k in range(5):
      x, _ = fakes(pair.g.params, stream(KEY, f'd{k}'))
      loss = lambda params, d=d, x=x: student_loss('dfad', params, d, x)
      gradient, stats = jax.grad(loss, has_aux=True)(d.params)
      d = d.replace(params=down(d.params, gradient), stats=d.stats | stats)

    def g_loss(params):
      x, _ = fakes(params, stream(KEY, 'g'))
      return -student_loss('dfad', d.params, d, x)[0]

    return d, down(pair.g.params, jax.grad(g_loss)(pair.g.params))

  d, g_params = quickly(round_of_five, pair)
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
  close(small.flat(new.d.params), small.flat(d.params))
  close(small.flat(new.d.stats), small.flat(d.stats))
  close(small.flat(new.g.params), small.flat(g_params))
  assert set(metrics) == {'d_loss', 'agreement', 'g_loss'}


def test_attention_moves_the_student_and_not_the_generator():
  made, rules, pair = game(ZeroShot(attention=10.0))
  without = made._replace(loss=ZeroShot())
  settings = small.config().scheme
  fake = jax.random.normal(KEY, (N, *SHAPE))

  def g_gradient(made):
    labels = jnp.zeros(N, jnp.int32)
    loss = lambda x: made.g_loss(
      None, {}, pair.d, Made(x, {}), now(None, labels)
    )[0]
    return quickly(jax.grad(loss), fake)

  assert (g_gradient(made) == g_gradient(without)).all()
  students = [
    stepped(two_stage.make_step(m, rules, settings), pair, batch(1), KEY)[0].d
    for m in (made, without)
  ]
  assert not small.identical(students[0].params, students[1].params)


@pytest.mark.parametrize('name', ['cross_entropy', 'kd'])
def test_alone_descends_on_real_pictures(name):
  made, rules, pair = game(LOSSES[name])
  step = alone.make_step(made, rules, None)
  data = batch(1)
  new, metrics = stepped(step, pair, data, KEY)
  x, labels = data.image[0], data.label[0]
  d = pair.d

  def loss(params):
    variables = {'params': params, 'batch_stats': d.stats['batch_stats']}
    s, _ = Net(8).apply(variables, x, None, train=True, mutable='batch_stats')
    hard = optax.softmax_cross_entropy_with_integer_labels(s.logits, labels)
    if name == 'cross_entropy':
      return jnp.mean(hard)
    t = Net(12).apply(constants()[TEACHER], x, None, train=False)
    soft = optax.kl_divergence(
      jax.nn.log_softmax(s.logits / 4), jax.nn.softmax(t.logits / 4)
    )
    return 0.9 * 16 * jnp.mean(soft) + 0.1 * jnp.mean(hard)

  want, gradient = quickly(jax.value_and_grad(loss), d.params)
  want_params = jax.tree.map(lambda p, x: p - RATE * x, d.params, gradient)
  np.testing.assert_allclose(metrics['d_loss'], want, rtol=1e-5)
  np.testing.assert_allclose(
    small.flat(new.d.params), small.flat(want_params), rtol=1e-4, atol=1e-6
  )
  assert new.g is None


# Whole runs.


def load(spec, *overrides):
  return config_lib.load(f'{CONFIGS}/{spec}', overrides)


ONE = ('mesh.data', '1')  # device: less to compile


def classifier(*overrides):
  return load('classifier_cifar.py:test', ONE, *overrides)


def distill(teacher, *overrides):
  where = ('teacher.workdir', str(teacher))
  return load('distill_cifar.py:test', ONE, where, *overrides)


@pytest.fixture(name='teacher', scope='module')
def _teacher(tmp_path_factory):
  """The folder of a classifier after four steps."""
  folder = tmp_path_factory.mktemp('teacher')
  train(classifier(), folder)
  return folder


@pytest.fixture(name='distilled', scope='module')
def _distilled(teacher, tmp_path_factory):
  """The folder of a data-free distillation after four steps."""
  folder = tmp_path_factory.mktemp('distilled')
  train(distill(teacher), folder)
  return folder


def final(folder):
  return restore(folder, one_device()).state


def test_a_classifiers_run_has_accuracy_and_no_samples(teacher, caplog):
  lines = RunDir(teacher).lines()
  measured = [line for line in lines if 'accuracy' in line]
  assert [line['step'] for line in measured] == [4]
  assert (teacher / 'images' / 'reals.png').exists()
  assert not list((teacher / 'images').glob('fakes*'))
  assert 'accuracy' in (teacher / 'log.txt').read_text()
  assert final(teacher).pair.g is None
  line = evaluate(teacher)
  assert line['accuracy'] == measured[0]['accuracy']
  assert line['samples'] == 180  # a tenth of the digits
  assert json.loads((teacher / 'evaluate.jsonl').read_text()) == line
  with pytest.raises(UserError, match='makes no samples: use --mode=evaluate'):
    sample(teacher, '0-3', None, None)


def test_the_teacher_is_taken_over_and_stays_as_it_is(teacher, distilled):
  student = final(distilled).pair.d
  trained = final(teacher).pair.d.variables
  kept = constants_lib.load(distilled, TEACHER, trained)
  assert small.identical(kept, trained) and TEACHER not in student.stats
  table = json.loads((distilled / 'constants.json').read_text())
  assert table[TEACHER]['origin'] == f'step 4 of {teacher}'
  count = lambda tree: len(jax.tree.leaves(tree))
  assert count(student.opt) <= count(student.params) + 3  # momentum, counts
  assert list((distilled / 'images').glob('fakes_000000004.png'))


@pytest.mark.slow
def test_a_run_goes_on_without_the_teachers_folder(
  teacher, distilled, tmp_path
):
  copy, run = tmp_path / 'teacher', tmp_path / 'run'
  shutil.copytree(teacher, copy)
  train(distill(copy, ('train.steps', '2')), run)
  shutil.rmtree(copy)
  (run / 'constants.json').rename(run / 'away')
  with pytest.raises(UserError, match="has lost the run's teacher"):
    train(distill(copy), run)
  (run / 'away').rename(run / 'constants.json')
  train(distill(copy), run)
  assert small.identical(final(run), final(distilled))
  sample(run, '0-1', None, None)
  assert len(list((run / 'samples').glob('*/seed*.png'))) == 2


def test_plan_shows_the_networks_there_are(teacher):
  text = plan(distill(teacher)).text
  assert all(w in text for w in ('Generator', 'Discriminator', 'Teacher'))
  text = plan(classifier()).text
  assert 'Generator' not in text and 'Teacher' not in text


def test_a_teacher_that_does_not_fit_is_refused(teacher, tmp_path):
  facts = RunDir(teacher).load_data()
  for overrides, ours, words in (
    ([('teacher.workdir', f'{tmp_path}/x')], facts, 'holds no run: train the'),
    ([], facts | {'shape': [28, 28, 3]}, 'was trained on pictures of shape'),
    ([], facts | {'classes': ['a', 'b']}, 'number of classes'),
    ([('teacher.width', '4')], facts, "'width': 8"),
  ):
    config = distill(teacher, *overrides)
    made = experiment.build(config, (32, 32, 3), 10)
    like = experiment.constants_like(made)[TEACHER]
    with pytest.raises(UserError) as error:
      find(config.teacher, ours, like, restore)
    assert words in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(
  'overrides, words',
  [
    ([('scheme.name', 'simultaneous')], "'two_stage' or 'one_stage'"),
    ([('scheme.name', 'alone')], 'has a generator to train'),
    ([('loss.name', 'kd')], "set config.scheme.name = 'alone'"),
    (
      [('loss.name', 'zskt'), ('loss.attention', '1.0')],
      'set config.loss.attention = 0.0',
    ),
    ([('loss.name', 'hinge')], "discriminator.name = 'resnet' is not one of"),
    ([('discriminator.depth', '20')], '10, 18, 34'),
    ([('teacher.workdir', '')], 'needs a trained teacher'),
    ([('data.test_split', '')], 'set config.data.test_split'),
    ([('penalties.r1.weight', '1.0')], 'penalties.r1.weight to 0'),
    ([('ensemble.pairs', '2')], 'ensemble.pairs to 0'),
    ([('loss.alpha', '2.0')], 'at most 1.0'),
  ],
)
def test_what_does_not_go_together_is_refused(overrides, words):
  with pytest.raises(UserError) as error:
    validate(load('distill_cifar.py:test', *overrides))
  assert words in str(error.value) and '\n' not in str(error.value)


def test_gans_are_not_trained_alone_and_points_not_classified():
  with pytest.raises(UserError, match="'cross_entropy' or 'kd'"):
    validate(small.config(scheme=dict(name='alone')))
  with pytest.raises(UserError, match='works on pictures'):
    validate_shape(classifier(), (2,))
