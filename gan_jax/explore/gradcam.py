"""Where D looks: GradCAM of its score, on real pictures and on samples.

Selvaraju et al. 2017 on a discriminator (GLeaD, Figure 6). Of a map A of D and
the gradient of a picture's score with respect to it, alpha_c is the mean of
channel c's gradient over the map; the heat is ReLU(sum_c alpha_c A_c), divided
by its largest value, enlarged to the picture and laid over it. So it is where D
sees what speaks for a real picture, or with of=fake against one; it is relative
to each picture, the score below it is not.

The map is named by its side: at=32. Scores are the live D's in use, without
augmentation. A D that compares the pictures of a batch sees reals and samples
as two batches, and each heat is by its own picture's score. The pictures are
those held out, split=..., or pictures=FOLDER: so two runs can be shown the same
ones, samples of one of them too.
"""

import logging

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.errors import UserError
from gan_jax.explore import asking, pairs, shown
from gan_jax.explore.within import pulled_back
from gan_jax.networks.judgement import per_sample
from gan_jax.networks.made import has_levels
from gan_jax.run.write import whole
from gan_jax.settings import Setting

log = logging.getLogger('gan_jax')

_DETAIL = 32  # side of the map by default, at most

SETTINGS = {
  'at': Setting(
    '', "D's map, by its side; '': up to 32 px, and half the picture's"
  ),
  'of': Setting(
    'real',
    'what the heat speaks for: that a picture is real, or that it is not',
    choices=('real', 'fake'),
  ),
  **shown.SETTINGS,
}


def run(restored, out, settings) -> None:
  """Writes <out>/gradcam_step_<step>.png.

  Args:
    restored: a run that makes pictures, whose D has maps.
    out: a folder; it need not exist.
    settings: see `SETTINGS`.

  Raises:
    UserError: for whatever the user can put right.
  """
  both = shown.Shown(restored, settings, 'gradcam')
  sight = Sight(restored, both, settings.at, settings.of)
  stem = asking.place(out, restored, 'gradcam')
  pictures, (heats, scores) = both(sight)
  title = (
    f"step {restored.step:,}: what speaks for {settings.of} in D's map"
    f" '{sight.name}' (GradCAM); its score below each\n{both.words}"
  )
  words = [f'{n}: {s:.3g}' for n, s in zip(both.names, scores, strict=True)]
  figure = pairs.figure_of(*blended(pictures, heats), words, title)
  file = stem.with_name(f'{stem.name}.png')
  with whole(file) as scratch:
    figure.savefig(scratch, dpi=pairs.DPI)
  log.info("Where D looks, by its map '%s': %s", sight.name, file)


class Sight:
  """A run's discriminator, asked for its score and for where it looked.

  Args:
    restored: the run.
    both: what it is shown.
    at: the name of D's map; '': of the largest one that a person can tell from
      the picture itself.
    of: 'real' or 'fake'.

  Attributes:
    name: of the map.

  Raises:
    UserError: if D has no such map.
  """

  def __init__(self, restored, both, at: str, of: str):
    game = restored.experiment.objective.at_resolution(both.side)
    self._network = game.discriminator
    self._level = {}
    if has_levels(self._network):
      self._level = dict(alpha=both.alpha)
    inverted = restored.config.loss.name == 'inverted_least_squares'
    self._sign = -1.0 if inverted == (of == 'real') else 1.0
    self._variables = restored.state.pair.d.variables
    *sides, channels = restored.run.load_data()['shape']
    sides = [both.side or n for n in sides]
    self.name = self._named(at, (*sides, channels))
    self._look = jax.jit(self._looked)

  def _named(self, at: str, shape) -> str:
    """The name of the map that is meant, of those that D has of a picture."""
    inputs = jnp.zeros((1, *shape)), jnp.zeros(1, jnp.int32)
    judged = jax.eval_shape(self._judge, self._variables, *inputs)
    sides = {n: x.shape[1] for n, x in judged.features.items() if x.ndim == 4}
    maps = sorted(sides, key=lambda name: -sides[name])
    if at in maps:
      return at
    most = min(_DETAIL, shape[0] // 2)
    fit = [name for name in maps if sides[name] <= most]
    if fit and not at:
      return fit[0]
    have = f'has the maps {", ".join(maps)}' if maps else 'has none'
    raise UserError(
      f'--tool=gradcam:at={at} names no map of the discriminator of this run:'
      f' it {have}.'
    )

  def _judge(self, variables, samples, labels):
    return self._network.apply(
      variables, samples, labels, train=False, **self._level
    )

  def __call__(self, samples, labels):
    """Heats [N, h, w] in [0, 1], and D's scores [N].

    Args:
      samples: as G makes them, [N, ...] or a tree of such.
      labels: int32 [N].
    """
    return self._look(self._variables, samples, labels)

  def _looked(self, variables, samples, labels):
    def scores(samples):
      judgement = self._judge(variables, samples, labels)
      return per_sample(judgement.logits), judgement.features[self.name]

    with jax.default_matmul_precision('highest'):
      found, maps, pull = pulled_back(scores, samples)
      # Each picture's own: a D may look at the others of a batch.
      one = lambda k: pull(jax.nn.one_hot(k, len(found)))[k]
      gradients = jax.lax.map(one, jnp.arange(len(found)))
    return heat_of(maps, self._sign * gradients), found


def heat_of(maps, gradients):
  """GradCAM, see the top of this file.

  Args:
    maps: [N, h, w, C].
    gradients: of each picture's score, likewise.

  Returns:
    [N, h, w] in [0, 1]; zeros where nothing speaks for the score.
  """
  maps, gradients = (x.astype(jnp.float32) for x in (maps, gradients))
  weights = jnp.mean(gradients, (1, 2), keepdims=True)
  heat = jax.nn.relu(jnp.sum(weights * maps, -1))
  most = jnp.max(heat, (1, 2), keepdims=True)
  return heat / jnp.where(most > 0, most, 1.0)


def blended(pictures, heats):
  """Pictures in colour, and half of them under half of the heat's colour.

  Args:
    pictures: [N, H, W, C] in [-1, 1], C in {1, 3}.
    heats: [N, h, w] in [0, 1].

  Returns:
    Two float arrays [N, H, W, 3] in [-1, 1].
  """
  import matplotlib  # slow to import

  size = pictures.shape[:3]
  pictures = np.broadcast_to(pictures, (*size, 3))
  heats = np.asarray(jax.image.resize(heats, size, 'linear'))
  colours = matplotlib.colormaps['jet'](heats)[..., :3]
  return pictures, (pictures + 2 * colours - 1) / 2
