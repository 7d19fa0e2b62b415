"""What the configs of SGAN's experiments have in common."""

from gan_jax.errors import UserError

# SGAN's base methods: adversarial loss, penalty and its weight, updates of D
# a step. The paper gives neither weights nor updates: these are the ones of
# the methods' own papers.
LOSSES = {
  'gan': ('non_saturating', None, 0.0, 1),
  'wgan_gp': ('wasserstein', 'wgan_gp', 10.0, 5),
  'dragan': ('non_saturating', 'dragan', 10.0, 1),
}
OPTIONS = dict(n=5, loss='gan', lr=1e-5, share=0.0, simple=False)


def apply(c, args) -> None:
  """Makes a config the paper's N-S-LOSS (Chavdarova and Fleuret 2018).

  Appendix B.1: Adam (0.5, 0.999), of text RMSProp; learning rate 1e-5. No
  average of G: the paper compares the global generator with the local ones as
  they are.

  Args:
    c: a config with its networks and optimisers named; D loses its batch norm
      where each sample's gradient is penalised, as WGAN-GP's paper has it.
    args: of the options OPTIONS: n, the number of local pairs (0: a
      single pair, the baseline); loss, a key of LOSSES; lr; share, that
      of the parameters which local pairs have in common (N-SW: 0.5); simple,
      without messengers.

  Raises:
    UserError: for another loss.
  """
  if args.loss not in LOSSES:
    raise UserError(
      f"The config's option loss={args.loss} is not one of {', '.join(LOSSES)}."
    )
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
  for player in (c.optimizer.generator, c.optimizer.discriminator):
    player.update(lr=args.lr, b1=0.5, b2=0.999)
    if player.name == 'rmsprop':
      player.b2 = 0.9  # that of the lecture which the paper cites
  c.ema.name = 'none'
