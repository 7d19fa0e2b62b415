"""SGAN's experiments: what sgan_<data>.py have in common.

Chavdarova and Fleuret 2018. Their options, N-S-LOSS in the paper's notation:

  n       number of local pairs; 0: a single one, the baseline; default 5
  loss    gan, wgan_gp or dragan; default gan
  lr      learning rate; 0.0, the default: DCGAN's own 2e-4, on text WGAN-GP's
          1e-4, on points 1e-3; with `paper` its 1e-5, which is slow
  share   part of the parameters common to all local pairs; 0.5 is the paper's
          N-SW; default 0.0
  simple  without messengers
  paper   Algorithm 1 to the letter, at the paper's rate

By default messengers remember (`ensemble.memory`), which is this project's own:
G_0 of Algorithm 1 ends in one mode wherever they learn less than about ten
times a step (docs/results.md).
"""

from gan_jax.config import defaults, finish

# The base methods: adversarial loss, penalty and its weight, updates of D a
# step. The paper gives neither weights nor updates: these are the ones of the
# methods' own papers.
LOSSES = {
  'gan': ('non_saturating', None, 0.0, 1),
  'wgan_gp': ('wasserstein', 'wgan_gp', 10.0, 5),
  'dragan': ('non_saturating', 'dragan', 10.0, 1),
}
OPTIONS = dict(
  n=5, loss=tuple(LOSSES), lr=0.0, share=0.0, simple=False, paper=False
)
MEMORY = 0.999
PAPERS_LR = 1e-5
# Appendix B.1: DCGANs, and for points 4 layers of 512 units.
DCGAN = dict(name='dcgan', width=64, norm='batch', spectral=False, bias=False)
MLP = dict(name='mlp', width=512, depth=4, slope=0.01)


def points(c, data: str) -> None:
  """Gives a config the paper's toy data and networks (appendix A), in place.

  Args:
    c: a config.
    data: a name of gan_jax/data/toy.py.
  """
  c.data.source = f'toy:{data}'
  c.generator = MLP
  c.discriminator = MLP
  c.train.batch = 256
  c.train.steps = 20_000
  # The Swiss roll is no mixture, so it has no modes to count.
  counted = () if data == 'swissroll' else ('modes',)
  c.metrics.names = (*counted, 'density', 'scores')


def pictures(args, data, steps, batch=64, net=DCGAN):
  """The config of N-S-LOSS on pictures.

  Args:
    args: of the options OPTIONS.
    data: settings of the section data.
    steps: of the run.
    batch: real pictures in a minibatch.
    net: settings of both networks.

  Returns:
    A locked ConfigDict.
  """
  c = defaults()
  c.data.update(data)
  c.generator = net
  c.discriminator = net
  c.train.batch = batch
  c.train.steps = steps
  if args.test:  # quicker to compile, and nothing else depends on it
    c.data.resolution = min(c.data.resolution, 32)
  apply(c, args)
  return finish(c, args.test)


def apply(c, args, lr: float = 2e-4) -> None:
  """Makes a config N-S-LOSS.

  Appendix B.1: Adam (0.5, 0.999), of text RMSProp. No average of G: the paper
  compares the global generator with the local ones as they are.

  Args:
    c: a config with its networks and optimisers named; D loses its batch norm
      where each sample's gradient is penalised, as WGAN-GP's paper has it.
    args: of the options OPTIONS.
    lr: learning rate where none is given.
  """
  lr = args.lr or (PAPERS_LR if args.paper else lr)
  c.loss.name, penalty, weight, c.scheme.d_steps = LOSSES[args.loss]
  if args.test:  # each update is compiled by itself
    c.scheme.d_steps = min(c.scheme.d_steps, 2)
  if penalty:
    c.penalties[penalty].weight = weight
    if 'norm' in c.discriminator:
      c.discriminator.update(norm='none', bias=True)
  c.ensemble.update(
    pairs=args.n, weight_sharing=args.share, messengers=not args.simple
  )
  if args.n and not (args.simple or args.paper):
    c.ensemble.memory = MEMORY
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.update(lr=lr, b1=0.5, b2=0.999)
    if player.name == 'rmsprop':
      player.b2 = 0.9  # that of the lecture which the paper cites
  c.ema.name = 'none'
