"""GLeaD and GGDR against the released code, run in float64.

Perceptual distances are mean squared errors there, and so they are here.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax import convert, losses, tasks
from gan_jax import terms as terms_lib
from gan_jax.nn.levels import reduce_to
from gan_jax.objective import Objective
from gan_jax.passes import Round
from gan_jax.state import START, Player
from gan_jax.tasks import perceptual, pyramid
from gan_jax.tasks.lead import HEADS, PRESETS, Heads, Lead
from tests.golden import inputs, rule
from tests.networks import stylegan2_golden_test as stylegan2

ABOUT, ARRAYS = rule.load('glead')
CASES = ABOUT['cases']
FORWARD = 1e-4  # the reference README's tolerance for float32
GRADIENT = 1e-6  # in float64
QUICK = {'xla_backend_optimization_level': 0}
PRESET = {
  'paper': 'paper',
  'lsun': 'official_lsun',
  'ffhq': 'official_ffhq',
  'ggdr': 'ggdr',
}


def value(key):
  return jnp.asarray(inputs.value(ABOUT, ARRAYS, key))


def error(found, case, name):
  found = np.asarray(found)
  found = inputs.nchw(found) if found.ndim == 4 else found
  return rule.relative_error(found, *rule.stored(ABOUT, ARRAYS, case, name))


@functools.cache
def network(name):
  """(module, variables) of a reference network; D with its task's own."""
  return stylegan2.converted(ABOUT['nets'][name])


def released(name, gradient):
  """A gradient's arrays by released name."""
  kind = stylegan2.kind(ABOUT['nets'][name])
  return convert.under_released_names(kind, {'params': gradient})


def parts(kind, cast=lambda tree: tree):
  """G and D with their variables; pictures and latent vectors."""
  (g, of_g), (d, of_d) = (network(f'{player}_{kind}') for player in 'GD')
  of_g, of_d = cast(of_g), cast(of_d)
  return g, of_g, d, of_d, cast(value(f'x_{kind}')), cast(value(f'z_{kind}'))


def rebuilt(kind, d, of_d, g, of_g, x):
  """All that a case `rec_...` has, by its names."""
  task = Lead(**PRESETS[PRESET[kind]])
  own = of_d['params']['terms']['lead']
  judged = d.apply(of_d, x, train=True)
  last = pyramid.of(own).apply({'params': own}, judged.features)
  # Released heads look at it as it is; ours at what is made of it.
  sizes = {name: own[name]['bias'].size for name in HEADS}
  heads = Heads(sizes).apply({'params': own}, last)
  entry = task.encode(own, judged.features)
  synthesise = lambda *args: g.apply(
    of_g, *args, train=False, method='synthesise'
  )
  rec = task.rebuild(entry, synthesise)
  return {
    'logits': judged.logits,
    'decoder_last': last,
    'head_feat': heads['features'],
    'head_img': heads['rgb'],
    'head_w': heads['styles'],
    'feat_resized': entry.features,
    'img_resized': entry.rgb,
    'w_behind_means': entry.styles,
    'rec': rec,
    'l1': jnp.mean(jnp.abs(rec - x)),
    'mse': jnp.mean((rec - x) ** 2),
  }


slow = pytest.mark.slow
KINDS = [
  'paper',
  pytest.param('lsun', marks=slow),
  pytest.param('ffhq', marks=slow),
]


@pytest.mark.parametrize('kind', KINDS)
def test_heads_and_reconstructions(kind):
  g, of_g, d, of_d, x, _ = parts(kind)
  run = functools.partial(rebuilt, kind, d, of_d, g, of_g)
  found = jax.jit(run, compiler_options=QUICK)(x)
  case = CASES[f'rec_{kind}']
  for name in case['out']:
    assert error(found[name], f'rec_{kind}', name) < FORWARD, name
  # The mean of linear heads is the head of the mean.
  np.testing.assert_allclose(
    found['w_behind_means'], found['head_w'], rtol=1e-4, atol=1e-5
  )
  side = found['feat_resized'].shape[1]
  np.testing.assert_allclose(
    found['feat_resized'], reduce_to(found['head_feat'], side), atol=1e-5
  )


@pytest.fixture
def in_float64():
  """Has a test compute in float64; it gives trees of arrays so."""
  with jax.enable_x64(True):
    yield functools.partial(jax.tree.map, lambda x: jnp.asarray(x, float))


@pytest.mark.slow
@pytest.mark.parametrize(
  'kind, how',
  # The others take a minute each, and differ by nothing but a sign or a side;
  # they were run, and agreed.
  [('paper', 'l1'), ('lsun', 'mse')],
)
def test_gradients_of_reconstructions(kind, how, in_float64):
  g, of_g, d, of_d, x, _ = parts(kind, in_float64)

  def loss(params):
    return rebuilt(kind, d, {'params': params}, g, of_g, x)[how]

  take = jax.jit(jax.grad(loss), compiler_options=QUICK)
  found = released(f'D_{kind}', take(of_d['params']))
  wanted = CASES[f'rec_{kind}']['grads'][f'D/{how}']
  for name, off in rule.gradient_errors(found, wanted):
    assert off < GRADIENT, name


def game_of(case, monkeypatch):
  """The game of a case `loss_...`, with its terms of D."""
  kind = case.rpartition('_')[2]
  args = CASES[case]['args']['loss']
  monkeypatch.setattr(
    perceptual,
    'distance',
    lambda name, constants, a, b: perceptual.squared(a - b),
  )
  r1 = losses.PENALTIES['r1'].make()
  found = {'r1': r1._replace(weight=CASES[case]['args']['r1_gamma'])}
  if kind == 'ggdr':
    term = tasks.TASKS['align'].make(resolution=args['glead_res_g'])
    found['align'] = term._replace(weight=args['reg_weight_fake'])
  else:
    found['lead'] = tasks.TASKS['lead'].make(
      **PRESETS[PRESET[kind]],
      real=args['reg_weight_real'],
      fake=args['reg_weight_fake'],
      fake_target={'cos': 'features', 'mse': 'picture'}[args['reg_loss_fake']],
    )
  modules = [network(f'{player}_{kind}')[0] for player in 'GD']
  loss = losses.LOSSES['non_saturating']
  return Objective(*modules, loss, found, latents=lambda key, count: None)


@pytest.mark.slow
@pytest.mark.parametrize(
  # Of the four others, but for loss_cos_ffhq, the same was run, and agreed.
  'case',
  ['loss_mse_paper', 'loss_cos_lsun', 'loss_ggdr'],
)
def test_losses_and_their_gradients(case, in_float64, monkeypatch):
  """Dmain; and Dreg, which has the real reconstruction in it, times its gain.

  That phase's sum is put together here of the same terms: runs do not have it.
  """
  row, kind = CASES[case], case.rpartition('_')[2]
  g, of_g, d, of_d, real, z = parts(kind, in_float64)
  game = game_of(case, monkeypatch)
  stats = {k: v for k, v in of_g.items() if k != 'params'}
  g = Player(of_g['params'], stats, ())
  now = Round(real, jnp.zeros(len(z), jnp.int32), START, jax.random.key(0), {})
  made, _ = jax.jit(
    lambda z: game.generate(g.params, g.stats, z, now), compiler_options=QUICK
  )(z)
  r1, main = (
    game.terms['r1'],
    {k: v for k, v in game.terms.items() if k != 'r1'},
  )
  reg = {'r1': r1}
  if kind != 'ggdr':
    settings = dict(PRESETS[PRESET[kind]], fake=0.0)
    reg['lead'] = tasks.TASKS['lead'].make(**settings)

  def dmain(params):
    return game._replace(terms=main).d_loss(params, {}, g, made, now)

  def dreg(params):
    judged, new = game.judge_both(params, {}, made, now)
    view = game.d_view(params, new, g, made, judged, now)
    total, _, metrics = terms_lib.add_up(reg, params, {}, view)
    return total, (None, metrics)

  metrics, scale = {}, np.mean
  for phase, gain in row['args']['phases']:
    if phase == 'Gmain':  # of which the task is no part
      continue
    loss = {'Dmain': dmain, 'Dreg': dreg}[phase]
    take = jax.jit(jax.grad(loss, has_aux=True), compiler_options=QUICK)
    gradient, (_, metrics[phase]) = take(of_d['params'])
    gradient = jax.tree.map(lambda x, gain=gain: gain * x, gradient)
    found = released(f'D_{kind}', gradient)
    for name, off in rule.gradient_errors(
      found, row['grads'][f'{phase}_gain{gain}']
    ):
      assert off < GRADIENT, (phase, gain, name)

  kept = lambda name: scale(rule.stored(ABOUT, ARRAYS, case, name)[0])
  args, seen = row['args']['loss'], metrics['Dmain']
  outs = {
    f'D_loss_real_reg_{args.get("reg_loss_real")}': (
      args['reg_weight_real'], 'lead_real_pixels'
    ),
    f'D_loss_fake_reg_{args["reg_loss_fake"]}': (
      args['reg_weight_fake'],
      {'mse': 'lead_fake_pixels', 'cos': 'lead_fake_cosine'}[
        args['reg_loss_fake']
      ] if kind != 'ggdr' else 'align',
    ),
  }  # fmt: skip
  checked = 0
  for name, (weight, metric) in outs.items():
    name = f'Dmain_gain1/{name}'
    if name in row['out']:
      checked += 1
      wanted = float(kept(name))
      assert weight * float(seen[metric]) == pytest.approx(wanted, rel=1e-6)
  assert checked == (1 if kind == 'ggdr' else 2)
  if 'Dreg' in metrics:
    wanted = kept('Dreg_gain1/r1_penalty') / 2
    assert float(metrics['Dreg']['r1']) == pytest.approx(wanted, rel=1e-6)
