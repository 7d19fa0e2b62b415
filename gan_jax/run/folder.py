"""What a run leaves on disk.

config.json     the config it ran with
data.txt        the report on its data; data.json: shape, classes, alphabet
stretches.json  from which step on how many images a step counted for
convolutions.json  the tables that choose forms of convolutions, as it began
log.txt         what the console showed
metrics.jsonl   one line a log point: step, images, losses, speed
curves.png      those lines as curves
images/         reals.png, fakes_<step>.png, of ensembles locals_<step>.png;
                with D's decoders reconstructions_<step>.png;
                of points landscape_<step>.png, and landscape.gif of them all;
                of text reals.txt and so on, with a line a sample
checkpoints/    <step>/ in Orbax's format
constants/      networks that are used and not trained; constants.json: hashes
samples/        of --mode=sample; explore/: of --mode=explore
evaluate.jsonl  one line an evaluation; evaluate.png: the scores as curves
overfitting.jsonl  what the overfitting watch has said, and when
best/           the state with the best score, in Orbax's format, if the config
                has metrics.best; best.json: its step and score
aside/          checkpoints that could not be read, and that the run went on
                without: checkpoints_<step>
.lock           who works on the run, while somebody does
"""

import contextlib
import errno
import json
import logging
import logging.handlers
import pathlib
from collections.abc import Callable

from gan_jax import hosts, paths
from gan_jax.errors import UserError
from gan_jax.run import draw, identity
from gan_jax.run.facts import are_facts, are_stretches, facts_of, read_lines
from gan_jax.run.lock import lock_of
from gan_jax.run.write import (
  LogFile,
  append,
  clear,
  flush,
  lacking,
  make_folder,
  strict,
  whole,
)

log = logging.getLogger('gan_jax')


class RunDir:
  """The folder of one run. Only process 0 writes.

  To look into a folder writes nothing, and neither does owning it:

    with RunDir(path) as run:  # nobody else trains here from now on
      ...                      # checks; what is logged is kept in memory
      run.begin()              # from here on the folder is written to

  Args:
    path: the folder; it need not exist. As a person wrote it: see
      `paths.place`.
    what: the flag or setting that names it, for sentences.

  Raises:
    UserError: if that is no path, or none that checkpoints can lie in.
  """

  def __init__(self, path, what: str = '--workdir'):
    self.path, self._what = paths.place(path, what), what
    try:
      str(paths.absolute(self.path)).encode('utf-8')
    except UnicodeEncodeError:
      raise UserError(
        f'{what}={self.path} is not UTF-8, and checkpoints lie in folders whose'
        ' names are: choose another.'
      ) from None
    self._writer = None
    self._writes = hosts.leads()
    self._told = set()  # files whose damaged lines have been spoken of

  @property
  def checkpoints(self):
    """Where the checkpoints lie."""
    return self.path / 'checkpoints'

  def __enter__(self):
    """Owns the folder, made if absent, until the end of the block.

    Raises:
      UserError: if another process owns it, or it cannot be written to.
    """
    if self._writes:
      self._made = lacking(self.path)
      self._lock = lock_of(self.path)
      try:
        make_folder(self.path)
        self._lock.take()
      except OSError as error:
        self._unmake()
        raise self._unwritable(error) from None
      # Held back: log.txt is not touched by a start that is refused.
      self._handler = logging.handlers.MemoryHandler(
        capacity=10_000, flushLevel=logging.CRITICAL + 1
      )
      log.addHandler(self._handler)
    if log.level == logging.NOTSET:
      log.setLevel(logging.INFO)  # called from a notebook or a test
    return self

  def begin(self) -> None:
    """All checks are done: the program's log goes to log.txt from now on.

    Raises:
      UserError: if the folder cannot be written to.
    """
    if not self._writes:
      return
    # Nobody else writes here, but for an evaluation that may run beside.
    clear(self.path, but='evaluate')
    clear(self.path / 'images')
    try:
      make_folder(self.path / 'images')
      handler = LogFile(self.path / 'log.txt')
      held = self._handler
      held.setTarget(handler)
      held.flush()
    except OSError as error:
      raise self._unwritable(error) from None
    self._handler = handler
    log.removeHandler(held)
    held.close()
    log.addHandler(handler)

  def __exit__(self, kind, *error):
    with contextlib.ExitStack() as last:  # from the bottom, whatever fails
      if self._writes:
        last.callback(self._unmake)
        last.callback(self._lock.release)
        last.callback(self._close_log, kind is not None)
      if self._writer:
        last.callback(self._writer.close)
        self._writer.flush()

  def _close_log(self, failed: bool) -> None:
    log.removeHandler(self._handler)
    # What ended the run (a full disk) is said already.
    with contextlib.suppress(*[Exception] * failed):
      self._handler.close()
      if self._lock.is_ours():
        self.flush()

  def check_there(self) -> None:
    """Looks whether the folder is still the one that was opened.

    Raises:
      UserError: if it was moved, removed or taken over meanwhile: what is
        written to another of its name would be a run without a beginning.
    """
    if self._writes and not self._lock.is_ours():
      raise UserError(
        f'{self.path} {self._lock.LOST}, and run the command again to go on'
        ' from its newest checkpoint.'
      )

  def _unmake(self) -> None:
    """Removes the folders that were made for nothing: empty ones only."""
    for folder in self._made:
      try:
        folder.rmdir()
      except OSError:
        break

  def _unwritable(self, error: OSError) -> Exception:
    """What is said of a folder; where there is no room the system's own word.

    Another folder is no help then: top.py says what is.
    """
    if error.errno in _NO_ROOM:
      return error
    why, file = (error.strerror or str(error)).lower(), error.filename
    inside = file and pathlib.Path(file) != self.path
    return UserError(
      f'{self._what}={self.path} cannot be written to ('
      + (f'{pathlib.Path(file).name}: {why}' if inside else why)
      + '): choose another folder.'
    )

  def load_config(self) -> dict | None:
    """The config that the folder's run was last started with, or None.

    Raises:
      UserError: if the file is damaged.
    """
    return self.load_json('config.json', _CONFIG_HINT)

  def save_config(self, text: str) -> None:
    """Writes config.json; `text` is what `config.to_json` gives."""
    self._write('config.json', text)

  def load_past(self) -> list | None:
    """The stretches of training so far; None if they were not written down.

    Raises:
      UserError: if the file is damaged.
    """
    good = lambda stored: are_stretches(stored.get('stretches'))
    stored = self.load_json(_PAST, _PAST_HINT, good)
    return stored and stored['stretches']

  def save_past(self, stretches: list) -> None:
    """Writes down how steps, images and samples have been counted so far."""
    self.save_json(_PAST, {'stretches': stretches})

  def save_data(self, source) -> None:
    """Writes what the data are like: data.txt and data.json."""
    self._write('data.txt', source.report + '\n')
    self.save_json('data.json', facts_of(source))

  def load_data(self) -> dict | None:
    """The content of data.json, see `facts_of`, or None.

    Raises:
      UserError: if the file is damaged.
    """
    return self.load_json('data.json', _DATA_HINT, are_facts)

  def load_best(self) -> dict:
    """The content of best.json: metric, step, value; {} if there is none.

    Raises:
      UserError: if the file is damaged.
    """
    kinds = {'metric': (str,), 'step': (int,), 'value': (int, float)}
    good = lambda best: all(type(best.get(k)) in of for k, of in kinds.items())
    return self.load_json(_BEST, _BEST_HINT, good) or {}

  def check_data(self, source, permitted=()) -> None:
    """Refuses data that are not those that the run was trained on.

    A damaged data.json is no reason to: training writes it anew.

    Args:
      source: what it would go on with.
      permitted: `config.train.change`; 'data' permits these changes too.

    Raises:
      UserError: if the samples' shape, their number, the classes or the
        alphabet are others; the sentence shows which.
    """
    try:
      known = self._known_of(source)
    except UserError as error:
      log.warning('%s', error)
      return
    identity.check(self.path, *known, permitted)

  def check_same_data(self, source) -> None:
    """Refuses to measure a run against other data than it has in data.json.

    Args:
      source: the data, wherever they lie now.

    Raises:
      UserError: if they are others; the sentence shows where they differ.
    """
    found = identity.changes(*self._known_of(source))
    if found:
      raise UserError(
        f'{source.name} is not what the run in {self.path} was trained on:'
        f' {"; ".join(found.values())}. Name its own data by'
        ' --config.data.source=...'
      )

  def _known_of(self, source) -> tuple[dict, dict]:
    """What data.json says of the data, and what `source` is."""
    before = self.load_data()
    if not before or not before.get('count'):
      return {}, {}  # a converted run: nobody has read its data yet
    known = ('count', 'held_out', 'shape', 'classes', 'alphabet')
    return tuple(
      {'data': {key: facts[key] for key in known if key in facts}}
      for facts in (before, facts_of(source))
    )

  @property
  def alphabet(self) -> str:
    """Of the text that the run is on; '' if it is not on text."""
    return (self.load_data() or {}).get('alphabet', '')

  def load_json(
    self, name: str, hint: str, good: Callable = bool
  ) -> dict | None:
    """The object in a JSON file, or None if there is no file.

    Args:
      name: of the file.
      hint: what happens if it is deleted, the end of a sentence.
      good: whether an object is one that the file may hold.

    Raises:
      UserError: if the file is damaged.
    """
    file = self.path / name
    try:
      value = json.loads(file.read_bytes().decode('utf-8'))
    except FileNotFoundError:
      return None
    except (ValueError, RecursionError):
      value = None
    if not (isinstance(value, dict) and good(value)):
      raise UserError(
        f'{file} is damaged: restore it from a copy, or delete it{hint}.'
      )
    return value

  def _write(self, name: str, text: str) -> None:
    if self._writes:
      with whole(self.path / name) as scratch:
        # Names of files need not be text: what is not is written as \\udcff.
        scratch.write_text(text, encoding='utf-8', errors='backslashreplace')

  def save_json(self, name: str, values: dict) -> None:
    """Writes a file of one JSON object, whole or not at all."""
    self._write(name, strict(values) + '\n')

  def append(self, name: str, values: dict) -> None:
    """Adds one JSON line to a file; several processes may."""
    if self._writes:
      append(self.path / name, strict(values))

  def flush(self) -> None:
    """Whatever was added to files until now is where others find it."""
    flush(self.path)

  def metrics(self, step: int, values: dict) -> None:
    """Adds a line to metrics.jsonl, and to TensorBoard if it is on."""
    self.append('metrics.jsonl', {'step': step, **values})
    if self._writer:
      self._writer.write_scalars(step, values)

  def lines(self, name: str = 'metrics.jsonl') -> list[dict]:
    """The lines of a .jsonl file; damaged ones are left out, and told once."""
    file = self.path / name
    self.flush()
    lines, bad = read_lines(file)
    if bad and name not in self._told:
      self._told.add(name)
      log.warning('%s: %d damaged line(s) are left out.', file, bad)
    return lines

  def save_lines(self, name: str, lines: list[dict]) -> None:
    """Writes a .jsonl file anew, whole or not at all."""
    self._write(name, ''.join(strict(line) + '\n' for line in lines))

  def rewind(self, step: int) -> None:
    """Drops metrics of later steps: they will be taken, and logged, again."""
    kept = [line for line in self.lines() if line['step'] <= step]
    self.save_lines('metrics.jsonl', kept)

  def open_tensorboard(self) -> None:
    """Writes TensorBoard files from now on, if the tf extra is installed."""
    if self._writes:
      self._writer = draw.tensorboard(self.path)

  def images(
    self, name: str, samples, columns: int, step: int | None = None
  ) -> None:
    """Writes samples to images/<name>.png, of text to images/<name>.txt.

    Args:
      name: file name without ending; `_<step>` is added if there is a step.
      samples: [N, H, W, C] in [-1, 1], or [N, 2], or [N, L, V] of text.
      columns: of the grid.
      step: of training.
    """
    if self._writes:
      suffix = '' if step is None else f'_{step:09d}'
      stem, alphabet = self.path / 'images' / f'{name}{suffix}', self.alphabet
      draw.save_samples(stem, samples, columns, alphabet)
      if self._writer and step is not None:
        draw.log_samples(self._writer, step, name, samples, columns, alphabet)

  def frame(self, name: str, picture, step: int) -> None:
    """Writes a drawing, uint8 [H, W, 3], to images/<name>_<step>.png."""
    if self._writes:
      draw.save_picture(
        self.path / 'images' / f'{name}_{step:09d}.png', picture
      )
      if self._writer:
        self._writer.write_images(step, {name: picture[None]})

  def animation(self, name: str, step: int) -> None:
    """Makes images/<name>.gif of the frames of all steps up to one."""
    if self._writes:
      folder = self.path / 'images'
      frames = sorted(folder.glob(f'{name}_{"[0-9]" * 9}.png'))
      until = folder / f'{name}_{step:09d}.png'
      frames = [frame for frame in frames if frame <= until]
      draw.animate(frames, folder / f'{name}.gif')

  def curves(self) -> None:
    """Draws metrics.jsonl as curves.png."""
    if self._writes:
      draw.save_curves(self.path / 'curves.png', self.lines())


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CONFIG_HINT = ' and go on with the config that --config names'
_DATA_HINT = ': training writes it anew'
_PAST = 'stretches.json'
_PAST_HINT = ', and then all steps count as the config says'
_BEST = 'best.json'
_BEST_HINT = ': training writes it anew'
