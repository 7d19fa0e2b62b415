"""The campaign, small: see __init__.py for how to run it at length."""

import pytest

from tests.campaign import disk, kills, pool


@pytest.mark.slow
@pytest.mark.parametrize(
  'part, count',
  [('pictures', 4000), ('weights', 4000), ('settings', 2000), ('runs', 30)],
)
def test_malformed_inputs_give_a_result_or_a_sentence(part, count):
  found = pool.run(part, count, seed=1)
  assert not found['bad'], found
  assert sum(found.get(kind, 0) for kind in pool.GOOD) == count
  assert found['peak_mb'] < 1024, found


@pytest.mark.slow
def test_killed_at_any_moment_nothing_differs(tmp_path):
  found = kills.run(4, 1, tmp_path)
  assert found['games'] == found['kills'] == 4 and not found['bad'], found


@pytest.mark.slow
def test_full_disks_and_vanishing_folders_end_in_a_sentence(tmp_path):
  found = disk.run(1, 1, tmp_path)
  assert found['cases'] >= 3 and not found['bad'], found
