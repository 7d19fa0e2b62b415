"""OSGAN on CelebA, 64 x 64: Table 1, in one stage or two.

Shen et al. 2021, Table 1, column CelebA; the rows and the paper's FID are in
_osgan.py. 30 epochs.

  python -m gan_jax.main --config=configs/osgan_celeba.py:loss=lsgan
  python -m gan_jax.main --config=configs/osgan_celeba.py:loss=wgan,released

Options:
  loss       dcgan, dcgan_sym, cgan, wgan, lsgan, geogan, relgan, fishergan,
             bgan or sngan; default dcgan
  scheme     one_stage, or its counterpart two_stage, equal in all else
  average    of relgan: against the mean of the other samples (RaSGAN)
  gp         of wgan: a gradient penalty of 10 in place of clipping
  released   of dcgan, dcgan_sym and wgan: the released run's settings
Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the aligned pictures does as well, but for cgan, whose condition the paper does
not name (here it is the attribute Male): --config.data.source=folder:PATH.
Expected numbers: FID, of lsgan 19.31 in one stage and 23.00 in two; not yet
measured.
"""

from _osgan import table1

DATA = dict(source='tfds:celeb_a', resolution=64, label='attributes/Male')
RELEASED = {
  ('dcgan', 'one_stage'): ('group', 128, 2e-4, 1e-4, None),
  ('dcgan', 'two_stage'): ('group', 100, 2e-4, 4e-5, 0.5),
  ('dcgan_sym', 'one_stage'): ('batch', 100, 2e-4, 4e-5, 0.1),
  ('dcgan_sym', 'two_stage'): ('batch', 100, 2e-4, 2e-5, None),
  ('wgan', 'one_stage'): ('batch', 100, 1e-4, 1.35e-5, 0.1),
  ('wgan', 'two_stage'): ('batch', 100, 2e-4, 2e-4, 0.1),
}


def get_config(arg=''):
  return table1(arg, DATA, released=RELEASED)
