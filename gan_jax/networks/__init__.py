"""Networks by the name a config gives them: `config.generator.name`.

| name | pictures | file |
|---|---|---|
| dcgan | 28, 32, 64 px | dcgan.py |
| mlp | any shape, 2-D points too | mlp.py |

A generator takes (z [N, Z], labels [N], train) to samples [N, *shape]; a
discriminator takes (samples, labels, train) to a `Judgement`, and says by
`per_sample` whether a logit depends on its own sample only. Both are used
through `init` and `apply`. The fields of a module other than `shape` and
`classes` are the keys of the config's section.
"""

from gan_jax.networks import dcgan, mlp
from gan_jax.networks.judgement import Judgement

__all__ = ['DISCRIMINATORS', 'GENERATORS', 'Judgement']

GENERATORS = {'dcgan': dcgan.Generator, 'mlp': mlp.Generator}
DISCRIMINATORS = {'dcgan': dcgan.Discriminator, 'mlp': mlp.Discriminator}
