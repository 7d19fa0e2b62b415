"""GLeaD on LSUN Church, 256 x 256.

Bai et al. 2023, Table 1: StyleGAN2's released paper256, not mirrored, 50
million images, and a D that tells what rebuilds its pictures through G.

  python -m gan_jax.main --config=configs/glead_church.py
  python -m gan_jax.main --config=configs/glead_church.py:task=both,loss=vgg16

Options:
  task     glead; real, fake: one half of it; ggdr; both: with GGDR; none: the
           baseline; see configs/_glead.py; default glead
  network  paper, official_lsun, official_ffhq; see there; default paper
  at       1, 8, 16, 32 or 64: where G is entered in place of the network's
           (Table 3); default 0, the network's
  loss     lpips_alex, as released; lpips_vgg, nearest to the paper; vgg16, its
           features without learned heads; pixels, which needs no weights;
           default lpips_alex
Data: TFDS downloads and prepares it once (needs the tf extra); a folder of the
pictures does as well: --config.data.source=folder:PATH. Weights: --mode=weights
says which files and where they are published.
Expected numbers: not yet measured. The paper has an FID of 4.04 for the
baseline, of 2.82 with GLeaD and of 2.15 together with GGDR.
Its Tables 2 and 3 are on these pictures: task=real 3.10, task=fake 3.32; at=1
4.68, at=8 3.27, at=16 3.01, at=32 2.82, at=64 2.88.
"""

from _glead import of_paper


def get_config(arg=''):
  return of_paper(arg, 'tfds:lsun/church_outdoor', 50_000_000)
