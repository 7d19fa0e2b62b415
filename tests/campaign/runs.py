"""The files of a run, damaged, and then the run is used.

Whatever is done with it, a sentence or a right result comes of it; and what a
refusal leaves behind is what was there before.
"""

import hashlib
import random
import shutil

from gan_jax.errors import UserError
from gan_jax.evaluate import evaluate
from gan_jax.mesh import one_device
from gan_jax.restore import restore
from gan_jax.sample import sample
from gan_jax.train import train
from tests import small
from tests.campaign import mutate
from tests.campaign.pool import WrongError

STEPS, MORE = 4, 6  # of the run, and of what it is trained on to
TEXTS = (
  *('config.json', 'data.json', 'stretches.json', 'best.json'),
  *('metrics.jsonl', 'evaluate.jsonl', 'data.txt', 'log.txt', '.lock'),
  'convolutions.json',
)


def config(steps: int = STEPS):
  """Of points, so that a start costs a second or two."""
  scored = dict(names=('frechet_pixels',), best='frechet_pixels', every=2)
  changed = small.config(metrics=scored).unlock()
  changed.train.steps = steps
  return changed.lock()


def prepare(folder) -> None:
  """Trains the run that all cases damage a copy of."""
  train(config(), folder / 'whole')
  shutil.copytree(folder / 'whole', folder / 'more')
  train(config(MORE), folder / 'more')
  for name in ('whole', 'more'):
    for step in (2, 4, MORE):
      if (folder / name / 'checkpoints' / str(step)).is_dir():
        found = restore(folder / name, one_device(), step)
        _STATES[step] = found.state


_STATES = {}


def case(draw: random.Random, folder) -> str:
  """Damages files of the run, then uses it."""
  run = folder / 'run'
  shutil.rmtree(run, ignore_errors=True)
  shutil.copytree(folder / 'whole', run)
  what = [_damage(draw, run) for _ in range(draw.choice((1, 1, 1, 2)))]
  before, use = _digest(run), draw.choice((_restored, _on, _evaluated, _sample))
  try:
    use(draw, run)
  except UserError as error:
    if use is not _evaluated and _digest(run) != before:
      raise WrongError(f'{what}: {use.__name__} wrote, and: {error}') from None
    raise
  except Exception as error:
    error.add_note(f'{what} {use.__name__}')
    raise
  return f'{what} {use.__name__}'


def _digest(run) -> str:
  """Of all files' names and contents but the checkpoints' own notes."""
  total = hashlib.sha256()
  for file in sorted(run.rglob('*')):
    if file.is_file():
      total.update(str(file).encode() + file.read_bytes())
  return total.hexdigest()


def _damage(draw, run) -> str:
  """Damages one file; its name."""
  if draw.random() < 0.35:
    files = [f for f in sorted((run / 'checkpoints').rglob('*')) if f.is_file()]
    file = draw.choice(files)
    file.write_bytes(mutate.damaged(draw, file.read_bytes()))
    return str(file.relative_to(run))
  name = draw.choice(TEXTS)
  file = run / name
  text = file.read_text('utf-8', 'replace') if file.is_file() else '{}'
  way = draw.random()
  if way < 0.08:
    file.unlink(missing_ok=True)
  elif way < 0.14:  # a folder in its place
    file.unlink(missing_ok=True)
    file.mkdir()
  elif name.endswith('.json'):
    file.write_bytes(mutate.damaged_json(draw, text))
  elif name.endswith('.jsonl'):
    lines = text.splitlines()
    k = draw.randrange(len(lines))
    lines[k] = mutate.damaged_json(draw, lines[k]).decode('utf-8', 'replace')
    file.write_text('\n'.join(lines) + '\n' * draw.randint(0, 1), 'utf-8')
  else:
    file.write_bytes(mutate.damaged(draw, text.encode()))
  return name


def _restored(draw, run) -> None:
  """The state is that of some checkpoint, to the bit."""
  found = restore(run, one_device())
  if not small.identical(found.state, _STATES[found.step]):
    raise WrongError(f'the state of step {found.step} is another')


def _on(draw, run) -> None:
  """The same command again, or with more steps."""
  steps = draw.choice((STEPS, MORE))
  train(config(steps), run)
  found = restore(run, one_device())
  if found.step != steps or not small.identical(found.state, _STATES[steps]):
    raise WrongError(
      f'trained on to {steps} its state at {found.step} is wrong'
    )


def _evaluated(draw, run) -> None:
  evaluate(run)


def _sample(draw, run) -> None:
  sample(run, '0-2', None, None)
