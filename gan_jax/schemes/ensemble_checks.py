"""What `config.ensemble` may say, and what does not go together."""

from gan_jax.errors import UserError
from gan_jax.settings import Setting, only_when

SETTINGS = only_when(
  {
    'pairs': Setting(
      0,
      'N, local pairs that train the global one; 0: one pair alone',
      low=0,
      high=1000,
    ),
    'messengers': Setting(
      True,
      'G_0 meets clones of the local Ds that have learned from it; false: the'
      ' local Ds (simplified SGAN)',
    ),
    'reduce': Setting(
      'mean',
      "of the N gradients that meet in G_0 and in D_0; sum: the paper's"
      ' Algorithm 1, the same under Adam but for its eps',
      choices=('mean', 'sum'),
    ),
    'real': Setting(
      'fresh',
      'minibatches for each pair and phase, N (2 I_D + 1) a step, or shared'
      ' ones, I_D a step',
      choices=('fresh', 'shared'),
    ),
    'noise': Setting(
      'fresh',
      'latent vectors for each pair and phase, or shared ones',
      choices=('fresh', 'shared'),
    ),
    'messenger_opt': Setting(
      'copied',
      "clones have a copy of the local D's optimiser state, or none",
      choices=('copied', 'fresh'),
      when={'messengers': True},
    ),
    'memory': Setting(
      0.0,
      'share of itself that a messenger begins a step as, the rest is its local'
      " D; this project's own; 0.0: a clone, the paper's Algorithm 1",
      low=0.0,
      high=1.0,
      when={'messengers': True},
    ),
    'at_once': Setting(
      0,
      'pairs that a device works on at a time: fewer take less memory; 0: one'
      ' on a CPU, elsewhere all; with weight_sharing local updates take all',
      low=0,
      high=1000,
    ),
    'g_updates': Setting(
      'once',
      'G_0 moves once a step, or after each local pair, against its messenger',
      choices=('once', 'each'),
    ),
    'weight_sharing': Setting(
      0.0,
      "0.5 is the paper's N-SW: the layers nearest the picture, with about"
      ' that share of the parameters, are common to all local pairs',
      low=0.0,
      high=1.0,
    ),
  },
  pairs=True,
)


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
  if ensemble.memory and not ensemble.messengers:
    raise UserError(
      f'config.ensemble.memory = {ensemble.memory} concerns messengers, and'
      ' there are none: set it to 0.0, or config.ensemble.messengers = True.'
    )
  if ensemble.memory and ensemble.messenger_opt != 'copied':
    raise UserError(
      "config.ensemble.messenger_opt = 'fresh' begins anew in every step, and"
      f' with config.ensemble.memory = {ensemble.memory} a messenger has an'
      " optimiser of its own: set messenger_opt = 'copied', or memory = 0.0."
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
