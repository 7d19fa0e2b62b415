"""OSGAN on MNIST, enlarged to 64 x 64: the released runs.

Shen et al. 2021; not in the paper, but the released code trains on it, for 20
epochs. The rows are in _osgan.py.

  python -m gan_jax.main --config=configs/osgan_mnist.py:loss=wgan
  python -m gan_jax.main --config=configs/osgan_mnist.py:released

Options:
  loss       dcgan, dcgan_sym or wgan; default dcgan
  scheme     one_stage, or its counterpart two_stage, equal in all else
  gp         of wgan: a gradient penalty of 10 in place of clipping
  released   the released run's settings; wgan's is in one stage
Data: TFDS downloads and prepares it once (needs the tf extra); the files
of MNIST do as well: --config.data.source=idx:FOLDER.
Expected numbers: not yet measured.
"""

from _osgan import table1

DATA = dict(source='tfds:mnist', resolution=64, channels=1)
RELEASED = {
  ('dcgan', 'one_stage'): ('group', 100, 2e-4, 5e-5, None),
  ('dcgan', 'two_stage'): ('batch', 100, 2e-4, 2e-4, None),
  ('dcgan_sym', 'one_stage'): ('batch', 100, 2e-4, 1.35e-5, None),
  ('dcgan_sym', 'two_stage'): ('batch', 100, 2e-4, 2e-4, None),
  ('wgan', 'one_stage'): ('batch', 100, 2e-4, 1.35e-5, None),
}


def get_config(arg=''):
  rows = ('dcgan', 'dcgan_sym', 'wgan')
  return table1(arg, DATA, rows, 20, 60_000, RELEASED)
