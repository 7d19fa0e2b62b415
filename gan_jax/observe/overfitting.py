"""Whether the networks learn their pictures by heart, on some held out.

Two things are watched, each on samples that `data.held_out` sets aside.

D: with mean scores of the training pictures T, of those held out H and of
samples of the averaged generator G,

  r_v = (D(T) - D(H)) / (D(T) - D(G))

(Karras et al. 2020, "Training GANs with limited data", eq. 1). At 0 D has never
seen either, at 1 it takes a real picture that it does not know for a fake.

G: distances from samples, and from H, to the nearest picture in T, and the
ratio of their medians. That alone is no proof: blurred samples are near to
everything. So a second number asks whether it is T that they are near to. Each
sample has a nearest picture in T and H together. If G knows nothing of which
pictures were held out, those that are nearest to some sample are held out as
often as any: the number of held-out ones among them is hypergeometric, however
few pictures all samples crowd around. `near_chance` is the probability that
there are no more.

A look shows overfitting of D if r_v is above one half even with the confidence
bound of D(T) - D(H) for it, so that unknown pictures are nearer to fakes than
to known ones; of G if the ratio is below 1 and the chance below 1 in 100. When
one of them has been so for `LOOKS` looks in a row the log says so, once.

Features are the means over 16 x 16 cells of a picture, without weights.
"""

import functools
import logging
import math

import numpy as np
from scipy import stats

from gan_jax.data import order
from gan_jax.data.source import Source, in_threads
from gan_jax.metrics.frechet import pixel_features
from gan_jax.metrics.neighbours import nearest
from gan_jax.networks.made import picture
from gan_jax.observe.occasional import Occasional, is_logged
from gan_jax.observe.scores import CHUNK, Evaluator, Judge
from gan_jax.sampler import Chunks, Sampler, at_once
from gan_jax.state import TrainState

log = logging.getLogger('gan_jax')

LOOKS = 3  # in a row, until it is said
HALF_WAY = 0.5  # of r_v
CHANCE = 0.01
CONFIDENCE = 0.975  # one-sided, of D(T) - D(H)

# A look takes about as long as ten steps of 8.
SAMPLES = 128
SCORED = 128  # pictures of T, and of H
COMPARED = 5000  # pictures of T, and of H: beyond that a part stands for all
CELLS = 16  # a side, of the features
SAID = 'overfitting.jsonl'

D_NUMBERS = ('d_train', 'd_held_out', 'd_samples', 'r_v', 'r_v_low')
G_NUMBERS = ('near_samples', 'near_held_out', 'near_ratio', 'near_chance')


def of_scores(train, held_out, samples) -> dict[str, float]:
  """Whether D tells pictures that it knows from others.

  Args:
    train: its scores of training pictures [N].
    held_out: of others [M].
    samples: of samples [K].

  Returns:
    `D_NUMBERS`: the means; r_v, nan where D scores samples as training
    pictures; r_v_low, its bound by Student's t for the noise of N and M
    pictures, nan for less than two.
  """
  t, h, s = (np.asarray(x, np.float64) for x in (train, held_out, samples))
  gap, apart = t.mean() - h.mean(), t.mean() - s.mean()
  r_v = low = math.nan
  if apart:
    r_v = gap / apart
    if min(len(t), len(h)) > 1:
      noise = math.sqrt(t.var(ddof=1) / len(t) + h.var(ddof=1) / len(h))
      quantile = stats.t.ppf(CONFIDENCE, min(len(t), len(h)) - 1)
      low = r_v - quantile * noise / abs(apart)
  means = float(t.mean()), float(h.mean()), float(s.mean())
  return dict(zip(D_NUMBERS, (*means, float(r_v), float(low)), strict=True))


def of_distances(train, held_out, samples, views: int = 1) -> dict[str, float]:
  """Whether samples are copies of pictures that were trained on.

  Args:
    train: features of training pictures [views N, D]: those of all N, then of
      all N mirrored, if G can make them so.
    held_out: of others [views M, D], in the same way.
    samples: of samples [K, D].
    views: of each picture.

  Returns:
    `G_NUMBERS`: medians of the distances to the nearest training picture, per
    root of D, so that they are root mean squares; their ratio, nan if it is
    one of zeros; and the chance.
  """
  count, held = len(train) // views, len(held_out) // views
  at_train, from_train = (x[:, 0] for x in nearest(samples, train))
  at_held, from_held = (x[:, 0] for x in nearest(samples, held_out))
  own = nearest(held_out[:held], train)[1]
  # Of twins, one picture in two files, the one that is held out counts.
  is_held = from_held <= from_train
  hit_train = len(np.unique(at_train[~is_held] % count))
  hit_held = len(np.unique(at_held[is_held] % held))
  chance = stats.hypergeom.cdf(
    hit_held, count + held, held, hit_train + hit_held
  )
  near, apart = (
    float(np.median(x)) / math.sqrt(train.shape[1]) for x in (from_train, own)
  )
  ratio = near / apart if apart else math.nan
  return dict(zip(G_NUMBERS, (near, apart, ratio, float(chance)), strict=True))


def features_of(source: Source, views: int) -> np.ndarray:
  """Features of samples of the data, float32 [views N, D].

  Args:
    source: the data; N is their number, or `COMPARED`.
    views: 2 for those of all N and then of all N mirrored, 1 for the former.
  """
  n = len(source)
  rows = order.indices(0, np.arange(min(COMPARED, n)), n)
  found = [None] * len(rows)

  def work(run):
    for k in run:
      x = source.unpack(source[int(rows[k])][0])
      both = [x, x[:, ::-1]] if views == 2 else [x]
      found[k] = pixel_features(np.stack(both), CELLS)

  in_threads(work, len(rows), f'looking at {source.name}')
  of_views = np.stack(found, 1).astype(np.float32)  # [views, N, D]
  return of_views.reshape(-1, of_views.shape[-1])


def shows(look: dict) -> set[str]:
  """Whose overfitting a line of metrics.jsonl shows: 'd', 'g'."""
  at = lambda name: math.nan if look.get(name) is None else look[name]
  found = {
    'd': at('r_v_low') > HALF_WAY,
    'g': at('near_ratio') < 1 and at('near_chance') < CHANCE,
  }
  return {player for player, so in found.items() if so}


def copies(lines: list[dict], step: int) -> bool:
  """Whether samples were copies when a run was last looked at.

  Args:
    lines: of metrics.jsonl, with looks in them or without.
    step: looks of later ones do not count.
  """
  looks = {
    line['step']: line
    for line in lines
    if line['step'] <= step and all(name in line for name in G_NUMBERS)
  }
  return bool(looks) and 'g' in shows(looks[max(looks)])


def tip(looks: list[dict]) -> int | None:
  """The first look at which something has been shown `LOOKS` times in a row.

  Args:
    looks: in their order, see `shows`.

  Returns:
    Its place, or None.
  """
  shown = [shows(look) for look in looks]
  for i in range(LOOKS - 1, len(looks)):
    if set.intersection(*shown[i - LOOKS + 1 : i + 1]):
      return i
  return None


class Overfitting(Occasional):
  """Watches for it whenever grids of samples are drawn.

  Whether it tips is told by metrics.jsonl alone, and what was said is kept in
  overfitting.jsonl: a run that goes on, from before that too, says it once, as
  one does that was never stopped. Scores are the live D's in
  inference mode, without augmentation. Args: as of `observe.build`.
  """

  @staticmethod
  def wanted(config, experiment, source) -> bool:
    """GANs whose data have samples held out."""
    return bool(source.held_out) and Evaluator.fits(config)

  def __init__(self, config, run, experiment, source, mesh):
    total = experiment.growth.total(config.train)
    super().__init__(config.train.image_every, total)
    self._run, self._source = run, source
    self._sides = source, source.held_out
    self._chunks = Chunks(at_once(source.shape, CHUNK))
    self._sampler, self._judge = Sampler(config, experiment), Judge(experiment)
    self._views = 1 + (config.augment.mirror and len(source.shape) == 3)

  def done(self, step: int) -> bool:
    """See `Observer`."""
    return is_logged(self._run, (*D_NUMBERS, *G_NUMBERS), step)

  def __call__(self, step: int, images: int, state: TrainState) -> dict:
    """See `Observer`."""
    numbers = self._numbers(step, state)
    looks = {
      line['step']: line
      for line in self._run.lines()
      if line['step'] < step and all(name in line for name in numbers)
    }
    looks = [looks[k] for k in sorted(looks)] + [{'step': step, **numbers}]
    if tip(looks) == len(looks) - 1:
      self._say(looks[-LOOKS:])
    return numbers

  def _say(self, looks: list[dict]) -> None:
    """Says what the looks that tip show, unless an earlier life of it has."""
    step = looks[-1]['step']
    if all(line['step'] != step for line in self._run.lines(SAID)):
      sentence = self._sentence(looks)
      log.warning(sentence)
      self._run.append(SAID, {'step': step, 'sentence': sentence})

  def _sentence(self, looks: list[dict]) -> str:
    """What is said of the looks that tip."""
    now, found = looks[-1], set.intersection(*map(shows, looks))
    reasons = []
    if 'd' in found:
      reasons.append(
        'D scores held-out pictures more like samples than like those that it'
        f' trains on (r_v = {now["r_v"]:.2f})'
      )
    if 'g' in found:
      reasons.append(
        'samples are nearer to the training pictures than held-out pictures'
        f' are (by a factor of {now["near_ratio"]:.2f})'
      )
    return (
      f'Overfitting: since step {looks[0]["step"]:,}'
      f' {" and ".join(reasons)}, so that the {len(self._source):,} pictures'
      ' are being learned by heart: compare the grids in images/ and keep a'
      ' checkpoint from before, or go on with stronger augmentation'
      ' (--help=augment) or more pictures.'
    )

  def _numbers(self, step: int, state: TrainState) -> dict[str, float]:
    sampler, judge = self._sampler.at(step), self._judge.at(step)
    g, d = map(
      self._chunks.place, (sampler.variables(state), state.pair.d.variables)
    )
    train, held_out = map(self._scored, self._sides)
    labels = np.resize(train[1], SAMPLES)
    fakes, features = [], []
    for seeds in self._chunks.of(np.arange(SAMPLES)):
      z, of = sampler.latents(seeds), labels[seeds]
      made = self._chunks(sampler.made, g, z, of)
      fakes.append(self._chunks(judge.fakes, d, made, of))
      features.append(pixel_features(sampler.enlarged(picture(made)), CELLS))
    found = of_scores(
      self._by_chunks(judge.reals, d, *train),
      self._by_chunks(judge.reals, d, *held_out),
      np.concatenate(fakes),
    )
    features = np.concatenate(features).astype(np.float32)
    if not np.isfinite(features).all():
      return found | dict.fromkeys(G_NUMBERS, math.nan)
    return found | of_distances(*self._features, features, self._views)

  def _scored(self, source: Source):
    """The samples of a side that D is asked for, and their labels."""
    n = len(source)
    rows = order.indices(0, np.arange(min(SCORED, n)), n)
    samples, labels = zip(*(source[int(i)] for i in rows), strict=True)
    return source.unpack(np.stack(samples)), np.array(labels, np.int32)

  def _by_chunks(self, judge, d, x, labels) -> np.ndarray:
    """Scores [N]; the last chunk is filled up with what came first.

    Not with one sample's copies: a D may look at how a minibatch varies.
    """
    size = self._chunks.size
    rows = np.resize(np.arange(len(x)), -(-len(x) // size) * size)
    parts = [
      self._chunks(judge, d, x[part], labels[part])
      for part in self._chunks.of(rows)
    ]
    return np.concatenate(parts)[: len(x)]

  @functools.cached_property
  def _features(self) -> list[np.ndarray]:
    """Of both sides, float32 [views N, D]; see `of_distances`."""
    return [features_of(source, self._views) for source in self._sides]
