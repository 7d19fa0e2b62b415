"""The top of every command: what ends it is worded here, once.

A user's mistake, what the system says (disk full, no permission, no memory, a
device that is not there) and Ctrl-C each end in one sentence; what is left is a
fault of ours, and shows where it happened.
"""

import contextlib
import errno
import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable

from gan_jax import paths
from gan_jax.errors import (
  INTERRUPTED,
  STOPPED,
  UserError,
  store_error,
  system_error,
)

_PATIENCE = 5.0  # seconds from a signal to the end of the process
_REPORT = (
  'gan_jax: this is a fault of the program, not yours: please report it with'
  ' the lines above and the command. What was saved before is as it was.'
)
# What the system says: in words, and what to do.
_SPACE = 'make room, and run the same command again'
_RIGHTS = 'change its permissions, or name another place'
_STORAGE = 'look after the storage, and run the same command again'
_FILES = 'raise the limit (ulimit -n), or lower --config.data.workers'
_GONE = 'was it moved or removed meanwhile? Put it back, or name another'
_WORDS = {
  errno.ENOSPC: ('the disk is full', _SPACE),
  errno.EDQUOT: ('the quota of the disk is used up', _SPACE),
  errno.EFBIG: (
    'a file would be larger than the limit on files (ulimit -f)',
    'raise it, and run the same command again',
  ),
  errno.EACCES: ('there is no permission', _RIGHTS),
  errno.EPERM: ('there is no permission', _RIGHTS),
  errno.EROFS: ('the disk can only be read', 'name another place'),
  errno.ENOENT: ('it is not there', _GONE),
  errno.ENOTDIR: ('a file is where a folder should be', 'move it away'),
  errno.EISDIR: ('a folder is where a file should be', 'move it away'),
  errno.EEXIST: ('something else is there already', 'move it away'),
  errno.ENAMETOOLONG: ('the name is too long', 'choose a shorter one'),
  errno.EMFILE: ('too many files are open', _FILES),
  errno.ENFILE: ('too many files are open', _FILES),
  errno.ENOMEM: ('there is not enough memory', 'close other programs'),
  errno.EIO: ('the storage has a fault', _STORAGE),
  errno.ESTALE: ('the storage is gone', _STORAGE),
  errno.ETIMEDOUT: ('the storage does not answer', _STORAGE),
}
_LESS = (
  'take a smaller --config.train.batch, or smaller networks;'
  ' --mode=plan says what a step takes'
)
# Of JAX: what a device reports, as opposed to what we did wrong.
_DEVICE = re.compile(
  r'(INTERNAL|UNAVAILABLE|ABORTED|DATA_LOSS|DEADLINE_EXCEEDED|CANCELLED):'
)
# Of JAX: what it says where another process of the run is gone.
_LOST = re.compile('gloo|heartbeat|coordination service|remote task', re.I)


def restart_in_utf8() -> None:
  """Starts this very command again where names of files are not read as UTF-8.

  In a C locale Python gives them to libraries in pieces that those do not take.
  Nothing happens elsewhere. Call it first thing under `if __name__ ==
  '__main__'`.
  """
  if sys.getfilesystemencoding() != 'utf-8':
    os.environ['PYTHONUTF8'] = '1'
    with contextlib.suppress(OSError):
      os.execv(sys.executable, sys.orig_argv)


def prepare() -> None:
  """What JAX and the log are told, before the first import of JAX."""
  # Compiled steps are kept between runs: a resumed run starts in seconds.
  os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(paths.cache('xla')))
  # jax 0.10.1 warns of tuning hints, for pages, when it takes a program from
  # the cache; real faults are raised in Python.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  logging.basicConfig(format='%(message)s', level=logging.WARNING)


def run(job: Callable[[], None], debug: bool = False) -> None:
  """Does a job and words its end; to be called in the main thread.

  Exit codes: 0 when it is done, 1 for a mistake or a fault, 130 when it was
  interrupted, 75 when another process of the run was lost.

  Args:
    job: what to do; a SystemExit of its own passes.
    debug: show the traceback of whatever ends in a sentence, too.
  """
  for stream in (sys.stdout, sys.stderr):
    # Names of files can be what a terminal's encoding does not have.
    if hasattr(stream, 'reconfigure'):
      stream.reconfigure(errors='backslashreplace')
  came = []
  try:
    with _interruptible(debug, came):
      job()
      sys.stdout.flush()
  except KeyboardInterrupt:
    if debug:
      traceback.print_exc()
    _leave()
  except Exception as error:
    if came:  # an interrupted import, say, fails in ways of its own
      _leave()
    _drop_unwritten()
    if not debug:
      # A library's coroutine behind a full disk, say, that nobody waits for
      # any more: the sentence is the last thing that is said.
      warnings.simplefilter('ignore')
    if isinstance(error, BrokenPipeError):
      sys.exit(1)  # whoever read us has had enough (`| head`)
    words = sentence(error)
    if debug or words is None:
      traceback.print_exception(error)
    words = _REPORT if words is None else f'gan_jax: {words}'
    if _is_several():
      _leave(f'{words}\n', STOPPED if _is_lost(error) else 1)
    sys.exit(words)


@contextlib.contextmanager
def _interruptible(debug: bool, came: list[int]):
  """SIGINT and SIGTERM end the block by KeyboardInterrupt, within seconds.

  Python calls its handlers between two of its own instructions: not while a
  program compiles, which can take minutes. So a thread watches, too, and where
  nothing has come of a signal ends the process. It leaves alone whoever sets
  handlers of its own inside the block.

  Args:
    debug: see `run`.
    came: takes the number of a signal that has come.
  """

  def interrupt(number, frame):
    came.append(number)
    for other in numbers:  # more of them would come in the way of the end
      signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt

  def watch():
    while number := os.read(end, 1):
      ours = signal.getsignal(number[0]) in (interrupt, signal.SIG_IGN)
      if ours and not done.wait(_PATIENCE):
        _leave()

  def unraisable(fact):
    # What nobody waits for any more: a library's threads behind a full disk,
    # or Ctrl-C inside of a callback, which `watch` has seen.
    if debug:
      hook(fact)

  numbers, done = (signal.SIGINT, signal.SIGTERM), threading.Event()
  end, theirs = os.pipe()
  os.set_blocking(theirs, False)
  woken = signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
  before = {number: signal.signal(number, interrupt) for number in numbers}
  hook, sys.unraisablehook = sys.unraisablehook, unraisable
  thread = threading.Thread(target=watch, daemon=True)
  thread.start()
  try:
    yield
  finally:
    done.set()
    sys.unraisablehook = hook
    if signal.getsignal(signal.SIGINT) is interrupt:  # nothing has come
      for number, handler in before.items():
        signal.signal(number, handler)
    signal.set_wakeup_fd(woken)
    os.close(theirs)  # `watch` reads its end
    thread.join()
    os.close(end)


def _drop_unwritten() -> None:
  """Forgets what standard output does not take, or Python would try again."""
  try:
    sys.stdout.flush()
  except OSError:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_several() -> bool:
  """Whether there are other processes, which an orderly end would wait for."""
  jax = sys.modules.get('jax')
  return bool(jax and jax.distributed.is_initialized())


def _is_lost(error) -> bool:
  """Whether JAX says that another process of the run is gone."""
  return _is_of_jax(error) and bool(_LOST.search(str(error)))


def _is_of_jax(error) -> bool:
  return type(error).__name__ in ('JaxRuntimeError', 'XlaRuntimeError')


def _leave(
  words='gan_jax: interrupted; what was saved before is as it was.\n',
  code=INTERRUPTED,
) -> None:
  """Ends a process at once: its threads may still be compiling."""
  for process in multiprocessing.active_children():
    process.terminate()
  with contextlib.suppress(Exception):
    logging.shutdown()
    sys.stdout.flush()
  with contextlib.suppress(OSError):
    os.write(2, words.encode('utf-8', 'backslashreplace'))
  os._exit(code)


def sentence(error: BaseException) -> str | None:
  """What ended a job, for people; None if it is a fault of ours."""
  if isinstance(error, UserError):
    return str(error)
  words = (
    _of_memory(error)
    or _of_store(error)
    or _of_system(error)
    or _of_device(error)
  )
  if words is None:
    return None
  return ' '.join([words, *getattr(error, '__notes__', ())])


def _of_system(error) -> str | None:
  """What the operating system says."""
  said = system_error(error)
  if said is None:
    return None
  if said.errno is None:
    return f'{said}.'
  text = (said.strerror or os.strerror(said.errno)).lower()
  what, advice = _WORDS.get(said.errno, (text, 'see --debug for where'))
  where = '' if said.filename is None else f'{os.fsdecode(said.filename)}: '
  return f'{where}{what}: {advice}.'


def _of_store(error) -> str | None:
  """What an object store says, or the way to it."""
  said = store_error(error)
  return said and (
    f'The object store cannot be asked ({said}): look after the network and the'
    ' permissions, and run the same command again.'
  )


def _of_memory(error) -> str | None:
  if isinstance(error, MemoryError):
    return f'There is not enough memory{_detail(error)}: {_LESS}.'
  return None


def _detail(error) -> str:
  return f' ({_first_line(error)})' if str(error) else ''


def _of_device(error) -> str | None:
  """What JAX says of the devices."""
  text = _first_line(error)
  if _is_lost(error):
    return (
      'Another process of this run is gone (its own output says why): start'
      ' all of them again, and they go on from the newest checkpoint.'
    )
  if _raised_in(error) == 'xla_bridge.py':  # where JAX looks for devices
    asked = os.environ.get('JAX_PLATFORMS', '')
    text = text.partition(' (set JAX_PLATFORMS')[0]
    why = f' ({text[:200]})' if text else ''
    return (
      f'JAX_PLATFORMS={asked} names a device that JAX cannot use here{why}:'
      ' unset it to take what there is, or set it to cpu.'
    )
  if not _is_of_jax(error):
    return None
  if 'RESOURCE_EXHAUSTED' in text or 'ut of memory' in text:
    return f"The device's memory is full ({text[:120]}): {_LESS}."
  if _DEVICE.match(text):
    return (
      f'The device has a fault ({text[:200]}): run the same command again, and'
      ' look after the device if that does not help; --debug shows where.'
    )
  return None


def _raised_in(error) -> str:
  """The name of the file that an exception comes from; '' if from none."""
  frames = traceback.extract_tb(error.__traceback__)
  return os.path.basename(frames[-1].filename) if frames else ''


def _first_line(error) -> str:
  return next(filter(None, map(str.strip, str(error).splitlines())), '')
