"""OSGAN on CIFAR-10, 32 x 32: Table 1's losses, in one stage or two.

Shen et al. 2021; the paper has no such column. The rows are in _osgan.py. 100
epochs.

  python -m gan_jax.main --config=configs/osgan_cifar.py:loss=lsgan
  python -m gan_jax.main --config=configs/osgan_cifar.py:scheme=two_stage

Options:
  loss       dcgan, dcgan_sym, cgan, wgan, lsgan, geogan, relgan, fishergan,
             bgan or sngan; default dcgan
  scheme     one_stage, or its counterpart two_stage, equal in all else
  average    of relgan: against the mean of the other samples (RaSGAN)
  gp         of wgan: a gradient penalty of 10 in place of clipping
Data: TFDS downloads and prepares it once (needs the tf extra); a file of
arrays does as well: --config.data.source=npz:cifar10.npz.
Expected numbers: not yet measured.
"""

from _osgan import table1


def get_config(arg=''):
  data = dict(source='tfds:cifar10', resolution=32)
  return table1(arg, data, epochs=100, pictures=50_000)
