"""Work that takes long says so once, within two seconds, unasked; an argument turns it off."""

from __future__ import annotations

import time

import pytest
import torch

from captum_andor import AndOrInteractions
from captum_andor._utils import progress
from captum_andor._utils.progress import duration, progress_bar


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(progress, "_LOOK", 0.15)
    monkeypatch.setattr(progress, "_LONG", 1.0)


def work(show, total=100, steps=4, pause=0.1):
    with progress_bar(show, total, "Work", "step") as bar:
        for _ in range(steps):
            time.sleep(pause)
            bar.update(1)


def test_long_work_is_announced_once(capsys) -> None:
    work(None)
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    assert err.startswith("Work: 100 steps, about ") and "show_progress=True: a bar" in err


@pytest.mark.parametrize(("show", "total"), [(False, 100), (None, 5)])
def test_short_work_and_what_was_told_to_be_silent_say_nothing(capsys, show, total) -> None:
    work(show, total)
    assert capsys.readouterr().err == ""


def test_a_first_step_that_takes_long_is_said_before_it_ends(capsys) -> None:
    with progress_bar(None, 100, "Work", "step"):
        time.sleep(0.3)
        assert "Work: 100 steps, the first of which take longer than 0." in capsys.readouterr().err


def test_how_long_all_will_take_follows_a_long_first_step(capsys) -> None:
    work(None, steps=3, pause=0.3)
    first, second = capsys.readouterr().err.splitlines()
    assert "the first of which take longer than 0." in first and "100 steps, about 30 s to go" in second


def test_a_slow_first_pass_alone_is_no_measure_of_those_in_batches(capsys, monkeypatch) -> None:
    """Such as one that compiles: 256 passes of .1 s each would be half a minute."""
    monkeypatch.setattr(progress, "_LONG", 5.0)
    calls = []

    def warms_up(x):
        time.sleep(0.1)
        calls.append(len(x))
        return x.sum(1)

    AndOrInteractions(warms_up, check_repeats=False).attribute(torch.ones(1, 8), perturbations_per_eval=64)
    said = capsys.readouterr().err
    assert len(calls) == 5 and "to go" not in said


def test_what_turns_out_long_and_what_has_no_end_is_said_late(capsys) -> None:
    with progress_bar(None, None, "Work", "step") as bar:
        for _ in range(4):
            time.sleep(0.3)
            bar.update(1)
    assert "steps so far" in capsys.readouterr().err


def test_nothing_is_said_after_the_end(capsys) -> None:
    work(None, steps=1, pause=0.01)
    time.sleep(0.3)
    assert capsys.readouterr().err == ""


def test_a_slow_model_is_announced(capsys) -> None:
    def slow(x):
        time.sleep(0.01)
        return x.sum(1)

    method = AndOrInteractions(slow, check_repeats=False)
    method.attribute(torch.ones(1, 8), perturbations_per_eval=1)
    assert "256 coalitions, about" in capsys.readouterr().err
    method.attribute(torch.ones(1, 8), perturbations_per_eval=1, show_progress=False)
    assert capsys.readouterr().err == ""


def test_durations() -> None:
    assert [duration(x) for x in (12.4, 200, 9000)] == ["12 s", "3 min", "2.5 h"]
