"""GLeaD on FFHQ, 256 x 256.

Bai et al. 2023, Table 1: StyleGAN2's released paper256 with mirroring, 25
million images, and a D that tells what rebuilds its pictures through G.

  python -m gan_jax.main --config=configs/glead_ffhq.py \
      --config.data.source=folder:PATH
  python -m gan_jax.main --config=configs/glead_ffhq.py:loss=pixels

Options:
  task     glead; real, fake: one half of it; ggdr; both: with GGDR; none: the
           baseline; see configs/_glead.py; default glead
  network  paper, official_lsun, official_ffhq; see there; default paper
  at       1, 8, 16, 32 or 64: where G is entered in place of the network's
           (Table 3); default 0, the network's
  loss     lpips_alex, as released; lpips_vgg, nearest to the paper; vgg16, its
           features without learned heads; pixels, which needs no weights;
           default lpips_alex
Data: a folder of the 70,000 pictures. Weights: --mode=weights says which files
and where they are published.
Expected numbers: not yet measured. The paper has an FID of 3.79 for the
baseline, of 3.24 with GLeaD and of 2.90 together with GGDR.
"""

from _glead import of_paper


def get_config(arg=''):
  return of_paper(arg, 'folder:ffhq', 25_000_000, mirror=True)
