"""GLeaD: what glead_<data>.py have in common (Bai et al. 2023).

StyleGAN2 as configs/_stylegan2.py builds it, and D's task on top: `tasks.lead`
with factors 10 and 3, the rest of the rules as they are.

Tasks:

  task   what D learns beside its game
  glead  to tell what rebuilds real pictures and fakes through the frozen G
  real   real pictures only (Table 2)
  fake   fakes only, with the factor 10 (Table 2)
  ggdr   of fakes G's maps at 64 px, the decoder's own output (GGDR), factor 10
  both   "Ours*": real pictures as in glead, of fakes G's maps with the factor
         10; the default of the released scripts
  none   nothing, the baseline

Networks, where the paper and its released code differ:

  network        G is entered at  the decoder goes to
  paper          32 px            32 px (Table 5)
  official_lsun  32 px            64 px, and back by means
  official_ffhq  64 px            64 px; the one that Table 7 counts

The released code compares by LPIPS on AlexNet, the paper says VGG.
"""

from _stylegan2 import build as baseline
from gan_jax.config import finish, options
from gan_jax.tasks.lead import PRESETS
from gan_jax.tasks.perceptual import NAMES, PIXELS

TASKS = ('glead', 'real', 'fake', 'ggdr', 'both', 'none')
LOSSES = NAMES  # lpips_alex first: as released
WITHOUT_WEIGHTS = (PIXELS, *(name for name in NAMES if name != PIXELS))
NETWORKS = tuple(PRESETS)


def build(args, preset: str, side: int, width: int = 512):
  """All but the data and how long.

  Args:
    args: the config's options `task`, `network`, `loss`, and `at`, the side at
      which G is entered in place of the network's (Table 3; 1: w alone), 0: its
      own.
    preset: of StyleGAN2, see configs/_stylegan2.py.
    side: of the pictures.
    width: most channels of a layer.

  Returns:
    A config that is not finished.
  """
  c = baseline(preset, side, width)
  if args.task in ('glead', 'real', 'fake', 'both'):
    c.tasks.lead.update(PRESETS[args.network], weight=1.0, loss=args.loss)
    if args.at:
      c.tasks.lead.update(resolution=args.at, decoder=0)
    c.tasks.lead.update(
      {
        'glead': {},
        'real': dict(fake=0.0),
        'fake': dict(real=0.0, fake=10.0),
        'both': dict(fake=10.0, fake_target='features'),
      }[args.task]
    )
  if args.task == 'ggdr':
    c.tasks.align.weight = 10.0
  return c


def of_paper(arg: str, source: str, images: int, mirror: bool = False):
  """A row of Table 1, at 256 px.

  Args:
    arg: the config's options.
    source: of the data.
    images: of training.
    mirror: whether pictures are mirrored.

  Returns:
    The finished config.
  """
  args = options(arg, task=TASKS, network=NETWORKS, at=0, loss=LOSSES)
  c = build(args, 'paper256', 256)
  c.data.source, c.augment.mirror = source, mirror
  c.train.images = images
  c.metrics.samples = 50_000
  return finish(c, args.test)
