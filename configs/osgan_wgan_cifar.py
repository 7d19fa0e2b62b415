"""OSGAN on CIFAR-10, 32 x 32: WGAN, in one stage.

WGAN, weights of D clipped to 0.01: symmetric, gamma is -1 throughout.
The paper has no such entry. FID: not yet measured.

  python -m gan_jax.main --config=configs/osgan_wgan_cifar.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else
  :gp                a gradient penalty of 10 in place of clipping

Data: TFDS downloads and prepares it once (needs the tf extra); a file of
arrays does as well: --config.data.source=npz:cifar10.npz.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('wgan', 'cifar', arg)
