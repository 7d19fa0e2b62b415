"""What a run leaves on disk.

config.json     the config it ran with
data.txt        the report on its data; data.json: shape, classes, alphabet
log.txt         what the console showed
metrics.jsonl   one line a log point: step, images, losses, speed
curves.png      those lines as curves
images/         reals.png, fakes_<step>.png, of ensembles locals_<step>.png;
                of points landscape_<step>.png, and landscape.gif of them all;
                of text reals.txt and so on, with a line a sample
checkpoints/    <step>/ in Orbax's format
samples/        of --mode=sample
evaluate.jsonl  one line an evaluation; evaluate.png: the scores as curves
best/           the state with the best score, in Orbax's format, if the config
                has metrics.best; best.json: its step and score
"""

import importlib.util
import json
import logging
import os
import pathlib

import jax

from gan_jax import config as config_lib
from gan_jax.errors import UserError
from gan_jax.run import draw
from gan_jax.run.write import whole

log = logging.getLogger('gan_jax')


class RunDir:
  """The folder of one run. Only process 0 writes.

  Args:
    path: the folder; made if absent.

  Raises:
    UserError: if it cannot be made or written to.
  """

  def __init__(self, path):
    self.path = pathlib.Path(path)
    self._writer = None
    self._writes = jax.process_index() == 0
    try:
      (self.path / 'images').mkdir(parents=True, exist_ok=True)
      (self.path / 'log.txt').touch()
    except OSError as error:
      raise UserError(
        f'--workdir={self.path} cannot be written to'
        f' ({error.strerror.lower()}): choose another folder.'
      ) from None

  @property
  def checkpoints(self) -> pathlib.Path:
    """Where the checkpoints lie."""
    return self.path / 'checkpoints'

  def __enter__(self):
    """From now on the program's log goes to log.txt too."""
    if self._writes:
      self._handler = logging.FileHandler(self.path / 'log.txt')
      self._handler.setFormatter(logging.Formatter('%(asctime)s %(message)s'))
      log.addHandler(self._handler)
    if log.level == logging.NOTSET:
      log.setLevel(logging.INFO)  # called from a notebook or a test
    return self

  def __exit__(self, *error):
    if self._writer:
      self._writer.flush()
      self._writer.close()
    if self._writes:
      log.removeHandler(self._handler)
      self._handler.close()

  def load_config(self):
    """The config that the folder's run was last started with, or None."""
    file = self.path / 'config.json'
    if not file.exists():
      return None
    try:
      return config_lib.from_json(file.read_text())
    except ValueError:
      raise UserError(
        f'{file} is not readable as JSON: restore it, or delete it and name'
        ' the config with --config again.'
      ) from None

  def save_config(self, config) -> None:
    """Writes config.json, whole or not at all."""
    self._write('config.json', config_lib.to_json(config))

  def save_data(self, source) -> None:
    """Writes what the data are like: data.txt and data.json.

    Raises:
      UserError: if the run was trained on text in another alphabet: what it
        has learned to be an 'e' would now be another character.
    """
    before = self.alphabet
    trained = self.checkpoints.is_dir() and any(self.checkpoints.iterdir())
    if trained and before and before != source.alphabet:
      raise UserError(
        f'--workdir={self.path} holds a run on text of another alphabet'
        f' ({len(before)} characters, now {len(source.alphabet)}): give it its'
        ' old text back or choose another --workdir.'
      )
    self._write('data.txt', source.report + '\n')
    facts = {
      'source': source.name,
      'count': len(source),
      'shape': list(source.shape),
      'classes': list(source.classes),
    }
    if source.alphabet:
      facts['alphabet'] = source.alphabet
    self._write('data.json', json.dumps(facts) + '\n')

  def load_data(self) -> dict | None:
    """The content of data.json, or None."""
    file = self.path / 'data.json'
    return json.loads(file.read_text()) if file.exists() else None

  @property
  def alphabet(self) -> str:
    """Of the text that the run is on; '' if it is not on text."""
    return (self.load_data() or {}).get('alphabet', '')

  def _write(self, name: str, text: str) -> None:
    if self._writes:
      with whole(self.path / name) as scratch:
        scratch.write_text(text)

  def save_json(self, name: str, values: dict) -> None:
    """Writes a file of one JSON object, whole or not at all."""
    self._write(name, json.dumps(values) + '\n')

  def append(self, name: str, values: dict) -> None:
    """Adds one JSON line to a file."""
    if self._writes:
      with open(self.path / name, 'a') as file:
        file.write(json.dumps(values) + '\n')

  def metrics(self, step: int, values: dict) -> None:
    """Adds a line to metrics.jsonl, and to TensorBoard if it is on."""
    self.append('metrics.jsonl', {'step': step, **values})
    if self._writer:
      self._writer.write_scalars(step, values)

  def lines(self, name: str = 'metrics.jsonl') -> list[dict]:
    """The lines of a .jsonl file, a half-written last one left out."""
    file = self.path / name
    lines = []
    for line in file.read_text().splitlines() if file.exists() else []:
      try:
        lines.append(json.loads(line))
      except ValueError:
        break  # the process was killed while it wrote
    return lines

  def save_lines(self, name: str, lines: list[dict]) -> None:
    """Writes a .jsonl file anew, whole or not at all."""
    self._write(name, ''.join(json.dumps(line) + '\n' for line in lines))

  def rewind(self, step: int) -> None:
    """Drops metrics of later steps: they will be taken, and logged, again."""
    kept = [line for line in self.lines() if line['step'] <= step]
    self.save_lines('metrics.jsonl', kept)

  def open_tensorboard(self) -> None:
    """Writes TensorBoard files from now on, if the tf extra is installed."""
    found = all(
      importlib.util.find_spec(name) for name in ('tensorflow', 'tensorboard')
    )
    if not found or not self._writes:
      return
    # Not a word from TensorFlow: it only writes files here.
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
    from clu import metric_writers  # imports TensorFlow: seconds

    self._writer = metric_writers.SummaryWriter(str(self.path))

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
