"""OSGAN on LSUN churches, 64 x 64: DCGAN, in one stage.

DCGAN, saturating loss: symmetric, gamma is -1 throughout.
Paper, Table 1, DCGAN (sym): FID 38.99 in one stage, 46.09 in two. Here: not yet
measured.

  python -m gan_jax.main --config=configs/osgan_dcgan_sym_church.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else

Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the pictures does as well: --config.data.source=folder:PATH.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('dcgan_sym', 'church', arg)
