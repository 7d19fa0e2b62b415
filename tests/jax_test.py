"""That the JAX installed here computes what it should: its own bugs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import xla

# Compiled as users compile it, whatever conftest.py has chosen.
AS_USERS = {'xla_backend_optimization_level': 3}
if xla.CHOOSES_EMITTERS:
  AS_USERS['xla_cpu_use_fusion_emitters'] = True


@pytest.mark.parametrize(
  'dtype, rows', [('float64', 16_385), ('float32', 32_769)]
)
def test_a_sum_over_many_rows_has_all_of_them(dtype, rows):
  """jax 0.10.2 loses rows on the CPU in these shapes (jax issue 39103).

  Its fused reductions are at fault; setup.cfg excludes the release. If this
  fails, every mean over tens of thousands of rows is in doubt: another
  release of JAX is needed, nothing in this package.
  """
  rng = np.random.default_rng(0)
  a, x = rng.normal(size=(3, 3)), rng.normal(size=(rows, 3))
  with jax.enable_x64(dtype == 'float64'):
    total = jax.jit(
      lambda a, x: jnp.sum(jax.vmap(lambda v: jnp.sum((a @ v) ** 2))(x)),
      compiler_options=AS_USERS,
    )
    found = float(total(jnp.asarray(a, dtype), jnp.asarray(x, dtype)))
  # A lost row is 1e-5 of the sum and more; float32 rounds to 1e-7 of it.
  assert found == pytest.approx(np.sum((x @ a.T) ** 2), rel=2e-6)
