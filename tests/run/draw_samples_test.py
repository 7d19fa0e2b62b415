"""Text runs end to end: what they leave is text, and they resume."""

import pathlib
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gan_jax import config as config_lib
from gan_jax import experiment
from gan_jax.data import open_source, text
from gan_jax.errors import UserError
from gan_jax.evaluate import evaluate
from gan_jax.mesh import one_device
from gan_jax.observe.preview import Preview
from gan_jax.plan import plan
from gan_jax.restore import restore
from gan_jax.run import draw
from gan_jax.run.folder import RunDir
from gan_jax.sample import sample
from gan_jax.train import train
from tests import small

CONFIG = pathlib.Path(__file__).parents[2] / 'configs' / 'sgan_text.py'
ALPHABET = text.PADDING + text.UNKNOWN + 'abc '


# One device and one update of D: quicker to compile, and enough here.
QUICK = (('mesh.data', '1'), ('scheme.d_steps', '1'))


def load(*overrides, n=0):
  return config_lib.load(f'{CONFIG}:test,n={n}', QUICK + overrides)


@given(st.lists(st.lists(st.sampled_from(range(6)), min_size=4, max_size=4)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_likeliest_characters_are_written(tmp_path, rows):
  rows = np.array(rows, int).reshape(-1, 4)
  rng = np.random.default_rng(0)
  samples = rng.uniform(0, 0.4, (*rows.shape, 6))
  np.put_along_axis(samples, rows[..., None], 0.5, -1)
  draw.save_samples(tmp_path / 'fakes_1', samples, 8, ALPHABET)
  written = (tmp_path / 'fakes_1.txt').read_text('utf-8').split('\n')[:-1]
  assert [line.ljust(4, ALPHABET[0]) for line in written] == [
    ''.join(ALPHABET[k] for k in row) for row in rows
  ]
  assert not any(line.endswith(ALPHABET[0]) for line in written)
  with draw.Seeds(tmp_path, ALPHABET) as seen:
    for seed, one in enumerate(samples):
      seen.add(seed, one)
  again = (tmp_path / 'samples.txt').read_text('utf-8').split('\n')[:-1]
  assert again == [f'{k}\t{line}' for k, line in enumerate(written)]


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A finished shrunken run of one pair on the built-in sentences."""
  folder = tmp_path_factory.mktemp('text')
  train(load(), folder)
  return folder


def read(file):
  return file.read_text('utf-8').splitlines()


def test_what_a_run_leaves(trained):
  images = trained / 'images'
  assert {f.name for f in images.iterdir()} == {
    'reals.txt',
    'fakes_000000004.txt',
  }
  sentences = {line[:32] for line in text.builtin_lines()}
  reals, fakes = read(images / 'reals.txt'), read(images / f'fakes_{4:09d}.txt')
  assert len(reals) == len(fakes) == 64 and set(reals) <= sentences
  alphabet = open_source(load().data).alphabet
  assert all(len(f) <= 32 and set(f) <= set(alphabet) for f in fakes)
  assert RunDir(trained).alphabet == alphabet


def test_stopping_and_going_on_changes_no_bit(trained, tmp_path):
  train(load(('train.steps', '2')), tmp_path)
  train(load(('train.steps', '4')), tmp_path)
  states = [restore(d, one_device()).state for d in (tmp_path, trained)]
  assert small.identical(*states)
  name = f'images/fakes_{4:09d}.txt'
  assert read(tmp_path / name) == read(trained / name)


def test_samples_are_lines_by_seed(trained):
  found = []
  for seeds in ('0-5', '3'):
    sample(trained, seeds, None, None)
    file = trained / 'samples' / 'step_000000004' / 'samples.txt'
    found.append(dict(line.split('\t') for line in read(file)))
  assert list(found[0]) == list('012345') and found[1] == {'3': found[0]['3']}
  assert found[0]['3'] == read(trained / 'images' / f'fakes_{4:09d}.txt')[3]
  assert not list(file.parent.glob('*.png'))


def test_a_text_run_is_evaluated_and_planned(trained):
  line = evaluate(trained)
  assert line['step'] == 4 and 0 <= line['d_ranked'] <= 1
  report = plan(load()).text
  assert 'alphabet' in report and 'FLOP' in report


def test_another_alphabet_is_refused(trained, tmp_path):
  shutil.copytree(trained, tmp_path / 'run')
  (tmp_path / 'other.txt').write_text('Other words.\n' * 9)
  config = load()
  with config.unlocked():
    config.data.source = f'text:{tmp_path}/other.txt'
    config.train.change = ('data.source',)
  with pytest.raises(UserError, match='data.alphabet: .* -> '):
    train(config, tmp_path / 'run')
  assert RunDir(tmp_path / 'run').alphabet == RunDir(trained).alphabet


def test_an_ensemble_shows_its_locals_as_text(tmp_path):
  config = load(n=2)
  source = open_source(config.data)
  made = experiment.build(config, source.shape, 0)
  state = experiment.initial_state(made, 0, one_device())
  run = RunDir(tmp_path)
  (tmp_path / 'images').mkdir()
  run.save_data(source)
  preview = Preview(config, run, made, source, one_device())
  assert preview(0, 0, state) == {}
  rows = read(tmp_path / 'images' / 'locals_000000000.txt')
  assert len(rows) == 2 * 8 and rows[:8] != rows[8:]
  assert len(read(tmp_path / 'images' / 'fakes_000000000.txt')) == 64
