"""OSGAN on FFHQ, 64 x 64: RelGAN, in one stage.

RelGAN, relativistic loss, paired: asymmetric.
Paper, Table 1, RelGAN (asym): FID 35.72 in one stage, 35.81 in two. Here: not
yet measured.

  python -m gan_jax.main --config=configs/osgan_relgan_ffhq.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else
  :average           against the mean of the other samples (RaSGAN)

Data: the thumbnails or pictures of FFHQ in a folder, here ffhq/; another
place: --config.data.source=folder:PATH.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('relgan', 'ffhq', arg)
