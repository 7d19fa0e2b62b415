import os
import platform
import subprocess
import sys

import pytest

CODE = (
  'import os, sys; from gan_jax.run.memory import restart_with_huge_pages;'
  'restart_with_huge_pages();'
  "print(os.getpid(), os.environ.get('GLIBC_TUNABLES'), sys.argv[1:])"
)
glibc = pytest.mark.skipif(
  platform.libc_ver()[0] != 'glibc', reason='only glibc has the switch'
)


def run(**env):
  process = subprocess.Popen(
    [sys.executable, '-c', CODE, '--a=b c', '-x'],
    env=os.environ | env,
    stdout=subprocess.PIPE,
    text=True,
  )
  output, _ = process.communicate(timeout=60)
  return process.pid, output.strip()


@glibc
def test_restarts_once_as_the_same_process_with_the_same_arguments(monkeypatch):
  monkeypatch.delenv('GLIBC_TUNABLES', raising=False)
  pid, output = run()
  assert output == f"{pid} glibc.malloc.hugetlb=1 ['--a=b c', '-x']"


@glibc
def test_a_users_own_setting_stays():
  pid, output = run(GLIBC_TUNABLES='glibc.malloc.check=0')
  assert output == f"{pid} glibc.malloc.check=0 ['--a=b c', '-x']"


FREED = """
import numpy as np
from gan_jax.run.memory import give_back_freed_memory

def resident():
  with open('/proc/self/statm') as file:
    return int(file.read().split()[1]) * 4096

blocks = [np.ones(8000) for _ in range(3000)]  # 192 MB, below mmap's threshold
del blocks[:-1]  # the last one keeps the heap from shrinking by itself
before = resident()
give_back_freed_memory()
print(before - resident())
"""


@glibc
def test_what_was_freed_goes_back_to_the_system():
  command = [sys.executable, '-c', FREED]
  freed = int(subprocess.run(command, capture_output=True, check=True).stdout)
  assert freed > 100e6
