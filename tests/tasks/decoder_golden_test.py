"""FastGAN's decoders on the released discriminator's maps, by measured numbers.

fastgan_golden_test.py has the discriminator itself.
"""

import functools

import jax
import jax.numpy as jnp
import pytest

from gan_jax import convert
from gan_jax.state import stream
from gan_jax.tasks import decoder
from gan_jax.tasks.autoencode import Autoencode
from gan_jax.terms import TERMS
from tests.golden import inputs, rule
from tests.networks import fastgan_golden_test as golden

D = 'D_256'
# Our decoders by their released names.
NAMES = {'whole_8': 'big', 'whole_small_8': 'small', 'part_16': 'part'}


def heads():
  """The released decoders as the task has them: parameters, statistics."""
  _, variables = golden.network(D)
  tree = variables['params'][TERMS], variables[TERMS]
  return tree[0]['autoencode'], tree[1]['autoencode']['carried']


def test_pictures_in_use(monkeypatch):
  """Every quadrant is the released one's, by number."""
  module, variables = golden.network(D)
  real = golden.value('real_256')
  task = Autoencode()

  chosen = []  # the quadrant, in place of a draw
  monkeypatch.setattr(
    Autoencode,
    '_window',
    lambda self, grid, key: decoder.quadrant(grid, chosen[0]),
  )

  @functools.partial(jax.jit, compiler_options=golden.QUICK)
  def shown(real, index):
    chosen[:] = [index]
    maps = module.apply(variables, real, train=False).features
    key = jax.random.key(0)
    return task.reconstruct(*heads(), maps, real, key, train=False)[0]

  for index in range(4):
    found = shown(real, jnp.int32(index))
    for ours, theirs in NAMES.items():
      name = f'rec_{theirs}{index if theirs == "part" else ""}'
      picture = inputs.nchw(found[ours].picture)
      off = golden.error(picture, 'D_256_eval', name)
      assert off < golden.FORWARD, name


@pytest.fixture(scope='module')
def learned():
  """In training: reconstructions, and the gradient of L1 of D and decoders."""
  module, variables = golden.network(D)
  task, real = Autoencode(), golden.value('real_256')
  own, carried = heads()
  # The released step is of the first quadrant: a key that draws it.
  key = next(
    key
    for key in map(jax.random.key, range(64))
    if max(task._window((16, 16), stream(key, 'part_16')).corner) == 0
  )

  def loss(own, params):
    seen = variables | {'params': params}
    judged, _ = module.apply(seen, real, train=True, mutable=golden.COLLECTIONS)
    shown, _ = task.reconstruct(
      own, carried, judged.features, real, key, train=True
    )
    return sum(task.distances(x, {}).mean() for x in shown.values()), shown

  return jax.jit(
    jax.grad(loss, (0, 1), has_aux=True), compiler_options=golden.QUICK
  )(own, variables['params'])


CASE = golden.CASES['loss_256_train']


@pytest.mark.parametrize('loss', ['l1', 'mse'])
def test_losses_in_training(loss, learned):
  task = Autoencode(loss=loss)
  for ours, theirs in NAMES.items():
    wanted = CASE['out'][f'{loss}_{theirs}']['value']
    found = task.distances(learned[1][ours], {}).mean()
    assert found == pytest.approx(wanted, rel=1e-4), ours


def test_gradients_in_training_reach_all_of_d(learned):
  of_heads, of_d = learned[0]
  of_d = of_d | {TERMS: {'autoencode': of_heads}}
  found = convert.under_released_names(golden.kind(D), {'params': of_d})
  wanted = CASE['grads']['D/l1_sum']
  assert set(found) == set(wanted)
  tolerance = max(3e-3, 5 * CASE['grad_noise']['D/l1_sum'])
  for name, off in rule.gradient_errors(found, wanted):
    assert off < tolerance, name
