"""Plans for a pod that is not here: what is refused, what is counted."""

import importlib.util
import re
import sys

import pytest

from gan_jax import config as config_lib
from gan_jax import plan as plan_lib
from gan_jax.data import open_source
from gan_jax.errors import UserError
from gan_jax.plan import chips, costs, hlo, stand_in, words
from gan_jax.state import Stage
from tests import small

needs_libtpu = pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None,
  reason="the TPU's compiler is of the extra tpu",
)


@pytest.mark.parametrize(
  'name, words',
  [
    ('v5e', 'is no slice: write a chip (v4, v5e, v5p, v6e)'),
    ('v5e:4', 'is no slice'),
    ('v7:4x4', 'is no slice'),
    ('v5e:4x4x4x4', 'is no slice'),
    ('v5e:0x4', 'has 0 chips'),
    ('v5e:32x16', 'has 512 chips, and a slice of v5e 1 to 256'),
  ],
)
def test_what_is_no_slice_is_refused(name, words):
  with pytest.raises(UserError) as error:
    chips.devices_of(name)
  text = str(error.value)
  assert words in text and '\n' not in text and text.endswith('.')


def test_without_the_compiler_it_says_how_to_get_it(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(UserError, match=r"pip install -e '.\[tpu\]' brings it"):
    chips.devices_of('v5e:2x4')


def cost(**changes):
  values = dict.fromkeys(costs.Cost._fields, 0)
  values |= dict(stage=Stage(0, 64, 1, 64), collectives={})
  return costs.Cost(**values | changes)


def test_a_roofline_is_the_longer_of_two():
  chip = chips.CHIPS['v5e']
  slow = costs.roofline(cost(flops=197e9, traffic=819e6 / 2), chip)
  assert slow == (1e-3, 'FLOPs', 1.0)
  slow = costs.roofline(cost(flops=197e9, traffic=4 * 819e6), chip)
  assert slow == (4e-3, 'bytes', 0.25)
  assert costs.roofline(cost(), chip).seconds == 0


def test_the_peak_counts_donated_arguments_once():
  found = cost(arguments=10, output=8, aliased=7, temporaries=5)
  assert found.peak == 16


def test_bytes_of_collectives_are_words():
  passed = {'all-reduce': hlo.Total(3, 4_000_000), 'all-gather': (1, 10)}
  passed['all-gather'] = hlo.Total(1, 10)
  assert words.passed(cost(collectives=passed)) == (
    '3 all-reduce of 4 MB, 1 all-gather of 10 B'
  )
  assert words.passed(cost()) == 'none'


def test_data_that_need_a_download_have_a_stand_in(tmp_path):
  config = config_lib.defaults()
  section = config.data
  section.update(data_dir=str(tmp_path), resolution=16, channels=1)
  for name, size, classes in (
    ('tfds:cifar100', 50_000, 100),
    ('tfds:lsun/bedroom', 3_033_042, 0),
    ('stacked:tfds:mnist', 60_000, 1000),
    ('tfds:kmnist', 50_000, 10),
  ):
    section.source = name
    found = stand_in.of_tfds(section)
    assert (len(found), len(found.classes)) == (size, classes)
    assert found.shape == found[size - 1][0].shape == (16, 16, 1)
    assert found.nbytes() == size * 256 and f'{name} is not here' in (
      found.report
    )
  section.update(source='digits')
  assert stand_in.of_tfds(section) is None
  assert not list(tmp_path.iterdir())


def test_a_plan_takes_no_data_onto_the_devices(monkeypatch):
  """The table's size is known without the set."""
  config = small.config()
  source = open_source(config.data)
  monkeypatch.setattr(type(source), 'arrays', lambda self: 1 / 0)
  found = plan_lib.plan(config, source=source)
  (step,) = found.costs
  assert step.table == len(source) * (2 * 4 + 4)
  assert step.state > 4 * sum(found.parameters.values()) > 0
  assert found.mesh == {'data': 8, 'pair': 1} and not found.misfit
  # Gradients of both players, means of metrics; D sees two batches.
  g, d = found.parameters['Generator'], found.parameters['Discriminator']
  passed = step.collectives.pop('all-reduce').bytes / 4
  assert g + d <= passed <= g + 2 * d + 50 and not step.collectives
  last = found.text.splitlines()[-1]
  assert re.fullmatch(r'Fits +\S+ \S+ of \S+ GiB on each of 8 devices.*', last)
  for word in ('Collectives', 'intermediate values', 'Time '):
    assert word in found.text
  assert 'Roofline' not in found.text  # nothing is published of this CPU


@pytest.mark.parametrize(
  ('d_steps', 'says', 'not_'),
  [(1, 'ms a step at least', 'one round'), (6, 'one round', 'images/s')],
)
def test_no_rate_is_given_where_a_loop_is_counted_once(
  d_steps, says, not_, monkeypatch
):
  monkeypatch.setattr(chips, 'chip_of', lambda device: chips.CHIPS['v5e'])
  config = small.config(scheme=dict(d_steps=d_steps))
  text = plan_lib.plan(config).text
  (line,) = [line for line in text.splitlines() if line.startswith('Roofline')]
  assert says in line and not_ not in line


def test_what_does_not_fit_says_what_to_change(monkeypatch):
  monkeypatch.setattr(plan_lib, 'device_memory_gb', lambda: 1e-6)
  found = plan_lib.plan(small.config())
  assert found.text.endswith('Fits        no')
  with pytest.raises(UserError) as error:
    plan_lib.check(found)
  text = str(error.value)
  assert '\n' not in text and text.endswith('.')
  assert 'A step does not fit: it takes' in text and 'smaller networks' in text
  # What the networks have and the config does not mention; no more than that.
  assert 'config.discriminator.bfloat16_from=16' in text
  assert 'remat' not in text


@needs_libtpu
@pytest.mark.slow
def test_a_step_is_compiled_for_a_pod():
  """DCGAN of test size: all of it as the TPU's compiler has it."""
  spec = 'configs/dcgan_cifar.py:test'
  config = config_lib.load(spec, [('train.batch', '64')])
  found = plan_lib.plan(config, 'v5e:2x4')
  (step,) = found.costs
  assert found.mesh == {'data': 8, 'pair': 1}
  assert 'Devices     8 x TPU v5 lite' in found.text
  # The TPU's compiler adds up what passes twice before it is reduced.
  parameters = sum(found.parameters.values())
  assert set(step.collectives) == {'all-reduce'}
  passed = step.collectives['all-reduce'].bytes / 4
  assert parameters <= passed <= 1.1 * parameters
  assert 0 < step.padding < 1 and step.flops > 0
  assert 'Roofline    estimate' in found.text
  assert found.text.splitlines()[-1].startswith('Fits ')
  # XLA's own convolutions, not the forms that are fast on a CPU.
  assert step.temporaries < 2**20


@needs_libtpu
@pytest.mark.slow
def test_what_a_chip_has_no_room_for_is_refused_by_the_compiler():
  more = [(f'{role}.width', '4096') for role in ('generator', 'discriminator')]
  spec = 'configs/mlp_toy.py'
  config = config_lib.load(spec, [('train.batch', '1048576'), *more])
  found = plan_lib.plan(config, 'v5e:1x1')
  assert 'does not fit' in found.misfit and 'v5e:1x1' in found.misfit
  batch = int(re.search(r'config.train.batch=(\d+)', found.misfit)[1])
  assert batch < 1048576 and not found.costs
  turns = re.search(r'config.train.accumulate=(\d+)', found.misfit)[1]
  assert int(turns) * batch == 1048576
  assert sys.modules['jax'].default_backend() == 'cpu'
