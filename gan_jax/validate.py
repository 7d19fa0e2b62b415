"""Every mistake in a config that can be found before anything compiles."""

from gan_jax import config as config_lib
from gan_jax import distill, few_shot, losses, objective, settings
from gan_jax.data import diff_augment
from gan_jax.data.source import KINDS
from gan_jax.errors import UserError
from gan_jax.metrics import registry as metrics
from gan_jax.networks import CLASSIFIERS, DISCRIMINATORS, GENERATORS
from gan_jax.networks.made import has_levels
from gan_jax.schemes import SCHEMES, ensemble_checks, growth
from gan_jax.settings import Setting


def _get(config, path: str):
  """The value at a dotted path, or None where a network has no such key."""
  for key in path.split('.'):
    if key not in config:
      return None
    config = config[key]
  return config


def _choose(path: str, value, allowed):
  Setting('', '', choices=allowed).check(path, value)


def _loss(section):
  """The loss that a run's `config.loss` names, of either game."""
  room = distill if section.name in distill.LOSSES else losses
  return room.build_loss(section)


def _networks(config) -> dict:
  """The sections of the networks in use, each with its registry."""
  if config.loss.name not in distill.LOSSES:
    return {'generator': GENERATORS, 'discriminator': DISCRIMINATORS}
  loss = distill.build_loss(config.loss)
  used = {'discriminator': CLASSIFIERS}
  if loss.data_free:
    used['generator'] = GENERATORS
  if loss.has_teacher:
    used['teacher'] = CLASSIFIERS
  return used


def validate(config) -> None:
  """Checks all that can be checked without looking at the data.

  Raises:
    UserError: one sentence on the first setting that cannot work.
  """
  names = config.metrics.names
  if not isinstance(names, str) and all(isinstance(n, str) for n in names):
    metrics.check_names(names)  # it knows the names of numbers as well
  settings.check(config_lib.table(config), config)
  few_shot.check(config)
  _validate_metrics(config)
  if config.loss.name in distill.LOSSES:
    _validate_classifier(config)
  elif config.augment.ada:
    _validate_ada(config)
  for role, registry in _networks(config).items():
    _choose(f'{role}.name', config[role].get('name', ''), registry)
  fields = dict(config.discriminator)
  discriminator = _networks(config)['discriminator'][fields.pop('name')]
  SCHEMES[config.scheme.name].check(
    config.scheme,
    _loss(config.loss),
    discriminator(shape=None, **fields),  # asked for `per_sample` only
    objective.build_terms(config),
  )
  if (
    _get(config, 'discriminator.adaptive_noise')
    and config.loss.name != 'inverted_least_squares'
  ):
    raise UserError(
      'config.discriminator.adaptive_noise follows scores of fakes whose target'
      " is 1: set config.loss.name = 'inverted_least_squares', or"
      ' config.discriminator.adaptive_noise = 0.0.'
    )
  ensemble_checks.check(config)
  if config.train.accumulate > 1:
    _validate_accumulation(config)
  if config.growth.start:
    _validate_growth(config)
  if config.penalties.clip.limit and config.penalties.wgan_gp.weight:
    raise UserError(
      'config.penalties.clip and config.penalties.wgan_gp are two ways to'
      ' one end (a Lipschitz D): set clip.limit or wgan_gp.weight to 0.0.'
    )


def _validate_growth(config) -> None:
  """Checks what a run that grows needs, and what does not grow."""
  growth.tables(config.growth)
  if config.loss.name in distill.LOSSES:
    raise UserError(
      f'config.loss.name = {config.loss.name!r} trains a classifier, which does'
      ' not grow: set config.growth.start = 0.'
    )
  for role, registry in _networks(config).items():
    network = registry[config[role].name]
    if not has_levels(network):
      grown = [name for name, other in registry.items() if has_levels(other)]
      raise UserError(
        f'config.growth.start = {config.growth.start} needs networks with'
        f' levels, and config.{role}.name = {config[role].name!r} has none: set'
        f' it to {" or ".join(map(repr, grown))}, or config.growth.start = 0.'
      )
  if config.augment.crop:
    raise UserError(
      f'config.augment.crop = {config.augment.crop} shifts pictures of full'
      ' size, and a run that grows has smaller ones too: set it to 0, or'
      ' config.growth.start = 0.'
    )
  if config.ensemble.pairs and config.ensemble.weight_sharing:
    raise UserError(
      'config.ensemble.weight_sharing shares the layers nearest the picture,'
      ' and those of a run that grows are others at each level: set it to 0.0,'
      ' or config.growth.start = 0.'
    )


def _validate_accumulation(config) -> None:
  """Checks what cannot be worked through in parts."""
  parts = f'config.train.accumulate = {config.train.accumulate}'
  if config.scheme.name == 'two_stage' and config.scheme.fakes == 'shared':
    raise UserError(
      "config.scheme.fakes = 'shared' keeps the fakes of a whole minibatch, and"
      f' {parts} has a part of it in memory at a time: set'
      " config.scheme.fakes = 'fresh', or config.train.accumulate = 1."
    )
  section = config.tasks.autoencode
  if section.weight and section.reduction == 'sum':
    raise UserError(
      "config.tasks.autoencode.reduction = 'sum' counts by the size of a"
      f' minibatch, and {parts} cuts it: set it to'
      " 'mean' with a weight that much larger, or config.train.accumulate = 1."
    )


def _validate_metrics(config) -> None:
  """Checks what is measured, and when."""
  section = config.metrics
  if section.every and config.loss.name in distill.LOSSES:
    raise UserError(
      'config.metrics.every: the accuracy of a classifier or student is'
      ' measured whenever the images are made: set config.metrics.every = 0.'
    )
  if not section.best:
    return
  better = metrics.gives(section.names)
  if not better.get(section.best):
    raise UserError(
      f'config.metrics.best = {section.best!r} must be a number that'
      ' config.metrics.names gives and that has a better side:'
      f' {", ".join(k for k, sign in better.items() if sign) or "none"}.'
    )
  if not section.every:
    raise UserError(
      f'config.metrics.best = {section.best!r} needs evaluations while'
      ' training: set config.metrics.every to a number of steps.'
    )


def _validate_classifier(config) -> None:
  """Checks what concerns the losses of classifiers only."""
  loss, name = distill.build_loss(config.loss), config.loss.name
  schemes = ('two_stage', 'one_stage') if loss.data_free else ('alone',)
  if config.scheme.name not in schemes:
    raise UserError(
      f'config.loss.name = {name!r} has {"a" if loss.data_free else "no"}'
      ' generator to train: set config.scheme.name ='
      f' {" or ".join(map(repr, schemes))}.'
    )
  if config.scheme.name == 'one_stage' and not loss.symmetric:
    raise UserError(
      'config.loss.attention is a term of the student alone, and one_stage'
      ' takes the gradients of student and generator from one loss: set'
      " config.loss.attention = 0.0, or config.scheme.name = 'two_stage'."
    )
  if loss.has_teacher and not _get(config, 'teacher.workdir'):
    raise UserError(
      f'config.loss.name = {name!r} needs a trained teacher: set'
      ' config.teacher to its network and the folder of its run, as'
      ' configs/distill_cifar.py does.'
    )
  for key in _before_d(config):
    raise UserError(
      f"config.augment.{key} stands in front of a GAN's discriminator, and"
      f' config.loss.name = {name!r} trains a classifier: set'
      f' config.augment.{key} = ().'
    )
  if not config.data.test_split:
    raise UserError(
      'A classifier is measured on a test set: set config.data.test_split to'
      " one that the source has, such as 'test', or hold a tenth out by"
      " config.data.split='train[:90%]' and"
      " config.data.test_split='train[90%:]'."
    )
  if config.data.held_out:
    raise UserError(
      f'config.data.held_out = {config.data.held_out} is for watching GANs, and'
      f' config.loss.name = {name!r} trains a classifier, which is measured on'
      ' config.data.test_split: set config.data.held_out = 0.0.'
    )
  used = [
    f'{room}.{key}.weight'
    for room in ('penalties', 'tasks')
    for key, section in config[room].items()
    if section.get('weight')
  ]
  if used or config.ensemble.pairs:
    raise UserError(
      f'config.loss.name = {name!r} trains a classifier, which takes neither'
      ' penalties, nor tasks, nor an ensemble: set'
      f' config.{used[0] if used else "ensemble.pairs"} to 0.'
    )


def kinds(network) -> tuple[str, ...]:
  """What samples a network is for; see data/source.py:KINDS."""
  return getattr(network, 'kinds', ('pictures',))


def validate_shape(config, shape) -> None:
  """Checks that networks and metrics can work on samples of this shape."""
  what, kind = 'x'.join(map(str, shape)), KINDS[len(shape)]
  for role, registry in _networks(config).items():
    name = config[role].name
    if kind not in kinds(registry[name]):
      others = [n for n, network in registry.items() if kind in kinds(network)]
      raise UserError(
        f"config.{role}.name = '{name}' works on"
        f' {" and ".join(kinds(registry[name]))}, not on {kind} (samples of'
        f' shape {what}): choose another config.data.source'
        + (f', or the network {" or ".join(others)}.' if others else '.')
      )
    resolutions = getattr(registry[name], 'resolutions', None)
    if resolutions is None:
      continue
    if shape[0] != shape[1] or shape[0] not in resolutions:
      raise UserError(
        f"config.{role}.name = '{name}' works on pictures of"
        f' {", ".join(map(str, resolutions))} pixels, not on samples of shape'
        f' {what}: set config.data.resolution, or take another network.'
      )
  for key in _before_d(config):
    _validate_changes(config, key, shape)
  if config.loss.name not in distill.LOSSES:
    metrics.check_data(config.metrics.names, shape, config.data.source)


def _before_d(config) -> list[str]:
  """The settings of `augment` that change what a discriminator sees."""
  return [key for key in ('diff', 'ada') if config.augment[key]]


def _validate_ada(config) -> None:
  """Checks that ADA stands alone, and can tell whether D overfits."""
  if config.augment.diff:
    raise UserError(
      'config.augment.diff and config.augment.ada both change what D sees: set'
      ' one of them to ().'
    )
  if not config.augment.ada_images or _loss(config.loss).signed:
    return
  able = [name for name, loss in losses.LOSSES.items() if loss.signed]
  raise UserError(
    'config.augment.ada goes by the signs of scores, which with'
    f' config.loss.name = {config.loss.name!r} do not say what D takes for'
    ' real: set'
    f' config.loss.name to {" or ".join(map(repr, able))}, or'
    ' config.augment.ada_images = 0.0 for a probability that stays, of'
    ' config.augment.ada_p.'
  )


def _validate_changes(config, key: str, shape) -> None:
  """Checks that an augmentation can change samples of this shape."""
  kind, channels = KINDS[len(shape)], shape[-1]
  path = f'config.augment.{key}'
  if kind != 'pictures':
    raise UserError(
      f'{path} changes pictures, and config.data.source ='
      f' {config.data.source!r} gives {kind}: set {path} = ().'
    )
  if 'color' in config.augment[key] and channels not in diff_augment.CHANNELS:
    raise UserError(
      f"{path} has 'color', which is for pictures of"
      f' {" or ".join(map(str, diff_augment.CHANNELS))} channels, and those of'
      f' config.data.source = {config.data.source!r} have {channels}: leave it'
      ' out.'
    )


def validate_batch(discriminator, batch: int, accumulate: int = 1) -> None:
  """Checks that a minibatch falls into the groups that a D looks at.

  Args:
    discriminator: a network.
    batch: samples of the minibatch.
    accumulate: parts that D sees it in.

  Raises:
    UserError: if it does not fall into parts; or see the network's own
      `check_batch`, if it has one.
  """
  if batch % accumulate:
    raise UserError(
      f'A minibatch of {batch} does not fall into config.train.accumulate ='
      f' {accumulate} equal parts: set it to a divisor of every batch of the'
      ' run.'
    )
  batch //= accumulate
  if hasattr(discriminator, 'check_batch'):
    discriminator.check_batch(batch)
