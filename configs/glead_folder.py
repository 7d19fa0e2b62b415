"""GLeaD on a folder (or .zip) of your own pictures, 32 to 1024 px.

Bai et al. 2023: StyleGAN2 with a D that tells what rebuilds its pictures
through G.

  python -m gan_jax.main \
      --config=configs/glead_folder.py:resolution=64,at=16 \
      --config.data.source=folder:PATH --workdir=runs/mine

Options:
  resolution  32, 64, 128, 256, 512 or 1024; default 256
  preset      of StyleGAN2: auto, paper256, full; see configs/_stylegan2.py;
              default auto
  width       most channels of a layer; default 512, as released; on a CPU 64
  task        glead; real, fake: one half of it; ggdr; both: with GGDR; none:
              the baseline; see configs/_glead.py; default glead
  network     paper, official_lsun, official_ffhq; see there; default paper
  at          side at which G is entered, below resolution; default 0: 32 px, or
              of pictures of 32 px 16
  loss        between pictures: pixels, which needs no weights; lpips_alex, as
              released; lpips_vgg; vgg16; default pixels
Data: as in configs/stylegan2_folder.py, which is the baseline.
Expected numbers: docs/results.md has CIFAR-10 at 32 px, narrow, for minutes.
--mode=plan says what a step costs.
"""

from _glead import NETWORKS, TASKS, WITHOUT_WEIGHTS, build
from gan_jax.config import finish, options


def get_config(arg=''):
  args = options(
    arg,
    resolution=256,
    preset=('auto', 'paper256', 'full'),
    width=512,
    task=TASKS,
    network=NETWORKS,
    at=0,
    loss=WITHOUT_WEIGHTS,
  )
  small = args.resolution <= 32
  if small and not args.at:
    args.at = 16
  c = build(args, args.preset, args.resolution, args.width)
  if small and args.task == 'ggdr':
    c.tasks.align.resolution = args.resolution
  c.data.source = 'folder:pictures'
  c.augment.mirror = True
  c.train.images = 25_000_000
  return finish(c, args.test)
