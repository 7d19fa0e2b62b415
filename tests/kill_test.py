"""The quickstart itself, killed twenty times."""

import random
import subprocess
import time

import pytest

from gan_jax.checkpoint import Checkpoints
from tests import main_test, small

QUICKSTART = ('--config=configs/quickstart.py',)


@pytest.mark.slow
def test_twenty_kills_change_no_bit(tmp_path):
  """SIGKILL at random moments: imports, compilation, steps, saving."""
  whole, killed = tmp_path / 'whole', tmp_path / 'killed'
  status, output = main_test.run(*QUICKSTART, f'--workdir={whole}')
  assert status == 0, output
  seed = time.time_ns()
  moments = random.Random(seed)
  reached = []
  for _ in range(20):
    process = main_test.start(*QUICKSTART, f'--workdir={killed}')
    try:
      process.wait(timeout=moments.uniform(0.5, 11))
    except subprocess.TimeoutExpired:
      process.kill()
    process.communicate()
    steps = Checkpoints(killed / 'checkpoints').steps()
    reached.append(steps[-1] if steps else 0)
    assert process.returncode == -9, f'done before 20 kills: {reached}'
  status, output = main_test.run(*QUICKSTART, f'--workdir={killed}')
  assert status == 0, output
  print(f'seed {seed}: newest checkpoint after each kill: {reached}')
  assert small.identical(
    main_test.final(whole).state, main_test.final(killed).state
  )
