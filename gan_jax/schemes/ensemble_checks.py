"""What `config.ensemble` may say, and what does not go together."""

from gan_jax.errors import UserError

CHOICES = {
  'ensemble.reduce': ('mean', 'sum'),
  'ensemble.real': ('fresh', 'shared'),
  'ensemble.noise': ('fresh', 'shared'),
  'ensemble.messenger_opt': ('copied', 'fresh'),
  'ensemble.g_updates': ('once', 'each'),
}


def check(config) -> None:
  """Refuses the settings of an ensemble that do not go together.

  Args:
    config: the whole run's.

  Raises:
    UserError: one sentence on the first of them.
  """
  ensemble = config.ensemble
  if not ensemble.pairs:
    if config.mesh.pair > 1:
      raise UserError(
        f'config.mesh.pair = {config.mesh.pair} shares the pairs of an'
        ' ensemble among devices, and there is none: set config.mesh.pair = 0,'
        ' or config.ensemble.pairs.'
      )
    return
  if not ensemble.messengers and ensemble.messenger_opt != 'copied':
    raise UserError(
      "config.ensemble.messenger_opt = 'fresh' concerns messengers, and there"
      " are none: set it to 'copied', or config.ensemble.messengers = True."
    )
  if ensemble.weight_sharing and ensemble.pairs == 1:
    raise UserError(
      f'config.ensemble.weight_sharing = {ensemble.weight_sharing} needs two'
      ' local pairs or more: set it to 0.0, or config.ensemble.pairs = 2.'
    )
  if ensemble.g_updates == 'each' and config.mesh.pair > 1:
    raise UserError(
      "config.ensemble.g_updates = 'each' takes the local pairs in turn, which"
      ' devices cannot share: set config.mesh.pair = 0, or g_updates ='
      " 'once'."
    )
