"""OSGAN on LSUN churches, 64 x 64: BGAN, in one stage.

BGAN, boundary-seeking loss: asymmetric.
Paper, Table 1, BGAN (asym): FID 34.42 in one stage, 35.06 in two. Here: not yet
measured.

  python -m gan_jax.main --config=configs/osgan_bgan_church.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else

Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the pictures does as well: --config.data.source=folder:PATH.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('bgan', 'church', arg)
