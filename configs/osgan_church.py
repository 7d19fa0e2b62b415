"""OSGAN on LSUN churches, 64 x 64: Table 1, in one stage or two.

Shen et al. 2021, Table 1, column LSUN churches; the rows and the paper's FID
are in _osgan.py. As many images as 30 epochs of CelebA.

  python -m gan_jax.main --config=configs/osgan_church.py:loss=lsgan
  python -m gan_jax.main --config=configs/osgan_church.py:scheme=two_stage

Options:
  loss       dcgan, dcgan_sym, wgan, lsgan, geogan, relgan, fishergan, bgan or
             sngan; default dcgan
  scheme     one_stage, or its counterpart two_stage, equal in all else
  average    of relgan: against the mean of the other samples (RaSGAN)
  gp         of wgan: a gradient penalty of 10 in place of clipping
Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the pictures does as well: --config.data.source=folder:PATH.
Expected numbers: FID, of lsgan 22.39 in one stage and 22.63 in two; not yet
measured.
"""

from _osgan import UNLABELLED, table1


def get_config(arg=''):
  data = dict(source='tfds:lsun/church_outdoor', resolution=64)
  return table1(arg, data, UNLABELLED)
