"""What ends a command: in words, with an exit code, within seconds."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from gan_jax import top
from gan_jax.errors import UserError, is_passing, system_error

ROOT = pathlib.Path(__file__).parent.parent
# As TensorStore words it, in a thread of Orbax.
FULL = (
  'RESOURCE_EXHAUSTED: Error writing "digest/0" in OCDBT database at local file'
  ' "/runs/x/checkpoints/4.orbax-checkpoint-tmp/default.orbax-checkpoint-tmp/'
  'ocdbt.process_0/": Failed writing: No space left on device'
  " [os_error_code='28'] [source locations='tensorstore/internal/os/x.cc:1']"
)


def caused(error, cause):
  error.__cause__ = cause
  return error


def noted(error, note):
  error.add_note(note)
  return error


SAID = {
  'a mistake': (UserError('Do this.'), 'Do this.'),
  'a full disk': (OSError(errno.ENOSPC, 'No space', 'runs/x/a.png'), 'runs/x'),
  'a quota': (OSError(errno.EDQUOT, 'Quota'), 'quota'),
  'a limit': (OSError(errno.EFBIG, 'Too large'), 'ulimit -f'),
  'no permission': (
    PermissionError(errno.EACCES, 'x', '/x'),
    '/x: there is no',
  ),
  'read only': (OSError(errno.EROFS, 'x', '/x'), 'can only be read'),
  'gone': (FileNotFoundError(errno.ENOENT, 'x', '/x'), 'moved or removed'),
  'a folder': (IsADirectoryError(errno.EISDIR, 'x', '/x'), 'a folder is where'),
  'a long name': (OSError(errno.ENAMETOOLONG, 'x', '/x'), 'shorter'),
  'many files': (OSError(errno.EMFILE, 'x', '/x'), 'ulimit -n'),
  'a broken disk': (OSError(errno.EIO, 'x', '/x'), 'look after the storage'),
  'a server': (OSError(errno.ESTALE, 'x', '/x'), 'storage'),
  'a rare one': (
    OSError(errno.ENOTSUP, 'Not supported', '/x'),
    'not supported',
  ),
  'without a number': (OSError('cannot write mode I'), 'cannot write mode I'),
  'as bytes': (OSError(errno.ENOSPC, 'x', b'/x/\xff'), 'full'),
  'in C++': (ValueError(FULL), '/runs/x/checkpoints/4: the disk is full'),
  'as a cause': (
    caused(RuntimeError('x'), OSError(errno.ENOSPC, 'x', '/x')),
    'the disk is full',
  ),
  'in a group': (
    ExceptionGroup('x', [TypeError(), OSError(errno.ENOSPC, 'x', '/x')]),
    'the disk is full',
  ),
  'with a note': (
    noted(OSError(errno.ENOSPC, 'x'), 'Training had reached step 12.'),
    'again. Training had reached step 12.',
  ),
  'no memory': (MemoryError('Unable to allocate 3 GiB'), '3 GiB'),
}


@pytest.mark.parametrize('case', SAID)
def test_what_the_system_says_is_one_sentence(case, capsys):
  error, words = SAID[case]
  text = top.sentence(error)
  assert words in text and '\n' not in text and text.endswith('.')

  def job():
    raise error

  with pytest.raises(SystemExit) as stop:
    top.run(job)
  assert stop.value.code == f'gan_jax: {text}'
  assert capsys.readouterr() == ('', '')
  with pytest.raises(SystemExit):
    top.run(job, debug=True)
  assert type(error).__name__ in capsys.readouterr().err


@pytest.mark.parametrize(
  'error',
  [
    TypeError('x'),
    KeyError('x'),
    AssertionError(),
    ValueError('the number 28'),
    RuntimeError('x'),
    ExceptionGroup('x', [TypeError()]),
  ],
)
def test_a_fault_of_ours_shows_where_and_says_whose_it_is(error, capsys):
  def job():
    try:
      raise FileNotFoundError(errno.ENOENT, 'x')  # what it was busy with
    except FileNotFoundError:
      raise error  # noqa: B904

  with pytest.raises(SystemExit) as stop:
    top.run(job)
  assert 'report it' in stop.value.code
  assert 'Traceback' in capsys.readouterr().err


def test_what_a_device_reports_is_told_from_what_we_did_wrong():
  jax_error = type('JaxRuntimeError', (RuntimeError,), {})
  say = lambda text: top.sentence(jax_error(text))
  full = say('RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.\nMore')
  assert 'train.batch' in full and '99 bytes' in full and '\n' not in full
  assert 'fault' in say('INTERNAL: CUDA error: an illegal address')
  assert say('INVALID_ARGUMENT: shapes differ') is None
  assert 'the disk is full' in say(FULL)


def test_what_passes_is_told_from_damage():
  passing = (errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE)
  damage = (errno.ENOENT, errno.EISDIR, errno.ENOTDIR)
  assert all(is_passing(OSError(n, 'x')) for n in passing)
  assert not any(is_passing(OSError(n, 'x')) for n in damage)
  assert is_passing(ValueError("x [os_error_code='5']"))
  assert not is_passing(ValueError('NOT_FOUND: x')) and is_passing(
    MemoryError()
  )
  assert system_error(ValueError('[Errno 13] x')).errno == errno.EACCES


def start(body, **env):
  code = f'import os, sys, time, hashlib\nfrom gan_jax import top\n{body}'
  return subprocess.Popen(
    [sys.executable, '-c', code],
    cwd=ROOT,
    env=os.environ | env,
    text=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )


# Python runs no handler inside of the last two: C that takes minutes, and a
# callback out of which nothing is raised.
BUSY = {
  'asleep': 'time.sleep(60)',
  'in C': "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",
  'in a finally': """
try: time.sleep(60)
finally: time.sleep(60)""",
  'where a library makes another fault of it': """
try: time.sleep(60)
except BaseException: raise RecursionError('half imported') from None""",
  'in a callback': """
class A:
  def __del__(self): time.sleep(3)
a = A()
del a
while True: time.sleep(1)""",
}


@pytest.mark.parametrize('busy', BUSY)
@pytest.mark.parametrize('times', [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_signal_ends_it_within_seconds_and_in_one_sentence(busy, times):
  if times > 1 and busy == 'in a callback':
    pytest.skip('no more than with one')
  body = BUSY[busy].replace('\n', '\n  ')
  process = start(
    f"def job():\n  print('on', flush=True)\n  {body}\ntop.run(job)"
  )
  assert process.stdout.readline() == 'on\n'
  time.sleep(0.1)
  for k in range(times):
    process.send_signal((signal.SIGINT, signal.SIGTERM)[k % 2])
    time.sleep(0.02)
  began = time.monotonic()
  output, said = process.communicate(timeout=60)
  assert time.monotonic() - began < 9
  assert process.returncode == 130 and output == ''
  assert said == 'gan_jax: interrupted; what was saved before is as it was.\n'


@pytest.mark.parametrize('debug', [False, True])
def test_nothing_is_said_after_the_sentence(debug):
  """As by a coroutine of Orbax that a full disk leaves behind."""
  process = start(f"""
async def write(): pass
def job():
  job.left = write()
  raise OSError(28, 'No space', 'x')
top.run(job, debug={debug})""")
  _, said = process.communicate(timeout=60)
  assert process.returncode == 1 and 'gan_jax: x: the disk is full' in said
  assert ('never awaited' in said) is debug
  assert said.splitlines()[-1].startswith('gan_jax: ') is not debug


def test_handlers_are_as_before_where_nothing_came():
  before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
  top.run(lambda: None)
  after = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
  assert before == after


def test_any_name_can_be_printed_whatever_the_terminal_has():
  process = start(
    "top.run(lambda: print('\\u0117', '\\udcff'))",
    PYTHONIOENCODING='ascii',
  )
  output, said = process.communicate(timeout=60)
  assert (process.returncode, said) == (0, '')
  assert output == '\\u0117 \\udcff\n'


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='Linux only')
@pytest.mark.parametrize('where', ['/dev/full', 'closed'])
def test_a_standard_output_that_takes_nothing_is_no_traceback(where):
  body = "top.run(lambda: print('x' * 100_000))"
  if where == 'closed':
    process = start(body)
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait(60) == 1 and said == ''
    return
  code = f'from gan_jax import top\n{body}'
  with open(where, 'w') as full:
    done = subprocess.run(
      [sys.executable, '-c', code],
      cwd=ROOT,
      stdout=full,
      stderr=subprocess.PIPE,
      text=True,
      check=False,
    )
  assert done.returncode == 1
  assert done.stderr.startswith('gan_jax: the disk is full') and (
    done.stderr.count('\n') == 1
  )
