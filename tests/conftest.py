"""Runs before JAX starts: eight fake devices, quick compilation, one cache."""

import gc
import importlib.util
import os
import pathlib
import sys

import hypothesis
import pytest

from tests import xla

# Set before the first import of jax in this process: device count is fixed
# when the CPU backend starts. Subprocesses of tests choose their own.
FLAGS = ['--xla_force_host_platform_device_count=8']

# Most of the suite's time was XLA's compiler at work on programs that run once,
# on a few hundred numbers. At level 0, without the fusion emitters (and their
# MLIR) and in one piece, a step of OSGAN compiles in 1.0 s for 8.4. The
# operations are the same; how they are put together is XLA's affair. Where it
# matters, TESTS_OPTIMISED=1 compiles as for users: .ci/run does for a part.
if not os.environ.get('TESTS_OPTIMISED'):
  FLAGS += [
    '--xla_backend_optimization_level=0',
    '--xla_cpu_parallel_codegen_split_count=1',
  ]
  if xla.CHOOSES_EMITTERS:
    FLAGS += ['--xla_cpu_use_fusion_emitters=false']
os.environ['XLA_FLAGS'] = ' '.join([os.environ.get('XLA_FLAGS', ''), *FLAGS])
CACHE = os.environ.setdefault(
  'JAX_COMPILATION_CACHE_DIR',
  str(pathlib.Path.home() / '.cache' / 'gan_jax' / 'tests'),
)
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.3')
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

# No example has a time limit: its first one compiles, and machines are shared.
hypothesis.settings.register_profile('tests', deadline=None)
hypothesis.settings.load_profile('tests')


def pytest_collection_finish():
  """Keeps the collector from walking all imported modules again and again."""
  gc.collect()
  gc.freeze()
  gc.set_threshold(20_000, 20, 20)  # tracing makes many objects, few circles


@pytest.fixture(autouse=True, scope='module')
def forgets():
  """What a file has compiled goes with it (all of the suite took 8 GB).

  So do the tables of convolutions of the last run that it opened.
  """
  yield
  if jax := sys.modules.get('jax'):
    jax.clear_caches()
  if tables := sys.modules.get('gan_jax.nn.conv_tables'):
    tables.use(None)


@pytest.fixture(scope='session')
def store():
  """A stand-in of gs://bucket for this process and those that it starts."""
  if not importlib.util.find_spec('gcsfs'):  # imported below this environment
    pytest.skip('gcsfs is not installed')
  from tests.object_store import ObjectStore

  with ObjectStore() as served, pytest.MonkeyPatch.context() as patch:
    for name, value in served.environment.items():
      patch.setenv(name, value)
    yield served
