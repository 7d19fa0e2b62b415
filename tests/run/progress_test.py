import os
import signal

import pytest

from gan_jax.run import progress


def test_pauses_do_not_count(monkeypatch):
  now = [100.0]
  monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
  clock = progress.Clock(total=1000, images=lambda step: 10 * step)
  assert clock.lap(1) == 0.0  # compilation is not speed
  now[0] += 4.0
  with clock.pause():
    now[0] += 60.0
  now[0] += 1.0
  assert clock.lap(51) == pytest.approx(50 * 10 / 5.0)
  assert clock.remaining(51, 100.0) == '1m34s'
  assert clock.remaining(0, 0.5) == '5h33m'
  assert clock.remaining(3, 0.0) == '?'


def test_short_numbers():
  assert [progress.short(x) for x in (950, 12_800, 1.2e6)] == [
    '950',
    '12.80k',
    '1.20M',
  ]


def test_signals_ask_to_stop_and_the_second_ctrl_c_ends_at_once():
  before = signal.getsignal(signal.SIGTERM)
  with progress.StopSignals() as signals:
    for _ in range(2):
      os.kill(os.getpid(), signal.SIGTERM)
      assert signals.received == 'SIGTERM'
    with pytest.raises(KeyboardInterrupt):
      os.kill(os.getpid(), signal.SIGINT)
  assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_what_can_be_made_up_for_is_cut_short_once(number):
  reached = []
  with progress.StopSignals() as signals:
    with signals.cut_short():
      reached.append('in')
      os.kill(os.getpid(), number)
      reached.append('too far')
    assert signals.received == number.name
    reached.append('behind')
    with signals.cut_short():
      reached.append('all of the next')
  assert reached == ['in', 'behind', 'all of the next']


def test_a_keyboard_interrupt_of_another_is_not_swallowed():
  with progress.StopSignals() as signals, pytest.raises(KeyboardInterrupt):
    with signals.cut_short():
      raise KeyboardInterrupt


def test_memory_is_a_plausible_number_of_gigabytes():
  assert 0.05 < progress.memory_gb() < 1000
