"""OSGAN on FFHQ, 64 x 64: LSGAN, in one stage.

LSGAN, labels 0, 1, 1: asymmetric.
Paper, Table 1, LSGAN (asym): FID 29.11 in one stage, 30.29 in two. Here: not
yet measured.

  python -m gan_jax.main --config=configs/osgan_lsgan_ffhq.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else

Data: the thumbnails or pictures of FFHQ in a folder, here ffhq/; another
place: --config.data.source=folder:PATH.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('lsgan', 'ffhq', arg)
