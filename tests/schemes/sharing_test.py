"""Weight sharing: what is shared, and that it stays shared."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan_jax import experiment
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.networks import DISCRIMINATORS, GENERATORS
from gan_jax.schemes import sharing
from gan_jax.validate import validate
from tests import small

RULES = dict(name='sgd', lr=0.1, b1=0.0)


def test_layers_come_in_the_order_of_the_pass():
  """SGAN's DCGAN-32: counts by hand, and the specification's totals."""
  settings = dict(shape=(32, 32, 3), width=64, bias=False)
  z, sample = jnp.zeros((1, 100)), jnp.zeros((1, 32, 32, 3))
  g = sharing.layers(GENERATORS['dcgan'](**settings), z)
  assert list(g.values()) == [
    100 * 256 * 16,
    512,
    256 * 128 * 16,
    256,
    128 * 64 * 16,
    128,
    64 * 3 * 16,
  ]
  d = sharing.layers(DISCRIMINATORS['dcgan'](**settings), sample)
  assert list(d)[0] == 'Conv_0' and list(d.values())[0] == 3 * 64 * 16
  assert sum(g.values()) == 1_068_928 and sum(d.values()) == 663_296


@given(
  st.lists(st.integers(1, 1000), min_size=2, max_size=9),
  st.floats(0.01, 0.99),
)
def test_the_cut_is_the_nearest_to_the_share(counts, share):
  layers = {f'l{i}': n for i, n in enumerate(counts)}
  shared = sharing.nearest(layers, share)
  assert 0 < len(shared) < len(counts)
  assert shared == set(list(layers)[: len(shared)])
  held = sum(layers[name] for name in shared) / sum(counts)
  for cut in range(1, len(counts)):
    assert abs(held - share) <= abs(sum(counts[:cut]) / sum(counts) - share)


def test_a_single_layer_cannot_be_divided():
  with pytest.raises(UserError, match='two layers'):
    sharing.nearest({'all': 3}, 0.5)


def test_shared_layers_stay_equal_and_move_by_the_mean():
  states = {}
  for share in (0.5, 0.0):
    config = small.config(
      optimizer=dict(generator=RULES, discriminator=RULES)
    ).unlock()
    config.ensemble.update(pairs=3, weight_sharing=share)
    validate(config)
    made = experiment.build(config, small.SHAPE, 0)
    first = experiment.initial_state(made, 0, one_device())
    if not share:  # from the same point, without sharing
      first = first.replace(local_pairs=states[0.5][0].local_pairs)
    (span,), (stage,), _ = made.growth
    one = jax.jit(made.make_step(stage))
    data = {}, small.batch(stage.draws), span
    second, _ = one(first, *data)
    states[share] = first, second, one(second, *data)[0]
  names = {  # of 4 layers counted by hand: 8, 8-8, 8-2 and 2-8, 8-8, 8-1
    'g': ({'Dense_2', 'Dense_1'}, {'Dense_0'}),
    'd': ({'Dense_0'}, {'Dense_1', 'Dense_2'}),
  }
  first, second, third = (s.local_pairs for s in states[0.5])
  untied = states[0.0][1].local_pairs
  for role, (shared, own) in names.items():
    at = [getattr(pairs, role).params for pairs in (first, second, third)]
    apart = getattr(untied, role).params
    for name in shared | own:
      for params in at:
        x = np.asarray(params[name]['kernel'])
        assert np.array_equal(x[0], x[2]) == (name in shared)
      if role == 'd':  # G's gradients meet Ds that have already moved
        moved = np.asarray(at[1][name]['kernel'])
        alone = np.asarray(apart[name]['kernel'])
        if name in shared:
          alone = np.broadcast_to(alone.mean(0), alone.shape)
        np.testing.assert_allclose(moved, alone, rtol=1e-5, atol=1e-6)
    assert not np.array_equal(
      at[1][min(shared)]['kernel'], at[2][min(shared)]['kernel']
    )
