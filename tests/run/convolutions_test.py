"""A run goes on with the tables of convolutions that it began with."""

import json

import jax
import pytest

from gan_jax import config as config_lib
from gan_jax.errors import UserError
from gan_jax.nn import conv_tables
from gan_jax.restore import open_run
from gan_jax.run.convolutions import NAME, tables_of
from gan_jax.run.folder import RunDir
from gan_jax.train import train

# Of one map each; which is of no account here.
LAYERS = [
  conv_tables.Layer('y', (4, 4), 2, 'HWIO', 8, 64, 1, 8),
  conv_tables.Layer('x', (4, 4), 2, 'HWOI', 8, 64, 1, 8),
]


def table(*forms):
  rows = tuple(zip(LAYERS, forms, strict=True))
  return conv_tables.Table('made up', jax.__version__, rows)


@pytest.fixture(autouse=True)
def leaves_none():
  yield
  conv_tables.use(None)


def on_a_machine_with(table, monkeypatch):
  monkeypatch.setattr(conv_tables, 'here', lambda platform: table)


def config(steps):
  return config_lib.load(
    'configs/quickstart.py:test',
    [('train.steps', str(steps)), ('train.batch', '8')],
  )


def test_a_run_keeps_its_tables_and_older_runs_have_none(tmp_path, monkeypatch):
  first, other = table('ynnpack', 'folding'), table('eigen', 'phases')
  on_a_machine_with(first, monkeypatch)
  train(config(2), tmp_path)
  assert tables_of(RunDir(tmp_path)) == {'cpu': first}

  on_a_machine_with(other, monkeypatch)
  train(config(4), tmp_path)
  assert tables_of(RunDir(tmp_path)) == {'cpu': first}
  assert conv_tables.used() == conv_tables.register({'cpu': first})
  assert tables_of(RunDir(tmp_path / 'new')) == {'cpu': other}

  conv_tables.use(None)
  open_run(tmp_path)
  assert conv_tables.used() == conv_tables.register({'cpu': first})

  (tmp_path / NAME).unlink()  # as before there were tables
  open_run(tmp_path)
  assert conv_tables.used() == '' and tables_of(RunDir(tmp_path)) == {}


@pytest.mark.parametrize('text', ['', '[]', '{"cpu": 1}', '{"cpu": {}}'])
def test_a_damaged_file_is_one_sentence(text, tmp_path):
  (tmp_path / NAME).write_text(text)
  with pytest.raises(UserError, match=f'{NAME} is damaged: restore it'):
    tables_of(RunDir(tmp_path))


def test_no_table_is_noted_as_such(tmp_path, monkeypatch):
  on_a_machine_with(None, monkeypatch)
  train(config(1), tmp_path)
  assert json.loads((tmp_path / NAME).read_text()) == {}
  on_a_machine_with(table('eigen', 'phases'), monkeypatch)
  assert tables_of(RunDir(tmp_path)) == {}
