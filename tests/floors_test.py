"""No import goes from a lower floor to a higher one, and none in a circle."""

import pathlib

import pytest

from tests import floors

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope='module')
def found():
  return floors.imports(ROOT)


def test_every_room_has_a_floor(found):
  rooms = {floors.room(name) for name in found if name}
  assert rooms <= set(floors.LEVELS), 'a place in the plan: tests/floors.py'


def test_no_import_goes_upwards(found):
  assert floors.upward(found) == []


def test_no_circle_of_rooms_or_modules(found):
  assert floors.circles(floors.between_rooms(found)) == []
  assert floors.circles(found) == []


def test_no_module_is_read_without_its_imports(found):
  """The reader sees what Python sees."""
  assert {'config', 'metrics.registry'} <= found['validate']
  assert 'run.folder' in found['released'] and 'errors' in found['data.part']
  assert 'train' in found['main']  # imported inside a function
  assert len(found) > 90


@pytest.fixture
def package(tmp_path):
  """A function that writes a package's modules and reads their imports."""

  def write(texts):
    for name, text in texts.items():
      file = tmp_path / 'gan_jax' / f'{name}.py'
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_text(text)
    return floors.imports(tmp_path)

  return write


@pytest.mark.parametrize(
  'text',
  [
    'from gan_jax.config import x',
    'from gan_jax import config',
    'import gan_jax.config',
    'import gan_jax.config as c, os',
    'def f():\n  from gan_jax import errors, config',
    'if True:\n  try:\n    from .. import config\n  except ImportError: pass',
    'from ..config import x',
  ],
)
def test_an_import_upwards_is_seen_however_it_is_written(package, text):
  found = package({'config': '', 'errors': '', 'run/folder': text})
  assert floors.upward(found) == ['run.folder -> config']


def test_below_and_beside_are_fine(package):
  found = package(
    {
      'errors': '',
      'run/folder': 'from gan_jax import errors\nfrom gan_jax.run import lock',
      'run/lock': 'import jax\nfrom gan_jax.errors import config',
      'restore': 'from gan_jax import engine',
      'engine': 'from gan_jax.run.folder import RunDir',
      'metrics/spaces': '',
      'metrics/__main__': 'from gan_jax.restore import x',
    }
  )
  assert floors.upward(found) == []
  assert floors.circles(floors.between_rooms(found)) == []
  assert found['run.folder'] == {'errors', 'run.lock'}


def test_circles_are_seen(package):
  found = package(
    {
      'restore': 'from gan_jax import engine',
      'engine': 'from gan_jax import sampler',
      'sampler': 'def f():\n  from gan_jax.restore import x',
      'data/a': 'from gan_jax.data import b',
      'data/b': 'from gan_jax.data.a import x',
    }
  )
  circle = ['engine', 'restore', 'sampler']
  assert floors.circles(floors.between_rooms(found)) == [circle]
  assert floors.circles(found) == [['data.a', 'data.b'], circle]


def test_the_picture_names_what_goes_wrong(tmp_path, package):
  package({'config': '', 'run/folder': 'from gan_jax import config'})
  text = floors.picture(tmp_path)
  assert 'run.folder -> config' in text and 'config (UP)' in text
