"""Update schemes by the name a config gives them: `config.scheme.name`.

A scheme is a module with

- `check(settings, loss, discriminator)`, which raises a UserError for what it
  cannot train, before anything compiles;
- `draws(settings)`, the real minibatches a step uses up;
- `make_step(objective, optimizers, settings, parts=1)`, which gives
  `step(pair, batch, key) -> (pair, metrics)`; `parts`: see accumulation.py;
- `SETTINGS`, its own keys of `config.scheme`, if it has any.

A wrapper (ensembles, growth) takes such a step and gives one of the same shape.
"""

from gan_jax import settings as settings_lib
from gan_jax.schemes import alone, one_stage, simultaneous, two_stage

__all__ = ['SCHEMES', 'settings']

SCHEMES = {
  'two_stage': two_stage,
  'one_stage': one_stage,
  'simultaneous': simultaneous,
  'alone': alone,
}


def settings() -> settings_lib.Table:
  """Those of `config.scheme`."""
  own = {name: getattr(s, 'SETTINGS', {}) for name, s in SCHEMES.items()}
  return {
    'name': settings_lib.Setting(
      'two_stage', "how G's and D's updates follow", choices=SCHEMES
    ),
    **settings_lib.by_choice(own),
  }
