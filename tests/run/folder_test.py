"""The run directory: what it writes, and what a killed writer leaves."""

import json

import numpy as np
import pytest
from PIL import Image

from gan_jax.config import from_json, to_json
from gan_jax.errors import UserError
from gan_jax.restore import stored_config
from gan_jax.run.folder import RunDir
from tests import small


def test_a_half_written_line_is_dropped(tmp_path):
  run = RunDir(tmp_path)
  for step in (1, 2, 3):
    run.metrics(step, {'images': step, 'd_loss': 0.5})
  with open(tmp_path / 'metrics.jsonl', 'a') as file:
    file.write('{"step": 4, "ima')
  assert [line['step'] for line in run.lines()] == [1, 2, 3]
  run.rewind(2)
  text = (tmp_path / 'metrics.jsonl').read_text()
  assert [json.loads(line)['step'] for line in text.splitlines()] == [1, 2]


def test_the_config_comes_back(tmp_path):
  run = RunDir(tmp_path)
  assert run.load_config() is None
  run.save_config(to_json(small.config()))
  assert run.load_config()['data']['source'] == 'toy:ring8'
  assert stored_config(run) == from_json(to_json(small.config()))


def test_a_file_in_the_way_is_a_users_mistake(tmp_path):
  (tmp_path / 'x').write_text('a file')
  with pytest.raises(UserError, match='cannot be written to'):
    with RunDir(tmp_path / 'x'):
      pass


def test_the_log_file_is_let_go(tmp_path, caplog):
  import logging

  log = logging.getLogger('gan_jax')
  with RunDir(tmp_path) as run:
    log.info('checking')
    assert not (tmp_path / 'log.txt').exists()
    run.begin()
    log.info('inside')
  log.info('outside')
  text = (tmp_path / 'log.txt').read_text()
  assert 'checking' in text and 'inside' in text and 'outside' not in text


def test_tensorboard_gets_scalars_and_pictures(tmp_path):
  pytest.importorskip('tensorflow')
  pytest.importorskip('tensorboard')
  from tensorboard.backend.event_processing import event_accumulator

  with RunDir(tmp_path) as run:
    run.begin()
    run.open_tensorboard()
    run.metrics(5, {'images': 40, 'd_loss': 0.25})
    run.images('fakes', np.zeros((4, 32, 32, 1)), 2, 5)
  events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
  assert set(events.Tags()['scalars']) | set(events.Tags()['tensors']) >= {
    'd_loss'
  }
  assert Image.open(tmp_path / 'images' / 'fakes_000000005.png').size[0] > 64
