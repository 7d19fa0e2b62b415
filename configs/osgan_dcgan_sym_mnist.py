"""OSGAN on MNIST, enlarged to 64 x 64: DCGAN, in one stage.

DCGAN, saturating loss: symmetric, gamma is -1 throughout.
The paper has no such entry. FID: not yet measured.

  python -m gan_jax.main --config=configs/osgan_dcgan_sym_mnist.py

After the colon of --config=FILE:
  :scheme=two_stage  its two-stage counterpart, equal in all else
  :released          the released run's settings (spec/osgan.md 3.4)

Data: TFDS downloads and prepares it once (needs the tf extra); the files
of MNIST do as well: --config.data.source=idx:FOLDER.
"""

from gan_jax.presets.osgan import table1


def get_config(arg=''):
  return table1('dcgan_sym', 'mnist', arg)
