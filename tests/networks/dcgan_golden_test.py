"""DCGAN and its gradients against OSGAN's released code, run in float64."""

import jax
import numpy as np
import pytest

from gan_jax import convert
from gan_jax.losses import LOSSES
from gan_jax.networks import dcgan
from gan_jax.objective import Objective
from gan_jax.state import Player
from tests import small
from tests.golden import rule

ABOUT, ARRAYS = rule.load('osgan')
SHAPE = (64, 64, 3)
G = dcgan.Generator(SHAPE, width=16)
D = {
  'D_gn': dcgan.Discriminator(SHAPE, width=16, norm='group'),
  'D_bn': dcgan.Discriminator(SHAPE, width=16, norm='batch'),
}

# Forward passes: the reference README's tolerance for float32.
FORWARD = 1e-4


KINDS = {'G': 'osgan.generator', 'D': 'osgan.discriminator'}


def variables(name):
  arrays = rule.weights(ABOUT['nets'][name])
  module, found = convert.released(KINDS[name[0]], arrays)
  assert module == (G if name == 'G' else D[name])  # sizes from the shapes
  return found


def latents():
  z = ABOUT['inputs']['z']
  return rule.rule(z['name'], z['shape'], z['seed'])[:, :, 0, 0]


def images():
  x = ABOUT['inputs']['x']
  nchw = rule.image(x['name'], x['shape'], x['seed'], x['low'], x['amp'])
  return nchw.transpose(0, 2, 3, 1)


def test_the_rule_re_creates_the_stored_inputs():
  np.testing.assert_array_equal(ARRAYS['in/z'][:, :, 0, 0], latents())
  stats = ABOUT['inputs']['x']
  assert np.linalg.norm(images()) == pytest.approx(stats['l2'], rel=1e-6)


@pytest.mark.parametrize('case', ['G_eval', 'G_train'])
def test_generator(case):
  train = case == 'G_train'
  make = jax.jit(
    lambda v, z: G.apply(v, z, train=train, mutable=['batch_stats'])
  )
  ours, new = make(variables('G'), latents())
  nchw = np.transpose(ours, (0, 3, 1, 2))
  error = rule.relative_error(nchw, *rule.stored(ABOUT, ARRAYS, case, 'img'))
  assert error < FORWARD
  for i in range(4 if train else 0):
    for mine, theirs in (('mean', 'running_mean'), ('var', 'running_var')):
      name = f'after/deconv{i + 1}_bn.{theirs}'
      error = rule.relative_error(
        new['batch_stats'][f'BatchNorm_{i}'][mine],
        *rule.stored(ABOUT, ARRAYS, case, name),
      )
      assert error < FORWARD, name


@pytest.mark.parametrize(
  'case, net, train',
  [
    ('D_gn', 'D_gn', False),
    ('D_bn_eval', 'D_bn', False),
    ('D_bn_train', 'D_bn', True),
  ],
)
def test_discriminator(case, net, train):
  judge = jax.jit(
    lambda v, x: D[net].apply(v, x, train=train, mutable=['batch_stats'])
  )
  judgement, _ = judge(variables(net), images())
  kept = rule.stored(ABOUT, ARRAYS, case, 'logits')
  assert rule.relative_error(judgement.logits, *kept) < FORWARD


@pytest.mark.parametrize(
  'case, net, loss',
  [
    ('asym', 'D_gn', 'non_saturating'),
    ('asym_bn', 'D_bn', 'non_saturating'),
    ('sym', 'D_gn', 'minimax'),
    ('sym_bn', 'D_bn', 'minimax'),
  ],
)
def test_gradients_of_two_separate_passes(case, net, loss):
  game = Objective(G, D[net], LOSSES[loss], {}, latents=None)
  g, d = variables('G'), variables(net)
  g_stats, d_stats = (
    {k: v for k, v in x.items() if k != 'params'} for x in (g, d)
  )
  now = small.now(images(), jax.random.key(0))
  g_player = Player(g['params'], g_stats, None)
  d_player = Player(d['params'], d_stats, None)

  def fakes(params):
    return game.generate(params, g_stats, latents(), now)[0]

  def both(g_params, d_params):
    d_gradient, (_, metrics) = jax.grad(game.d_loss, has_aux=True)(
      d_params, d_stats, g_player, fakes(g_params), now
    )
    g_gradient, (_, g_metrics) = jax.grad(
      lambda p: game.g_loss(p, g_stats, d_player, fakes(p), now),
      has_aux=True,
    )(g_params)
    return d_gradient, metrics, g_gradient, g_metrics

  # Compiled as a whole, once: operation by operation it took 25 s.
  d_gradient, metrics, g_gradient, g_metrics = jax.jit(both)(
    g['params'], d['params']
  )

  out = ABOUT['cases'][case]['out']
  expected = out['loss_real']['value'] + out['loss_fake']['value']
  assert float(metrics['d_loss']) == pytest.approx(expected, rel=FORWARD)
  assert float(g_metrics['g_loss']) == pytest.approx(
    out['loss_g']['value'], rel=FORWARD
  )
  # The reference README, section 3: kinks of LeakyReLU and ReLU can move a
  # float32 gradient of these small networks by 0.1 to 1 percent.
  noise = ABOUT['cases'][case].get('grad_noise', {})
  for role, gradient in (('D', d_gradient), ('G', g_gradient)):
    reference = ABOUT['cases'][case]['grads'][f'two_pass/{role}']
    arrays = convert.under_released_names(KINDS[role], {'params': gradient})
    rows = rule.gradient_errors(arrays, reference)
    tolerance = max(1e-3, 5 * noise.get(f'two_pass/{role}', 0.0))
    for name, error in rows:
      assert error < tolerance, (role, name, error)
