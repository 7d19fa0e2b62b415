"""What XLA is asked for when it compiles, by the devices it compiles for."""

import functools

import jax
from jax.sharding import Mesh

# An order of a step's operations in which few arrays live at once. On a CPU it
# is faster too, by a tenth for DCGAN-64: what was just written is read while it
# is in the cache. XLA's default there runs what it can early, for many cores.
_FRUGAL = {'xla_cpu_scheduler_type': 'CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED'}
_QUICK = {'xla_backend_optimization_level': 0}
# XLA's EFFORT_O0. A TPU's compiler then tries no forms of an operation to find
# the fastest, and keeps nothing on the chip from one to the next.
_ROUGH = {'optimization_level': 9}

Options = dict[str, str | int] | None


def for_steps(on: Mesh) -> Options:
  """Options for `jax.jit` of what runs many times on a mesh."""
  return _FRUGAL if _is_cpu(on) and _knows_frugal() else None


def for_once(on: Mesh) -> Options:
  """Options of what runs once.

  A CPU need not optimise it: on two cores a DCGAN's random draws take 1 s to
  compile in place of 13.
  """
  return _QUICK if _is_cpu(on) else None


def for_estimates() -> Options:
  """Options of what is compiled for a TPU and never run."""
  return _ROUGH


def _is_cpu(on: Mesh) -> bool:
  return on.devices.flat[0].platform == 'cpu'


@functools.cache
def _knows_frugal() -> bool:
  """Whether this XLA has the option; it refuses names that it does not know."""
  try:
    # This process's own: the first of all may be another's.
    with jax.default_device(jax.local_devices(backend='cpu')[0]):
      jax.jit(lambda: 0, compiler_options=_FRUGAL).lower().compile()
  except jax.errors.JaxRuntimeError:
    return False
  return True
