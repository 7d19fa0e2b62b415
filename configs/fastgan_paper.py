"""FastGAN on the data sets of its paper, by name, 256 or 1024 px.

Liu et al. 2021, Tables 2, 3 and 4. You bring the pictures, as a folder or .zip;
for your own, whatever they are, there is configs/fastgan_folder.py.

  python -m gan_jax.main --config=configs/fastgan_paper.py:data=obama \
      --config.data.source=folder:PATH

Options:
  data      a name of the table below; default obama
  pictures  how many of them, where the table has several numbers: so many are
            drawn from the folder, always the same; default the first number
  row       of Table 2: full; baseline, without skip layers and decoders;
            skip, decode: with one of them; default full
  preset    official: as released, but for two things; paper: the paper's
            choices; both as in configs/fastgan_folder.py; default official
Data: pictures/NAME, or where data.source says. The paper says where they are
from, and in its first footnote where its authors keep them:

  data        what                                       px    pictures
  dog         Animal-Face Dog (Si & Zhu 2011)            256   389
  cat         Animal-Face Cat (Si & Zhu 2011)            256   160
  obama       100-Shot-Obama (Zhao et al. 2020)          256   100
  panda       100-Shot-Panda (Zhao et al. 2020)          256   100
  grumpy_cat  100-Shot-Grumpy-cat (Zhao et al. 2020)     256   100
  art         art paintings, WikiArt (wikiart.org)       1024  1000, 2000, 5000,
                                                               10000
  ffhq        Flickr-Face-HQ (Karras et al. 2019)        1024  1000, 2000, 5000,
                                                               10000, 70000
  nature      landscapes, Unsplash (unsplash.com)        1024  2000, 5000, 10000
  flower      Oxford-flowers (Nilsback & Zisserman 2006) 1024  1000
  pokemon     Pokemon (pokemon.com)                      1024  800
  anime_face  anime faces; no source is named            1024  120
  skull       skulls; no source is named                 1024  100
  shell       shells; no source is named                 1024  60

Minibatches of 8 and 50,000 steps, as released: 5 hours at 256 px and 8.5 at
1024 px by Table 1, where Tables 2 and 3 have 5 and 8. Table 4, of 2,000 and
more, has 24 hours: 140,000 steps; of 70,000 pictures with minibatches of 32, as
many images. Nothing is held out, for the paper holds nothing out:
--config.data.held_out=0.1 does, for Table 5. Checkpoints of each 10,000 steps
stay, the paper reports the best of them, and of five seeds:
--mode=evaluate --checkpoints=all --config.metrics.names=fid.
Expected numbers: not yet measured. The paper's Frechet distances, of 5,000
samples for up to 1,000 pictures, else of 50,000, with all and of the baseline:

  dog         50.66 (baseline 108.19, skip 94.21, decode 56.25)
  cat         35.11 (baseline 150.3, skip 72.97, decode 36.74)
  obama       41.05 (baseline 62.74, skip 52.50, decode 44.34)
  panda       10.03 (baseline 15.4, skip 14.39, decode 10.12)
  grumpy_cat  26.65 (baseline 42.13, skip 38.17, decode 29.38)
  art         45.08, 44.57, 43.27, 42.53 (62.27, 60.02, 51.23, 49.38)
  ffhq        24.45, 19.01, 17.93, 16.45, 12.38 (38.35, 36.45, 27.86, 25.12,
              17.62)
  nature      52.47, 45.07, 43.65 (71.47, 66.05, 62.28)
  flower      25.66 (42.25)
  pokemon     57.19 (67.86)
  anime_face  59.38 (101.23)
  skull       130.05 (186.45)
  shell       155.47 (202.32)
"""

from _fastgan import PRESETS, ROWS, build
from gan_jax.config import finish, options
from gan_jax.errors import UserError

# What a folder should hold, the side, the numbers of pictures.
SETS = {
  'obama': ('100-Shot-Obama (Zhao et al. 2020)', 256, (100,)),
  'panda': ('100-Shot-Panda (Zhao et al. 2020)', 256, (100,)),
  'grumpy_cat': ('100-Shot-Grumpy-cat (Zhao et al. 2020)', 256, (100,)),
  'dog': ('Animal-Face Dog (Si & Zhu 2011)', 256, (389,)),
  'cat': ('Animal-Face Cat (Si & Zhu 2011)', 256, (160,)),
  'art': (
    'art paintings from WikiArt (wikiart.org)',
    1024,
    (1000, 2000, 5000, 10_000),
  ),
  'ffhq': (
    'Flickr-Face-HQ (Karras et al. 2019)',
    1024,
    (1000, 2000, 5000, 10_000, 70_000),
  ),
  'nature': (
    'landscape photographs from Unsplash (unsplash.com)',
    1024,
    (2000, 5000, 10_000),
  ),
  'flower': ('Oxford-flowers (Nilsback & Zisserman 2006)', 1024, (1000,)),
  'pokemon': ('Pokemon (pokemon.com)', 1024, (800,)),
  'anime_face': ('anime faces', 1024, (120,)),
  'skull': ('pictures of skulls', 1024, (100,)),
  'shell': ('pictures of shells', 1024, (60,)),
}
FEW = 1000  # pictures; of more Table 4 has the numbers
LONG = 140_000  # 24 hours at 1.7 hours for 10,000 steps, Table 1


def get_config(arg=''):
  args = options(arg, data=tuple(SETS), pictures=0, row=ROWS, preset=PRESETS)
  what, side, counts = SETS[args.data]
  count = args.pictures or counts[0]
  if count not in counts:
    raise UserError(
      f"The config's option pictures={count} is not what the paper has of"
      f' data={args.data}: {", ".join(map(str, counts))}.'
    )
  c = build(args.row, args.preset)
  c.data.update(source=f'folder:pictures/{args.data}', resolution=side)
  c.data.about = f'{what}, {count:,} pictures'
  if len(counts) > 1 and not args.test:
    c.data.split = f'train[:{count}]'
  c.metrics.update(samples=5000, reals=count)
  c.train.milestone_every = 10_000
  if count > FEW:
    c.metrics.samples, c.train.steps = 50_000, LONG
  if count == 70_000:
    c.train.update(batch=32, steps=LONG * 8 // 32)
  return finish(c, args.test)
