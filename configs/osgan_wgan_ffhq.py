"""OSGAN on FFHQ, 64 x 64: WGAN, in one stage.

WGAN, weights of D clipped to 0.01: symmetric, gamma is -1 throughout.
Paper, Table 1, WGAN (sym): FID 39.77 in one stage, 35.66 in two. Here: not yet
measured.

  python -m gan_jax.main --config=configs/osgan_wgan_ffhq.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else
  :gp                a gradient penalty of 10 in place of clipping

Data: the thumbnails or pictures of FFHQ in a folder, here ffhq/; another
place: --config.data.source=folder:PATH.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('wgan', 'ffhq', arg)
