"""OSGAN on CelebA, 64 x 64: Conditional GAN, in one stage.

Conditional GAN, saturating loss: symmetric, gamma is -1 throughout.
The paper does not name the condition; here it is the attribute Male.
Paper, Table 1, CGAN (sym): FID 30.97 in one stage, 39.85 in two. Here: not yet
measured.

  python -m gan_jax.main --config=configs/osgan_cgan_celeba.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else

Data: TFDS downloads and prepares it once (needs the tf extra).
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('cgan', 'celeba', arg)
