"""FastGAN on a folder (or .zip) of your own pictures, 60 to 5,000 of them.

Liu et al. 2021: a light generator with skip-layer excitation, for pictures of
64 to 1024 px; a discriminator that learns to draw what it sees; all that it
sees is changed at random (DiffAugment). 50,000 steps with the hinge loss.

  python -m gan_jax.main --config=configs/fastgan_folder.py \
      --config.data.source=folder:PATH --workdir=runs/mine

Options:
  row         of Table 2: full; baseline, without skip layers and decoders;
              skip, decode: with one of them; default full
  preset      official: as released, but that all pictures end in tanh
              (--config.generator.final_tanh=official: as released, those of
              1024 px only) and that decoders learn by L1, which needs no
              weights (--config.tasks.autoencode.loss=lpips and
              --config.tasks.autoencode.reduction=sum: as released); paper: one
              layer a level, no noise, no companions, the hinge's margin 1,
              decoded parts of an eighth; default official
  resolution  64, 128, 256, 512 or 1024; by default what suits the pictures, up
              to 512, and on a CPU to 128
  width       of the networks; default 64, as released, on a CPU 16
Data: pictures of any size and kind are resized and cropped; the report at the
start says what was found and what was skipped. Minibatch and steps suit them as
well, 8 and 50,000 for a hundred and more, on a CPU 20,000: the log says what
was chosen, --mode=plan before the run. The average of G soon forgets its
beginning (ema.ramp_up); after 14,000 steps it is the released one. A tenth of
the pictures is held out, to see whether the others are learned by heart. Each
1,000 steps 500 samples are measured (kid_random, which needs no weights), and
the best state is kept: --step=best.
Expected numbers: of 297 shoes at 128 px on a CPU, and of the rows of Table 2
after 1,000 steps on a GPU, docs/results.md has some. The paper has, with all of
it, Frechet distances at 256 px of 41.05 (Obama, 100 pictures), 10.03 (Panda),
26.65 (Grumpy-cat), of 50.66 (dogs, 389) and 35.11 (cats, 160).
"""

from _fastgan import PRESETS, ROWS, build
from gan_jax.config import finish, options


def get_config(arg=''):
  args = options(arg, row=ROWS, preset=PRESETS, resolution=0, width=0)
  c = build(args.row, args.preset, args.width or 64)
  c.data.update(source='folder:pictures', held_out=0.1)
  c.data.resolution = args.resolution or 256
  # 0.999 a step, but that early grids are not of what was drawn at random.
  c.ema.update(name='half_life', half_life=5542.0, ramp_up=0.05)
  # Unbiased with few pictures, where Frechet distances are not.
  c.metrics.update(
    names=('kid_random',), samples=500, every=1000, best='kid_random'
  )
  chosen = {'resolution': args.resolution, 'width': args.width}
  open_to = [name for name, value in chosen.items() if not value]
  c.train.choose = (*open_to, 'batch', 'steps')
  return finish(c, args.test)
