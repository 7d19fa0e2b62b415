"""Options of the compiler: what they save, what they must not change."""

import jax
import numpy as np
import pytest

from gan_jax import compiler
from gan_jax.mesh import one_device

X = jax.ShapeDtypeStruct((256, 256), np.float32)


@pytest.fixture(autouse=True)
def asks_anew():
  compiler._knows_frugal.cache_clear()
  yield
  compiler._knows_frugal.cache_clear()


def pyramid(x):
  """Sums of products that an eager order would all make at first."""
  total = x
  for i in range(12):
    total = total @ (x + i) @ (x - i)
  return total + sum((x * i) @ x for i in range(12))


def test_steps_keep_their_digits_and_take_less_memory():
  plain = jax.jit(pyramid).lower(X).compile()
  asked = jax.jit(pyramid, compiler_options=compiler.for_steps(one_device()))
  asked = asked.lower(X).compile()
  temporary = lambda c: c.memory_analysis().temp_size_in_bytes
  if jax.default_backend() == 'cpu':
    assert temporary(asked) < temporary(plain)
  x = np.random.default_rng(0).standard_normal(X.shape, np.float32) / 16
  np.testing.assert_array_equal(asked(x), plain(x))


def test_an_xla_without_the_option_compiles_without_it(monkeypatch):
  monkeypatch.setattr(compiler, '_FRUGAL', {'xla_cpu_no_such_option': 'x'})
  assert compiler.for_steps(one_device()) is None


@pytest.mark.skipif(jax.default_backend() != 'cpu', reason='an option of CPUs')
def test_this_xla_has_the_option():
  assert compiler.for_steps(one_device())


def test_this_xla_takes_the_options_of_estimates():
  options = compiler.for_estimates()
  lowered = jax.jit(pyramid).lower(X)
  assert lowered.compile(options).memory_analysis()
  with pytest.raises(jax.errors.JaxRuntimeError, match='ompile option'):
    lowered.compile({f'no_{name}': value for name, value in options.items()})
