"""What most observers have in common."""


class Occasional:
  """Is due every so many steps and at the last; keeps nothing between looks.

  Args:
    every: steps.
    total: steps of the whole run.
  """

  def __init__(self, every: int, total: int):
    self._every, self._total = every, total

  def due(self, step: int) -> bool:
    """See `Observer`."""
    return step > 0 and (step % self._every == 0 or step == self._total)

  def rewind(self, step: int) -> None:
    """See `Observer`: what is drawn again replaces what is there."""

  def close(self) -> None:
    """See `Observer`."""


def is_drawn(run, name: str, step: int) -> bool:
  """Whether images/ has a picture, or text, of this name and step."""
  return any((run.path / 'images').glob(f'{name}_{step:09d}.*'))


def is_logged(run, names, step: int) -> bool:
  """Whether metrics.jsonl has all these numbers at a step, in one line."""
  return any(
    line['step'] == step and all(name in line for name in names)
    for line in run.lines()
  )
