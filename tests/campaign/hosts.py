"""Two processes of one run, ended at random moments, and every method.

  python -m tests.campaign hosts --count=20

Each method is trained by two processes with four devices each and by one with
eight; then, `count` times, one of them or both get SIGTERM, SIGINT or SIGKILL
at a random moment, and both are started again: they end as undisturbed ones.
"""

import random
import re
import signal
import time

from tests import hosts_test as real
from tests import main_test, small

DIGITS = '--config.data.source=digits'
# Adam's first steps have the size of the rate whatever the gradient's: where
# that is rounding alone, as in some of FastGAN's kernels, its sign decides, on
# one device against eight in one process as well. SGD moves by the gradient.
BY_SGD = [
  f'--config.optimizer.{player}.{key}={value}'
  for player in ('generator', 'discriminator')
  for key, value in dict(name='sgd', b1='0.0').items()
]
METHODS = {
  'sgan': real.SGAN,
  'dcgan': ('--config=configs/dcgan_cifar.py:test', DIGITS),
  # Through a change of stage.
  'progan': ('--config=configs/progan_cifar.py:test', DIGITS),
  'glead': ('--config=configs/glead_folder.py:test', DIGITS),
  'fastgan': ('--config=configs/fastgan_folder.py:test', DIGITS, *BY_SGD),
}
SIGNALS = ('TERM', 'INT', 'KILL')


def run(count: int, seed: int, folder) -> dict:
  """Plays it; see `pool.run` for what is returned."""
  bad = []
  for name, args in METHODS.items():
    apart, whole = folder / f'{name}_two', folder / f'{name}_one'
    try:
      real.ended(real.two(apart, *args), [0, 0])
      if not real.same_as_one_process(apart, whole, *args):
        bad.append((name, 'one process ends elsewhere'))
    except AssertionError as error:
      bad.append((name, str(error)[-600:]))
  for case in range(count):
    words = _disturbed(random.Random(f'{seed} {case}'), folder, case)
    bad += [(str(case), word) for word in words]
  return {'cases': count, 'methods': len(METHODS), 'bad': bad}


def _disturbed(draw, folder, case: int):
  """What is wrong with a run whose processes are ended, in words."""
  kind, who = draw.choice(SIGNALS), draw.choice([(0,), (1,), (0, 1)])
  workdir = folder / f'case_{case}'
  processes = real.two(workdir, *real.SGAN)
  main_test.wait_for_step(processes[0], workdir, draw.choice([1, 10, 20, 40]))
  time.sleep(draw.uniform(0, 0.5))
  for number in who:
    processes[number].send_signal(getattr(signal, f'SIG{kind}'))
    time.sleep(draw.choice([0, 0.2]))
  said = [process.communicate(timeout=300)[0] for process in processes]
  codes = [process.returncode for process in processes]
  about = f'SIG{kind} to {who}: {codes}: '
  if kind != 'KILL':
    saved = re.search(r'saved at step (\d+)', said[0])
    newest = main_test.final(workdir).step
    if codes not in ([75, 75], [0, 0]):
      yield about + said[0][-400:]
    elif codes == [75, 75] and (not saved or int(saved[1]) != newest):
      yield about + f'the newest checkpoint is of step {newest}'
  processes = real.two(workdir, *real.SGAN)
  said = [process.communicate(timeout=300)[0] for process in processes]
  if any(process.returncode for process in processes):
    yield about + 'started again: ' + said[0][-400:]
    return
  ends = [main_test.final(f).state for f in (workdir, folder / 'sgan_two')]
  if not small.identical(*ends):
    yield about + 'it does not end as an undisturbed run'
