"""GLeaD on LSUN Bedroom, 256 x 256.

Bai et al. 2023, Table 1: StyleGAN2's released paper256, not mirrored, 50
million images, and a D that tells what rebuilds its pictures through G.

  python -m gan_jax.main --config=configs/glead_bedroom.py
  python -m gan_jax.main --config=configs/glead_bedroom.py:task=both,loss=vgg16

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
Expected numbers: not yet measured. The paper has an FID of 4.30 for the
baseline, of 2.55 with GLeaD and of 2.72 together with GGDR.
"""

from _glead import of_paper


def get_config(arg=''):
  return of_paper(arg, 'tfds:lsun/bedroom', 50_000_000)
