"""Networks by the name a config gives them: `config.generator.name`.

| name | samples | file |
|---|---|---|
| dcgan | pictures of 28, 32, 64 px | dcgan.py |
| progan | pictures of 4, 8, ..., 1024 px, growing | progan.py |
| stylegan2 | pictures of 32, 64, ..., 1024 px | stylegan2.py |
| fastgan | pictures of 64, 128, ..., 1024 px, from few of them | fastgan.py |
| mnist1k | pictures of 4, 8, 16, 32 px; MNIST-1K's small pair | mnist1k.py |
| mlp | pictures of any shape, 2-D points | mlp.py |
| charcnn | lines of text | charcnn.py |
| upsample | pictures of 28, 32, 64 px; a generator alone | upsample.py |
| resnet | pictures of any shape; a classifier | resnet.py |

A generator takes (z [N, Z], labels [N], train) to samples [N, *shape], or to
`Scales` of them; a discriminator takes (samples, labels, train) to a
`Judgement`, and says by `per_sample` whether a logit depends on its own sample
only. A classifier is a discriminator with a logit a class, [N, classes]. All
are used through `init` and `apply`. A network's `kinds` are the samples it is
for, 'pictures', 'points' or 'text'; without it, pictures. The fields of a
module other than `shape`, `classes` and `resolution` are the keys of the
config's section; see `settings.field`. One that grows: see made.py. The names
in `averages` of a generator are the collections of statistics that an average
of it takes over as they are.

A discriminator may offer

- `tells_classes`, true if with classes it gives class logits;
- `check_batch(batch)`, which raises a UserError for a training batch that it
  cannot pass;
- `advance(stats, real, fake)`, its statistics after an update on these scores.
"""

import collections

from gan_jax import settings as settings_lib
from gan_jax.networks import (
  charcnn,
  dcgan,
  fastgan,
  mlp,
  mnist1k,
  progan,
  resnet,
  stylegan2,
  upsample,
)
from gan_jax.networks.judgement import Judgement
from gan_jax.networks.made import Made, Scales, Start

__all__ = [
  'CLASSIFIERS',
  'DISCRIMINATORS',
  'GENERATORS',
  'ROLES',
  'Judgement',
  'Made',
  'Scales',
  'Start',
  'build',
  'settings',
]

GENERATORS = {
  'dcgan': dcgan.Generator,
  'progan': progan.Generator,
  'fastgan': fastgan.Generator,
  'stylegan2': stylegan2.Generator,
  'mnist1k': mnist1k.Generator,
  'mlp': mlp.Generator,
  'charcnn': charcnn.Generator,
  'upsample': upsample.Generator,
}
DISCRIMINATORS = {
  'dcgan': dcgan.Discriminator,
  'progan': progan.Discriminator,
  'fastgan': fastgan.Discriminator,
  'stylegan2': stylegan2.Discriminator,
  'mnist1k': mnist1k.Discriminator,
  'mlp': mlp.Discriminator,
  'charcnn': charcnn.Discriminator,
}
CLASSIFIERS = {'resnet': resnet.Classifier}

# What a section of a config may name; which game takes which: validate.py.
ROLES = {
  'generator': GENERATORS,
  'discriminator': collections.ChainMap(CLASSIFIERS, DISCRIMINATORS),
  'teacher': CLASSIFIERS,
}


def settings(role: str, name: str | None = None) -> settings_lib.Table:
  """Those of the section of a network.

  Args:
    role: a key of `ROLES`.
    name: of the network, whose fields are added; None, or one that does not
      exist, for the name alone.
  """
  registry = ROLES[role]
  first = 'dcgan' if 'dcgan' in registry else next(iter(registry))
  table = {
    'name': settings_lib.Setting(
      first,
      f'the network; its own settings: --help={role}:{first}',
      choices=registry,
    )
  }
  if name in registry:
    own = settings_lib.of(registry[name])
    # `resolution` is the growth's: see `made.has_levels`.
    given = ('shape', 'classes', 'resolution')
    table |= {k: s for k, s in own.items() if k not in given}
  return table


def build(registry, section, shape, classes: int):
  """The module that a section of a config names.

  Args:
    registry: one of those above.
    section: with the network's `name` and its fields.
    shape: of one sample.
    classes: number of classes given to it, or for a classifier told apart.
  """
  fields = dict(section)
  module = registry[fields.pop('name')]
  return module(shape=tuple(shape), classes=classes, **fields)
