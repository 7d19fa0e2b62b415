"""OSGAN on CIFAR-10, 32 x 32: RelGAN, in one stage.

RelGAN, relativistic loss, paired: asymmetric.
The paper has no such entry. FID: not yet measured.

  python -m gan_jax.main --config=configs/osgan_relgan_cifar.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else
  :average           against the mean of the other samples (RaSGAN)

Data: TFDS downloads and prepares it once (needs the tf extra); a file of
arrays does as well: --config.data.source=npz:cifar10.npz.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('relgan', 'cifar', arg)
