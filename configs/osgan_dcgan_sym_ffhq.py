"""OSGAN on FFHQ, 64 x 64: DCGAN, in one stage.

DCGAN, saturating loss: symmetric, gamma is -1 throughout.
Paper, Table 1, DCGAN (sym): FID 29.38 in one stage, 40.56 in two. Here: not yet
measured.

  python -m gan_jax.main --config=configs/osgan_dcgan_sym_ffhq.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else

Data: the thumbnails or pictures of FFHQ in a folder, here ffhq/; another
place: --config.data.source=folder:PATH.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('dcgan_sym', 'ffhq', arg)
