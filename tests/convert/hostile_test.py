"""Files that want more memory, or time, than they are worth are refused."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.convert import hostile

ROOT = pathlib.Path(__file__).parent.parent.parent
SECONDS, MEBIBYTES = 10, 250  # of each file, and of all


def run(what, folder):
  done = subprocess.run(
    [sys.executable, hostile.__file__, what, str(folder)],
    capture_output=True,
    text=True,
    timeout=300,
    env={**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'},
  )
  assert not done.returncode, done.stderr
  return done.stdout


@pytest.mark.slow
def test_hostile_files_end_in_a_sentence(tmp_path):
  run('write', tmp_path)
  told = json.loads(run('read', tmp_path).splitlines()[-1])
  assert len(told) > 110
  for name, (said, seconds, peak) in told.items():
    assert said.startswith('UserError: ') and '\n' not in said, (name, said)
    assert len(said) < 600, (name, said)
    assert seconds < SECONDS, (name, seconds)
    assert peak < MEBIBYTES, (name, peak)
