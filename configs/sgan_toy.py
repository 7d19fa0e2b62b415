"""SGAN on points in the plane: N local pairs train one global pair.

Chavdarova and Fleuret 2018, section 4.1 and appendix A: 8 and 10 Gaussians on
a circle, 25 on a grid, the Swiss roll; networks of 4 layers of 512 units.
Figure 2 is loss=gan, Figures 3, 4, 8, 10 and 11 are loss=wgan_gp.

  python -m gan_jax.main --config=configs/sgan_toy.py
  python -m gan_jax.main --config=configs/sgan_toy.py:data=grid25,n=10,lr=1e-4

Pictures, as in those figures: images/landscape_<step>.png has the samples of
the local generators and the border that each local D draws beside the samples
of G_0 on the level sets of D_0; images/landscape.gif has all of them. The
paper's iterations 5, 10, 100 take --config.train.image_every=5.

Options:
  n          number of local pairs; 0: a single one, the baseline; default 5
  loss       gan, wgan_gp or dragan; default gan
  lr         learning rate; default 1e-3, with paper 1e-5
  share      part of the parameters common to local pairs; 0.5: the paper's N-SW
  simple     without messengers
  paper      Algorithm 1 to the letter, at the paper's rate: messengers forget
  data       ring8, ring10, grid25 or swissroll; default ring8
Data: drawn on the spot. The paper gives no batch size, no weight of a penalty
and no number of D's updates a step, I_D. Measured in docs/results.md: at the
weight 10 of the methods' own papers, which penalise pictures, points hardly
reach the modes, at 0.1 they do; and with `paper` G_0 covers the more modes the
more often messengers learn, so that WGAN-GP then has I_D = 10 in place of 5.
With I_D = 1 it ends in one mode, of WGAN-GP in a few.
Expected numbers: docs/results.md, by benchmarks/sgan_toy.py of networks of 64
units on 2 cores, which also draws Figures 2(d) and 10.
"""

from _sgan import OPTIONS, apply, points
from gan_jax.config import defaults, finish, options
from gan_jax.data.toy import NAMES


def get_config(arg=''):
  args = options(arg, **OPTIONS, data=NAMES)
  c = defaults()
  points(c, args.data)
  apply(c, args, 1e-3)
  if args.loss != 'gan':
    c.penalties[args.loss].weight = 0.1
  if args.loss == 'wgan_gp' and args.paper and not args.test:
    c.scheme.d_steps = 10
  return finish(c, args.test)
