"""Schedules of growing runs: from images to steps, and on from the past."""

import json
import math
import pathlib

import ml_collections
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_jax.errors import UserError
from gan_jax.schemes import growth
from gan_jax.settings import values
from gan_jax.state import Stage

GOLDEN = pathlib.Path(__file__).parent.parent / 'golden/progan_schedule.json'
TABLES = json.loads(GOLDEN.read_text())['tables']


def stage_of(side, batch=0, lr=0.0, rest=16):
  batch = batch or rest
  return Stage(side, batch, 1, batch, lr)


def section(**changes):
  return ml_collections.ConfigDict(values(growth.SETTINGS) | changes)


def schedule(stable, fade, side=32, start=4, batch=()):
  own = section(
    start=start, stable_images=stable, fade_images=fade, batch=batch
  )
  return growth.phases(own, side, stage_of)


@pytest.mark.parametrize('name', TABLES)
def test_the_schedule_is_the_released_one(name):
  """Level, alpha, batch and rate at each number of images of the table.

  The released code asks before every step which it takes. Ours counts in steps:
  one image a step here, so that every number of images begins one.
  """
  t = TABLES[name]
  phases = growth.phases(
    section(
      start=4,
      stable_images=t['train_kimg'] * 1000,
      fade_images=t['fade_kimg'] * 1000,
    ),
    t['final_resolution'],
    lambda side, batch, lr: Stage(side, 1, 1, 1),
  )
  grown = growth.after((), phases, 0)
  batches = growth.by_resolution(
    [f'{k}:{v}' for k, v in t['minibatch_dict'].items()], int, 'growth.batch'
  )
  rates = growth.by_resolution(
    [f'{k}:{v}' for k, v in t['lr_dict'].items()], float, 'growth.lr'
  )
  for images, _, side, alpha, batch, *lr, _ in t['rows']:
    assert grown.images(images) == images
    assert grown.stage(images).resolution == side
    assert float(grown.time(images).alpha) == pytest.approx(alpha, abs=1e-6)
    assert batches.get(side, t['minibatch_base']) == batch
    assert lr == [rates.get(side, t['lr_base'])] * 2


@settings(max_examples=200, deadline=None)
@given(
  stable=st.integers(0, 500),
  fade=st.integers(0, 500),
  batches=st.tuples(*[st.integers(1, 40)] * 4),
  images=st.integers(1, 4000),
)
def test_every_step_is_of_the_phase_its_images_say(
  stable, fade, batches, images
):
  """Against the schedule asked anew at each step, as released code does."""
  tables = [f'{4 * 2**k}:{n}' for k, n in enumerate(batches)]
  grown = growth.after((), schedule(stable, fade, batch=tuple(tables)), 0)
  shown, step, resets, before = 0, 0, 0, (4, False)
  while shown < images:
    phase = stable + fade
    # How many levels have begun, a level being there once it is seen.
    k = min(math.ceil(max(shown - stable, 0) / phase), 3) if phase else 3
    if not phase and shown == 0:
      k = 0
    into = shown - stable - (k - 1) * phase
    fading = k > 0 and into < fade
    stage = grown.stage(step)
    assert grown.images(step) == shown
    assert stage.resolution == 4 * 2**k and stage.batch == batches[k]
    share = into / fade if fading else 1.0
    assert float(grown.time(step).alpha) == pytest.approx(share, abs=1e-6)
    now = (stage.resolution, fading)
    assert grown.begins(step) == (now != before)
    before, step, shown = now, step + 1, shown + stage.images
  limit = ml_collections.ConfigDict(dict(images=images, steps=1))
  assert grown.total(limit) == step  # the run ends where enough were shown
  limit.images = 0
  assert grown.total(limit) == 1


@settings(max_examples=200, deadline=None)
@given(
  stable=st.integers(0, 200),
  fade=st.integers(0, 200),
  step=st.integers(0, 300),
  again=st.integers(0, 300),
)
def test_going_on_changes_nothing(stable, fade, step, again):
  """Whatever step it is at, and however often."""
  phases = schedule(stable, fade, batch=('4:9', '8:5', '16:7', '32:3'))
  grown = growth.after((), phases, 0)
  for at in sorted((step, again)):
    assert growth.after(grown.stretches(), phases, at) == grown


@settings(max_examples=200, deadline=None)
@given(
  old=st.tuples(st.integers(1, 99), st.integers(0, 99), st.integers(1, 9)),
  new=st.tuples(st.integers(1, 99), st.integers(0, 99), st.integers(1, 9)),
  step=st.integers(0, 90),
)
def test_a_changed_schedule_keeps_the_past_and_follows_its_own(old, new, step):
  """Every step before the change is counted as it was, all after as planned."""
  made = [
    schedule(stable, fade, batch=tuple(f'{4 * 2**k}:{n}' for k in range(4)))
    for stable, fade, n in (old, new)
  ]
  before = growth.after((), made[0], 0)
  now = growth.after(before.stretches(), made[1], step)
  begins = [span.first_step for span in now.spans]
  assert begins == sorted(set(begins)) and begins[0] == 0
  for k in range(step):
    assert now.stage(k) == before.stage(k)
    assert now.images(k) == before.images(k)
    assert now.time(k).alpha == before.time(k).alpha
  assert now.images(step) == before.images(step)
  used = now.offset(step) + step * now.stage(step).batch
  assert used == before.images(step)  # the data go on where they were
  stable, fade, batch = new
  for k in range(step, step + 60):
    images, stage = now.images(k), now.stage(k)
    level = min(math.ceil(max(images - stable, 0) / (stable + fade)), 3)
    assert stage == stage_of(4 * 2**level, batch)
    assert now.images(k + 1) == images + batch


@pytest.mark.parametrize(
  'entry, kind',
  [
    ('8', int),
    ('8:', int),
    (':8', int),
    ('8:0', int),
    ('8:-1', int),
    ('8:1.5', int),
    ('8:nan', float),
    ('8:inf', float),
    ('8:1_0', int),
    ('٨:8', int),
    ('8:8:8', int),
    ('1e1:8', int),
    ('8 8', int),
  ],
)
def test_a_table_s_entry_is_a_resolution_and_a_number(entry, kind):
  with pytest.raises(UserError, match='growth.batch'):
    growth.by_resolution([entry], kind, 'growth.batch')


def test_a_table_is_of_the_levels_that_there_are():
  assert growth.by_resolution(['8:3', '4:2'], int, '') == {8: 3, 4: 2}
  with pytest.raises(UserError, match='8 px twice'):
    growth.by_resolution(['8:3', '8:2'], int, 'growth.batch')
  with pytest.raises(UserError, match='64 px, which this run never'):
    schedule(9, 9, batch=('64:4',))
  with pytest.raises(UserError, match='config.data.resolution = 64'):
    schedule(9, 9, side=48)
  with pytest.raises(UserError, match='another start'):
    schedule(9, 9, side=4, start=8)
