"""GLeaD's released discriminators as variables and back, heads and all.

That they compute the released ones' function is held by
tests/tasks/lead_golden_test.py.
"""

import functools

import jax
import numpy as np
import pytest

from gan_jax import convert, released
from gan_jax.errors import UserError
from gan_jax.mesh import one_device
from gan_jax.restore import restore
from tests import small
from tests.convert import stylegan2_test as stylegan2
from tests.golden import persistent, rule

ABOUT, _ = rule.load('glead')
KIND = 'glead.discriminator'
HEADS = {'features', 'rgb', 'styles'}


@functools.cache
def arrays(net):
  """Of a reference network, by released name."""
  return rule.weights(ABOUT['nets'][net])


@pytest.mark.parametrize(
  'net, task, levels, heads',
  [
    ('D_paper', 'lead', (8, 16, 32), HEADS),
    ('D_lsun', 'lead', (8, 16, 32, 64), HEADS),
    ('D_ggdr', 'align', (8, 16, 32, 64), set()),
  ],
)
def test_released_arrays_there_and_back(net, task, levels, heads):
  own = arrays(net)
  _, variables = convert.released(KIND, own)
  back = convert.under_released_names(KIND, variables)
  assert small.identical(back, own) and back.keys() == own.keys()
  assert sum(x.size for x in jax.tree.leaves(variables)) == sum(
    x.size for x in own.values()
  )
  found = variables['params']['terms']
  assert found.keys() == {task}
  assert found[task].keys() == heads | {f'up_{side}' for side in levels}
  # Without decoder and heads it is StyleGAN2's.
  plain = convert.under_released_names('stylegan2.discriminator', variables)
  rest = {k: x for k, x in own.items() if 'dec' not in k and 'proj' not in k}
  assert small.identical(plain, rest) and plain.keys() == rest.keys()


@pytest.mark.parametrize(
  'net, entered, resolution, decoder',
  [
    ('D_paper', 32, 32, 0),
    ('D_lsun', 32, 32, 64),
    ('D_ffhq', 64, 64, 0),
    ('D_ffhq', None, None, 64),
  ],
)
def test_where_g_is_entered_is_told_by_settings(
  net, entered, resolution, decoder
):
  said = {'init/glead_res_g': np.float64(entered)} if entered else {}
  told = convert.kind(KIND).told(arrays(net) | said)
  wanted = {'tasks.lead.resolution': resolution, 'tasks.lead.decoder': decoder}
  # What is not told is the task's default, or the user's.
  assert told == {k: v for k, v in wanted.items() if v is not None}


def test_of_ggdr_the_side_of_its_map_is_told():
  told = convert.kind(KIND).told(arrays('D_ggdr'))
  assert told == {'tasks.align.resolution': 64}


def test_a_snapshot_says_what_its_run_is(tmp_path):
  said = {'': {'glead_res_g': 64}}
  nets = {
    'D': persistent.network(arrays('D_lsun'), said),
    'G_ema': persistent.network(arrays('G_lsun')),
  }
  file = tmp_path / 'x.pkl'
  with open(file, 'wb') as stream:
    persistent.snapshot(stream, nets)
  found = released.open_networks([file])
  assert found['discriminator'].kind is convert.kind(KIND)
  config, notes = released.make_config(found, overrides=stylegan2.DATA)
  task = config.tasks.lead
  assert (task.resolution, task.decoder) == (64, 0)
  assert any('heads of tasks.lead are left out' in note for note in notes)

  nets['D'] = persistent.network(arrays('D_lsun'), {'': {'glead_res_g': 1e999}})
  with open(file, 'wb') as stream:
    persistent.snapshot(stream, nets)
  with pytest.raises(UserError, match='x.pkl: glead_res_g is inf, and no side'):
    released.open_networks([file])


@pytest.mark.slow
def test_a_run_has_its_heads(tmp_path):
  own = {f'D.{k}': x for k, x in arrays('D_paper').items()}
  own |= {f'G.{k}': x for k, x in arrays('G_paper').items()}
  np.savez(tmp_path / 'x.npz', **own)
  more = [('tasks.lead.weight', '1')]
  file, folder = str(tmp_path / 'x.npz'), tmp_path / 'run'
  released.run(file, folder, overrides=[*stylegan2.DATA, *more])
  state = restore(folder, one_device()).state
  _, variables = convert.released(KIND, arrays('D_paper'))
  assert small.identical(state.pair.d.params, variables['params'])


def test_two_decoders_have_no_released_names():
  """One would be lost on the way."""
  _, variables = convert.released(KIND, arrays('D_ggdr'))
  terms = variables['params']['terms']
  both = variables['params'] | {'terms': terms | {'lead': terms['align']}}
  with pytest.raises(UserError, match='have one in all'):
    convert.under_released_names(KIND, {'params': both})


def without(own, name):
  return {k: v for k, v in own.items() if k != name}


@pytest.mark.parametrize(
  'damage, words',
  [
    (lambda a: without(a, 'feat_proj2.weight'), 'feat_proj2.weight is missing'),
    (lambda a: without(a, 'b16_dec.bias'), 'b16_dec.bias is missing'),
    (lambda a: without(a, 'b16_dec.weight'), 'b16_dec.weight is missing'),
    (lambda a: without(a, 'b16.skip.weight'), 'b16.skip.weight is missing'),
    (lambda a: a | {'b128_dec.weight': a['b32_dec.weight']}, 'goes to 128'),
    (
      lambda a: a | {'img_proj.sum': a['img_proj.bias']},
      'img_proj.sum is left',
    ),
    (
      lambda a: a | {'b32_dec.weight': np.zeros((32, 60, 1, 1), 'f')},
      'b32_dec.weight has shape [32, 60, 1, 1]; beside the other arrays it must'
      ' be [32, 64, 1, 1]',
    ),
  ],
)
def test_arrays_that_are_no_network(damage, words):
  with pytest.raises(UserError) as error:
    convert.released(KIND, damage(arrays('D_paper')))
  assert words in str(error.value)
  assert str(error.value).startswith(f'these arrays are no {KIND}: ')
