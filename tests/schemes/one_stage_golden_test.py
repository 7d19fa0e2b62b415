"""One-stage gradients against OSGAN's released code, run in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import convert
from gan_jax.losses import LOSSES
from gan_jax.networks import Judgement
from gan_jax.objective import Objective
from gan_jax.passes import Judged
from gan_jax.schemes import one_stage
from gan_jax.state import Pair, Player
from tests import small
from tests.golden import rule
from tests.networks import dcgan_golden_test as golden

CASES = golden.ABOUT['cases']
KEY = jax.random.key(0)


def player(net, shift=0.0):
  variables = dict(golden.variables(net))
  params = dict(variables.pop('params'))
  if shift:
    last = params['Conv_4']
    params['Conv_4'] = last | {'bias': last['bias'] + np.float32(shift)}
  return Player(params, variables, None)


def gradients(objective, net, shift=0.0):
  """Gradients under released names, by role, and the step's metrics."""
  g, d = player('G'), player(net, shift)

  def both(g_params, d_params):
    pair = Pair(g.replace(params=g_params), d.replace(params=d_params))
    now = small.now(golden.images(), KEY)
    made, pull_back, stats = objective.fakes(pair.g, golden.latents(), now)
    way = one_stage.gradients_of(objective.loss, {})
    on_d, on_g, metrics = way(objective, pair, stats, made, now)
    return pull_back(on_g[0])[0], on_d[0], metrics

  g_gradient, d_gradient, metrics = jax.jit(both)(g.params, d.params)
  named = convert.under_released_names
  return {
    'G': named('osgan.generator', {'params': g_gradient}),
    'D': named('osgan.discriminator', {'params': d_gradient}),
  }, metrics


def check(found, case, way, factor=1.0):
  noise = CASES[case]['grad_noise']
  for role in ('G', 'D'):
    arrays = {name: factor * x for name, x in found[role].items()}
    reference = CASES[case]['grads'][f'{way}/{role}']
    # The reference README, section 3: kinks of LeakyReLU and ReLU can move a
    # float32 gradient of these small networks by 0.1 to 1 percent.
    tolerance = max(1e-3, 5 * noise[f'{way}/{role}'])
    for name, error in rule.gradient_errors(arrays, reference):
      assert error < tolerance, (role, name, error)


@pytest.mark.parametrize(
  'case, net, ways',
  [
    ('asym', 'D_gn', ('two_pass', 'one_stage_paper', 'one_stage_plain')),
    ('asym_low', 'D_gn', ('two_pass', 'one_stage_paper', 'one_stage_plain')),
    ('asym_high', 'D_gn', ('two_pass', 'one_stage_paper', 'one_stage_plain')),
    # With batch norm the released procedure misses the exact gradient of G by
    # 40 percent (which is why a config of it is refused); so does ours.
    ('asym_bn', 'D_bn', ('one_stage_plain',)),
  ],
)
def test_asymmetric(case, net, ways):
  shift = CASES[case]['args'].get('logit_shift', 0.0)
  objective = Objective(
    golden.G, golden.D[net], LOSSES['non_saturating'], {}, latents=None
  )
  found, metrics = gradients(objective, net, shift)
  for way in ways:
    check(found, case, way)
  out = CASES[case]['out']
  total = out['loss_real']['value'] + out['loss_fake']['value']
  assert float(metrics['d_loss']) == pytest.approx(total, rel=1e-4)
  assert float(metrics['g_loss']) == pytest.approx(
    out['loss_g']['value'], rel=1e-4
  )
  gamma, _ = rule.stored(golden.ABOUT, golden.ARRAYS, case, 'gamma')
  got = [metrics[x] for x in ('gamma', 'gamma_min', 'gamma_max')]
  np.testing.assert_allclose(
    got, [gamma.mean(), gamma.min(), gamma.max()], rtol=2e-4
  )
  assert metrics['gamma_floored'] == 0


def test_exact_and_released_gradients_differ_with_batch_norm():
  """The two references that the case above tells apart."""
  grads = CASES['asym_bn']['grads']
  exact, released = grads['two_pass/G'], grads['one_stage_plain/G']
  errors = [abs(released[k][1] - exact[k][1]) / exact[k][0] for k in exact]
  assert max(errors) > 0.1


@pytest.mark.parametrize('case, net', [('sym', 'D_gn'), ('sym_bn', 'D_bn')])
def test_symmetric(case, net):
  objective = Objective(
    golden.G, golden.D[net], LOSSES['minimax'], {}, latents=None
  )
  found, metrics = gradients(objective, net)
  check(found, case, 'one_stage')
  check(found, case, 'two_pass')
  expected = CASES[case]['out']['loss_adv']['value']
  assert float(metrics['d_loss']) == pytest.approx(expected, rel=1e-4)


class Together(Objective):
  """As released for WGAN: real and fake pass D in one batch."""

  def judge_both(self, params, stats, made, now):
    twice = now._replace(labels=jnp.tile(now.labels, 2))
    samples = jnp.concatenate([now.real, made.samples])
    both, _, stats = self.judge(params, stats, samples, twice, 'both')
    real, fake = jnp.split(both.logits, 2)
    judged = Judged(Judgement(real, {}), Judgement(fake, {}), None, None)
    return judged, stats


def test_wasserstein_with_real_and_fake_in_one_batch():
  objective = Together(
    golden.G, golden.D['D_bn'], LOSSES['wasserstein'], {}, latents=None
  )
  found, metrics = gradients(objective, 'D_bn')
  # Released: the mean over both halves, half of our sum of two means.
  check(found, 'wgan_bn', 'one_stage', factor=0.5)
  expected = CASES['wgan_bn']['out']['loss']['value']
  assert 0.5 * float(metrics['d_loss']) == pytest.approx(expected, rel=1e-4)
