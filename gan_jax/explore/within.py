"""Derivatives by a value within a function, which is not one of its inputs."""

from collections.abc import Callable

import jax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

_CAST = 'convert_element_type'


def pulled_back(function: Callable, *inputs):
  """A function's result, a value on the way to it, and its pull-back to there.

  A network gives its inner maps beside its result; nothing that it takes stands
  for them. So its program is traced, and run with the value as an input.

  Args:
    function: pure, of arrays -> (result, value), one array each. Where the
      value is a cast of another one, as of a map in bfloat16, it is that one.
    *inputs: arrays, or trees of them.

  Returns:
    The result; the value; a function of a cotangent of the result to that of
    the value, zeros if the result does not hang on it.
  """
  traced = jax.make_jaxpr(function)(*inputs)
  program, leaves = traced.jaxpr, jax.tree.leaves(inputs)
  made = {var: eqn for eqn in program.eqns for var in eqn.outvars}
  result, value = program.outvars
  while value in made and made[value].primitive.name == _CAST:
    (value,) = made[value].invars
  call = lambda jaxpr, *x: jaxpr_as_fun(ClosedJaxpr(jaxpr, traced.consts))(*x)
  whole = program.replace(outvars=[result, value])
  after = program.replace(
    invars=[*program.invars, value],
    outvars=[result],
    eqns=[eqn for eqn in program.eqns if eqn is not made.get(value)],
  )
  _, there = call(whole, *leaves)
  found, pull = jax.vjp(lambda x: call(after, *leaves, x)[0], there)
  return found, there, lambda cotangent: pull(cotangent)[0]
