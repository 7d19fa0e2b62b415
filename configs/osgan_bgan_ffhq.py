"""OSGAN on FFHQ, 64 x 64: BGAN, in one stage.

BGAN, boundary-seeking loss: asymmetric.
Paper, Table 1, BGAN (asym): FID 42.64 in one stage, 41.35 in two. Here: not yet
measured.

  python -m gan_jax.main --config=configs/osgan_bgan_ffhq.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else

Data: the thumbnails or pictures of FFHQ in a folder, here ffhq/; another
place: --config.data.source=folder:PATH.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('bgan', 'ffhq', arg)
