"""Wording and charts."""

from __future__ import annotations

import math
import re

import pytest

from gui.parts import Card, ago, badge, cards, duration, notice, short
from gui.plots import Mark, chart, frame, smooth, ticks


@pytest.mark.parametrize(("value", "text"), [
    (0.5, "0.5"), (475, "475"), (-110, "−110"), (12_345, "12.3k"), (1_500_000, "1.5M"), (0.0003, "3e-04"), (0, "0"),
    (float("nan"), "–"),
])
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (42, "42 s"), (190, "3 min 10 s"), (7500, "2 h 5 min"), (356_400, "4 d 3 h"),
])
def test_durations_have_at_most_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (3, "just now"), (50, "1 min ago"), (300, "5 min ago"), (10_000, "2 h ago"),
])
def test_ages_have_one_unit(seconds: float, text: str) -> None:
    assert ago(seconds) == text


def test_everything_shown_is_escaped() -> None:
    bad = "<img src=x onerror=alert(1)>"
    for html in (notice(bad), badge(bad), cards([Card(bad, bad, bad, (bad,), bad)], "", bad),
                 chart(bad, [1], [1], marks=[Mark(1, 1, 0, 2, bad)], x_name=bad)):
        assert "<img" not in html


def test_a_card_that_cannot_be_chosen_says_why() -> None:
    html = cards([Card("sac", "SAC", refusal="SAC needs a continuous action space.")], "ppo", "Algorithm")
    assert "disabled" in html
    assert "SAC needs a continuous action space." in html


def test_smoothing_is_a_weighted_mean_without_a_slow_start() -> None:
    # weights 1, then ½·1 + 1, then ¼ + ½ + 1: (0, 8/1.5, (4 + 8)/1.75)
    assert smooth([0, 8, 8], 0.5) == pytest.approx([0, 8 / 1.5, 12 / 1.75])
    assert smooth([3, 1, 2], 0.0) == [3, 1, 2]


def test_smoothing_passes_over_missing_values() -> None:
    first, gap, last = smooth([4, math.nan, 4], 0.9)
    assert (first, last) == pytest.approx((4, 4))
    assert math.isnan(gap)


@pytest.mark.parametrize(("low", "high", "expected"), [
    (0, 500, [0, 100, 200, 300, 400, 500]), (-1, 1, [-1, -0.5, 0, 0.5, 1]),
    (0, 0.03, [0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03]),
])
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_a_frame_around_one_value_has_a_size() -> None:
    space = frame([5], [0])
    assert space.right > space.left
    assert space.top > 0 > space.bottom


def test_the_raw_curve_stays_when_it_is_smoothed() -> None:
    html = chart("Return", [0, 1, 2], [0, 10, 0], weight=0.9)
    assert html.count('class="raw"') == 1
    assert html.count('class="soft"') == 1
    assert 'class="soft"' not in chart("Return", [0, 1, 2], [0, 10, 0])


def test_a_chart_shows_its_goal_and_its_measurements() -> None:
    html = chart("Return", [0, 1], [0, 100], level=475, marks=[Mark(1, 480, 470, 490, "evaluation")])
    assert "solved at 475" in html
    assert html.count("plot-dot") == 1
    dashed = re.search(r'class="level" d="M0 ([\d.]+)H1000"', html)
    assert dashed is not None
    assert 0 < float(dashed[1]) < 150          # near the top: the frame reaches from 0 to 490


def test_rows_without_a_value_are_left_out() -> None:
    assert 'data-points="2"' in chart("Return", [1, 2, 3], [math.nan, 5, 7])
    assert "No values yet" in chart("Return", [1, 2], [math.nan, math.nan])
