"""The run directory: what it writes, and what a killed writer leaves."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from gan_jax.config import filled, to_json
from gan_jax.errors import UserError
from gan_jax.restore import stored_config
from gan_jax.run.folder import RunDir
from tests import small

ROOT = pathlib.Path(__file__).parents[2]


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


def test_a_torn_line_hides_no_other(tmp_path, caplog):
  """Half lines of killed writers, lines that are none, in the middle."""
  run, file = RunDir(tmp_path), tmp_path / 'evaluate.jsonl'
  run.append('evaluate.jsonl', {'step': 1})
  for torn in (b'{"step": 2, "fi', b'\xff\xfe{', b'[3]', b'{"fid": 1}', b'7'):
    with open(file, 'ab') as stream:
      stream.write(torn)
    run.append('evaluate.jsonl', {'step': 4})
  found = [line['step'] for line in run.lines('evaluate.jsonl')]
  assert found == [1, 4, 4, 4, 4, 4]
  run.lines('evaluate.jsonl')
  assert caplog.text.count('5 damaged line(s) are left out') == 1


def test_lines_of_two_processes_are_whole(tmp_path):
  script = (
    'import sys; from gan_jax.run.folder import RunDir\n'
    'run = RunDir(sys.argv[1])\n'
    'for i in range(300): run.append("x.jsonl", {"step": i, "x": "y" * 3000})'
  )
  processes = [
    subprocess.Popen([sys.executable, '-c', script, tmp_path], cwd=ROOT)
    for _ in range(2)
  ]
  assert [process.wait(120) for process in processes] == [0, 0]
  steps = [line['step'] for line in RunDir(tmp_path).lines('x.jsonl')]
  assert sorted(steps) == sorted([*range(300), *range(300)])


def test_text_is_utf_8_whatever_the_locale(tmp_path):
  script = (
    'import sys, logging; from gan_jax.run.folder import RunDir\n'
    'with RunDir(sys.argv[1]) as run:\n'
    '  run.begin()\n'
    '  logging.getLogger("gan_jax").info("gro\\xdf")\n'
    '  run.save_config("{\\"a\\": \\"gro\\xdf\\"}")\n'
  )
  env = os.environ | {'LC_ALL': 'C', 'PYTHONUTF8': '0'}
  env['PYTHONCOERCECLOCALE'] = '0'
  subprocess.run(
    [sys.executable, '-c', script, tmp_path], cwd=ROOT, env=env, check=True
  )
  assert RunDir(tmp_path).load_config() == {'a': 'gro\xdf'}
  assert 'gro\xdf' in (tmp_path / 'log.txt').read_text(encoding='utf-8')


def test_the_config_comes_back(tmp_path):
  run = RunDir(tmp_path)
  assert run.load_config() is None
  run.save_config(to_json(small.config()))
  assert run.load_config()['data']['source'] == 'toy:ring8'
  assert to_json(stored_config(run)) == to_json(filled(small.config()))


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


def test_what_killed_writers_left_is_cleared_away(tmp_path):
  """And nothing else, nor what an evaluation beside may be writing."""
  writing = (
    'import os, sys; from gan_jax.run.write import whole\n'
    'with whole(sys.argv[1]) as scratch:\n'
    "  scratch.write_text('half'); os.kill(os.getpid(), 9)"
  )
  (tmp_path / 'images').mkdir()
  for name in ('images/fakes_000000060.png', 'curves.png', 'evaluate.png'):
    argv = [sys.executable, '-c', writing, str(tmp_path / name)]
    assert subprocess.run(argv, cwd=ROOT).returncode == -9
  kept = [tmp_path / 'curves.png', tmp_path / 'images' / '.hidden.png']
  for file in kept:
    file.write_text('whole')
  assert sum(f.is_file() for f in tmp_path.rglob('*')) == 5
  with RunDir(tmp_path) as run:
    run.begin()
  left = {f.name for f in tmp_path.rglob('.*') if f.is_file()}
  left.remove('.hidden.png')
  (name,) = left
  assert name.startswith('.evaluate.') and all(f.exists() for f in kept)
