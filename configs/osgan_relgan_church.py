"""OSGAN on LSUN churches, 64 x 64: RelGAN, in one stage.

RelGAN, relativistic loss, paired: asymmetric.
Paper, Table 1, RelGAN (asym): FID 25.09 in one stage, 24.95 in two. Here: not
yet measured.

  python -m gan_jax.main --config=configs/osgan_relgan_church.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else
  :average           against the mean of the other samples (RaSGAN)

Data: TFDS downloads and prepares it once (needs the tf extra); a folder of
the pictures does as well: --config.data.source=folder:PATH.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('relgan', 'church', arg)
