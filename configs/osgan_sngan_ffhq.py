"""OSGAN on FFHQ, 64 x 64: SNGAN, in one stage.

SNGAN, spectral norm in D, non-saturating loss: asymmetric.
Paper, Table 1, SNGAN (asym): FID 51.03 in one stage, 52.46 in two. Here: not
yet measured.

  python -m gan_jax.main --config=configs/osgan_sngan_ffhq.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else

Data: the thumbnails or pictures of FFHQ in a folder, here ffhq/; another
place: --config.data.source=folder:PATH.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('sngan', 'ffhq', arg)
