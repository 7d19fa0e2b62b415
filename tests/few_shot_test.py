"""What is chosen for a folder of pictures, when, and that it stays."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan_jax import config as config_lib
from gan_jax import few_shot, train
from gan_jax.data.folder import glance
from gan_jax.errors import UserError
from gan_jax.run.folder import RunDir
from gan_jax.validate import validate
from tests.data.conftest import encode_picture

CONFIG = 'configs/fastgan_folder.py'
RESOLUTIONS = (64, 128, 256, 512, 1024)


@given(
  st.integers(1, 5000),
  st.lists(st.integers(1, 6000), min_size=1, max_size=30),
  st.booleans(),
)
def test_what_is_chosen_suits_the_pictures(count, sides, cpu):
  found = few_shot.choose(count, sides, RESOLUTIONS, cpu)
  assert found.resolution in RESOLUTIONS[: 2 if cpu else 4]
  if found.resolution > 64:  # few are enlarged
    assert sum(s < found.resolution for s in sides) <= len(sides) / 2
  if found.resolution < (128 if cpu else 512):  # and no resolution is wasted
    assert sum(s < 2 * found.resolution for s in sides) >= len(sides) / 2
  assert found.batch <= min(8, count) < 2 * max(found.batch, 4)
  assert 1000 <= found.steps <= (20_000 if cpu else 50_000)
  assert found.steps == 1000 or found.steps * found.batch <= 4000 * count


@pytest.mark.parametrize(
  'count, side, cpu, expected',
  [
    # The paper's few-shot sets, and a folder of shoes on a laptop.
    (100, 256, False, (256, 8, 50_000, 64)),
    (1000, 1024, False, (512, 8, 50_000, 64)),
    (297, 256, True, (128, 8, 20_000, 16)),
    (12, 3000, False, (512, 8, 6000, 64)),
    (5, 40, True, (64, 4, 5000, 16)),
  ],
)
def test_by_example(count, side, cpu, expected):
  assert few_shot.choose(count, [side], RESOLUTIONS, cpu) == expected


def write(folder, count, width, height):
  folder.mkdir(exist_ok=True)
  for k in range(len(list(folder.iterdir())), count):
    noise = np.full((height, width, 3), k, np.uint8)
    (folder / f'{k:03}.png').write_bytes(encode_picture(noise))


@pytest.fixture(name='folder')
def _folder(tmp_path):
  """Nine pictures, the shorter side 140 px, one that is none, and a text."""
  write(tmp_path / 'pictures', 9, 140, 200)
  (tmp_path / 'pictures' / 'bad.png').write_bytes(b'')
  (tmp_path / 'pictures' / 'note.txt').write_text('x')
  return tmp_path / 'pictures'


def load(folder, *overrides, options=''):
  source = ('data.source', f'folder:{folder}')
  return config_lib.load(f'{CONFIG}{options}', [source, *overrides])


def chosen(config):
  sections = config.data.resolution, config.train.batch, config.train.steps
  return (*sections, config.generator.width, config.discriminator.width)


def test_a_glance_reads_headers(folder):
  name = f'folder:{folder}'
  assert glance(name, str(folder), 'train', 500) == (10, [140] * 9)
  count, sides = glance(name, str(folder), 'train', 4)
  assert count == 10 and len(sides) in (3, 4)


def test_the_config_chooses_and_says_so(folder, caplog):
  config = load(folder)
  with caplog.at_level(logging.INFO):
    found = few_shot.settled(config)
  assert chosen(found) == (128, 8, 5000, 16, 16)
  assert found.train.choose == () and config.train.choose
  said, warned = caplog.messages
  assert said.startswith('10 picture files, shorter side 140 px: 128 px')
  assert warned.startswith('10 pictures are few')
  assert '128 px, minibatches of 8, 5,000 steps, networks of width 16' in said
  assert '--config.data.resolution, --config.train.batch' in said
  assert '\n' not in said


@pytest.mark.parametrize(
  'sides, device, text',
  [
    ([512], 'cpu', 'side 512 px: 128 px were chosen on a CPU, where no more'),
    ([512], 'gpu', 'side 512 px: 512 px were chosen on gpu. To'),
    ([900], 'gpu', 'on gpu, where no more than 512 px are chosen. To'),
    ([32], 'cpu', 'side 32 px: 64 px were chosen on a CPU, though most'),
    ([20, 70, 80], 'cpu', 'side 20 to 80 px, half of them 70 or more: 64 px'),
    ([128], 'cpu', 'chosen on a CPU. To'),
  ],
)
def test_the_resolution_is_explained(sides, device, text):
  choice = few_shot.choose(90, sides, RESOLUTIONS, device == 'cpu')
  said = few_shot.sentence(choice, ('resolution',), 90, sides, device)
  assert said.startswith('90 picture files, shorter ') and text in said
  said = few_shot.sentence(choice, ('batch',), 90, sides, device)
  assert 'no more' not in said and 'smaller' not in said


def test_few_are_warned_of():
  assert not few_shot.warning(60)
  assert few_shot.warning(59).startswith('59 pictures are few')


def test_what_is_given_is_not_chosen(folder, caplog):
  given_ = ('data.resolution', '64'), ('discriminator.width', '24')
  with caplog.at_level(logging.INFO):
    found = few_shot.settled(load(folder, *given_))
  assert chosen(found) == (64, 8, 5000, 64, 24)
  assert 'px,' not in caplog.text and 'width' not in caplog.text
  found = few_shot.settled(load(folder, options=':resolution=256,width=8'))
  assert chosen(found) == (256, 8, 5000, 8, 8)
  everything = [('train.batch', '2'), ('train.steps', '7')]
  config = load(folder, *everything, options=':resolution=64,width=8')
  assert few_shot.settled(config) is config
  part = few_shot.settled(load(folder, ('data.split', 'train[:30%]')))
  assert part.train.batch == 2


class Stop(Exception):  # noqa: N818
  """Where a run would begin to work."""


def test_a_run_that_goes_on_keeps_what_was_chosen(
  folder, tmp_path, monkeypatch
):
  seen = []

  def prepare(config, run, checkpoints):
    seen.append(config)
    raise Stop

  monkeypatch.setattr(train, 'prepare', prepare)
  workdir = tmp_path / 'run'
  with pytest.raises(Stop):
    train.train(load(folder), workdir)
  with RunDir(workdir) as run:
    run.save_config(config_lib.to_json(seen[0]))
  write(folder, 60, 70, 70)
  for more in ([], [('train.steps', '9')]):
    with pytest.raises(Stop):
      train.train(load(folder, *more), workdir)
  assert config_lib.differences(seen[0], seen[1]) == []
  steps = ['train.steps: 5000 -> 9']
  assert config_lib.differences(seen[0], seen[2]) == steps
  assert chosen(few_shot.settled(load(folder))) == (64, 8, 20_000, 16, 16)


def test_what_is_no_folder_has_the_configs_own(caplog):
  config = config_lib.load(CONFIG, [('data.source', 'digits')])
  with caplog.at_level(logging.INFO):
    found = few_shot.settled(config)
  assert chosen(found) == (256, 8, 50_000, 64, 64)
  assert found.train.choose == ()
  assert 'digits is no folder of pictures' in caplog.text


def test_mistakes(tmp_path):
  with pytest.raises(UserError, match='there is no folder or zip archive'):
    few_shot.settled(load(tmp_path / 'x'))
  overrides = [('train.choose', 'width')]
  config = config_lib.load('configs/progan_folder.py', overrides)
  with pytest.raises(UserError, match="'progan' has no width: leave it out"):
    validate(config)
  with pytest.raises(UserError, match="did you mean 'steps'"):
    validate(load(tmp_path, ('train.choose', 'step')))
