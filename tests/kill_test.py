"""The quickstart itself, killed twenty times."""

import random
import time

import pytest

from gan_jax.run.checkpoints import Checkpoints
from tests import main_test, small

QUICKSTART = ('--config=configs/quickstart.py',)


@pytest.mark.release
def test_twenty_kills_change_no_bit(tmp_path):
  """SIGKILL at random moments: imports, compilation, steps, saving."""
  whole, killed = tmp_path / 'whole', tmp_path / 'killed'
  status, output = main_test.run(*QUICKSTART, f'--workdir={whole}')
  assert status == 0, output
  seed = time.time_ns()
  moments = random.Random(seed)
  reached = []
  for kill in range(20):
    process = main_test.start(*QUICKSTART, f'--workdir={killed}')
    if kill % 4 == 0:  # somewhere in imports, compilation, first steps
      time.sleep(moments.uniform(0.5, 8))
    else:  # 70 steps further each time, or the next 100 would never be saved
      step = 70 * kill + moments.randint(-30, 30)
      main_test.wait_for_step(process, killed, step)
      time.sleep(moments.uniform(0, 0.6))
    process.kill()
    process.communicate()
    reached.append((Checkpoints(killed / 'checkpoints').steps() or [0])[-1])
    assert process.returncode == -9, f'done before 20 kills: {reached}'
  print(f'seed {seed}: newest checkpoint after each kill: {reached}')
  assert reached == sorted(reached) and reached[-1] >= 1000, reached
  status, output = main_test.run(*QUICKSTART, f'--workdir={killed}')
  assert status == 0, output
  assert small.identical(
    main_test.final(whole).state, main_test.final(killed).state
  )
