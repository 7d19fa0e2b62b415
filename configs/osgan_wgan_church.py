"""OSGAN on LSUN churches, 64 x 64: WGAN, in one stage.

WGAN, weights of D clipped to 0.01: symmetric, gamma is -1 throughout.
Paper, Table 1, WGAN (sym): FID 35.58 in one stage, 36.29 in two. Here: not yet
measured.

  python -m gan_jax.main --config=configs/osgan_wgan_church.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else
  :gp                a gradient penalty of 10 in place of clipping

Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the pictures does as well: --config.data.source=folder:PATH.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('wgan', 'church', arg)
