"""Networks by the name a config gives them: `config.generator.name`.

| name | pictures | file |
|---|---|---|
| dcgan | 28, 32, 64 px | dcgan.py |
| mlp | any shape, 2-D points too | mlp.py |
| upsample | 28, 32, 64 px; a generator alone | upsample.py |
| resnet | any; a classifier | resnet.py |

A generator takes (z [N, Z], labels [N], train) to samples [N, *shape]; a
discriminator takes (samples, labels, train) to a `Judgement`, and says by
`per_sample` whether a logit depends on its own sample only. A classifier is a
discriminator with a logit a class, [N, classes]. All are used through `init`
and `apply`. The fields of a module other than `shape` and `classes` are the
keys of the config's section.
"""

from gan_jax.networks import dcgan, mlp, resnet, upsample
from gan_jax.networks.judgement import Judgement

__all__ = ['CLASSIFIERS', 'DISCRIMINATORS', 'GENERATORS', 'Judgement', 'build']

GENERATORS = {
  'dcgan': dcgan.Generator,
  'mlp': mlp.Generator,
  'upsample': upsample.Generator,
}
DISCRIMINATORS = {'dcgan': dcgan.Discriminator, 'mlp': mlp.Discriminator}
CLASSIFIERS = {'resnet': resnet.Classifier}


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
