"""The one exception for what a user can put right."""


class UserError(Exception):
  """A user's mistake: its message says what is wrong and what to do.

  `main` prints the message alone, without a traceback, and exits with 2.
  """
