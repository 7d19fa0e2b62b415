"""OSGAN on FFHQ, 64 x 64: Table 1, in one stage or two.

Shen et al. 2021, Table 1, column FFHQ; the rows and the paper's FID are in
_osgan.py. As many images as 30 epochs of CelebA.

  python -m gan_jax.main --config=configs/osgan_ffhq.py:loss=lsgan
  python -m gan_jax.main --config=configs/osgan_ffhq.py:scheme=two_stage

Options:
  loss       dcgan, dcgan_sym, wgan, lsgan, geogan, relgan, fishergan, bgan or
             sngan; default dcgan
  scheme     one_stage, or its counterpart two_stage, equal in all else
  average    of relgan: against the mean of the other samples (RaSGAN)
  gp         of wgan: a gradient penalty of 10 in place of clipping
Data: the thumbnails or pictures of FFHQ in a folder, here ffhq/; another
place: --config.data.source=folder:PATH.
Expected numbers: FID, of lsgan 29.11 in one stage and 30.29 in two; not yet
measured.
"""

from _osgan import UNLABELLED, table1


def get_config(arg=''):
  return table1(arg, dict(source='folder:ffhq', resolution=64), UNLABELLED)
