"""The tables of convolutions that a run began with, and goes on with.

Forms of a convolution differ in the last digits: a run that took up another
table, or lost one, would no longer be the run that was interrupted.
"""

from gan_jax.nn import conv_tables
from gan_jax.nn.conv_tables import Table
from gan_jax.run.folder import RunDir

NAME = 'convolutions.json'
_HINT = ', and then convolutions take the forms of no table'


def tables_of(run: RunDir) -> dict[str, Table]:
  """The tables of a run by platform: its own, or this machine's if it is new.

  Raises:
    UserError: if the run's file is damaged.
  """
  stored = run.load_json(NAME, _HINT, _are_tables)
  if stored is not None:
    return _tables(stored)
  # Older versions of the program had no tables.
  return {} if run.load_config() else conv_tables.at_hand()


def keep_tables(run: RunDir, tables: dict[str, Table]) -> None:
  """Writes down the tables of a run."""
  values = {name: conv_tables.to_json(x) for name, x in tables.items()}
  run.save_json(NAME, values)


def _tables(values: dict) -> dict[str, Table]:
  return {name: conv_tables.from_json(x) for name, x in values.items()}


def _are_tables(values: dict) -> bool:
  try:
    _tables(values)
  except ValueError:
    return False
  return True
