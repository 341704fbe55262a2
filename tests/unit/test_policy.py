"""The retraining policy, the verification rule, and the settings of a project."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import InvalidInput
from training.policy import (
    Decision,
    ProjectSettings,
    VerificationRule,
    VerifiedBy,
    next_scheduled,
    parse_settings,
    parse_verification_rule,
    pause_before_run,
    should_train,
)

SETTINGS = ProjectSettings()


def decide(settings: ProjectSettings = SETTINGS, **changes: Any) -> Decision:
    """The decision on a project that is due for a run, with some of its figures changed."""
    due: dict[str, Any] = {
        "newly_verified": 50,
        "verified": 80,
        "seconds_since_last_change": 20.0,
        "seconds_since_last_run": None,
        "failures_in_a_row": 0,
    }
    return should_train(settings, **{**due, **changes})


def test_policy_starts_a_run_when_enough_is_newly_verified() -> None:
    """A run starts at the Nth newly verified text, and the reason names the figures."""
    assert decide() == Decision(True, "50 newly verified texts, 80 in all")


@pytest.mark.parametrize(
    ("changes", "figure"),
    [
        ({"newly_verified": 49}, "49 newly verified texts, a run starts at 50"),
        ({"verified": 19}, "19 verified texts, a run needs 20"),
        ({"seconds_since_last_change": 19.0}, "waits for 20 s of quiet"),
        ({"seconds_since_last_run": 59.0}, "the next waits for 60 s"),
    ],
)
def test_policy_holds_a_run_back_and_says_why(changes: dict[str, Any], figure: str) -> None:
    """Each condition holds a run back by itself, and the reason names its figures."""
    decision = decide(**changes)
    assert not decision.train
    assert figure in decision.reason


def test_policy_backs_off_after_failures() -> None:
    """Each failure in a row doubles the pause, up to six hours."""
    assert not decide(seconds_since_last_run=119.0, failures_in_a_row=1).train
    assert decide(seconds_since_last_run=120.0, failures_in_a_row=1).train
    assert "after 3 failed in a row" in decide(seconds_since_last_run=100.0, failures_in_a_row=3).reason
    assert pause_before_run(SETTINGS, failures_in_a_row=1000) == 6 * 3600


def test_policy_backs_off_without_a_minimum_interval_too() -> None:
    """A project without a minimum interval does not run a failing training over and over."""
    hasty = SETTINGS.with_changes(min_interval_seconds=0)
    assert pause_before_run(hasty, failures_in_a_row=0) == 0
    assert pause_before_run(hasty, failures_in_a_row=1) >= 10


@given(st.integers(0, 40), st.floats(0, 1e6))
def test_policy_pause_never_shrinks_with_failures(failures: int, interval: float) -> None:
    """One more failure never shortens the pause, and no pause is shorter than the minimum interval."""
    settings = SETTINGS.with_changes(min_interval_seconds=interval)
    pause = pause_before_run(settings, failures_in_a_row=failures)
    assert interval <= pause <= pause_before_run(settings, failures_in_a_row=failures + 1)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("submitted", VerificationRule(VerifiedBy.SUBMITTED)),
        ("ground_truth", VerificationRule(VerifiedBy.GROUND_TRUTH)),
        ("agreement:3", VerificationRule(VerifiedBy.AGREEMENT, 3)),
    ],
)
def test_policy_reads_the_verification_rule(value: str, rule: VerificationRule) -> None:
    """The three rules are read, and read back as they were written."""
    assert parse_verification_rule(value) == rule
    assert str(rule) == value


@pytest.mark.parametrize(
    "value", ["", "agreement", "agreement:1", "agreement:0", "agreement:-2", "agreement:x", "star"]
)
def test_policy_refuses_an_unknown_verification_rule(value: str) -> None:
    """What is not a rule is refused with the rules that there are."""
    with pytest.raises(InvalidInput, match="submitted, ground_truth or agreement:N"):
        parse_settings({"verification_rule": value})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"retrain_after": 0}, "retrain_after"),
        ({"retrain_afterr": 5}, "retrain_afterr: there is no such setting"),
        ({"test_fraction": 0.5, "dev_fraction": 0.4}, "leave too little to train on"),
        ({"test_fraction": float("nan")}, "test_fraction"),
        ({"auto_promote": "perhaps"}, "auto_promote"),
        ({"max_epochs": None}, "max_epochs"),
        ({"gate_recall_floors": "SSN"}, "'SSN' is no floor; write LABEL:RECALL"),
        ({"gate_recall_floors": ":0.5"}, "names no label"),
        ({"gate_recall_floors": {"SSN": 1.5}}, "the floor of 'SSN' is 1.5; give 0 to 1"),
        ({"gate_recall_floors": "SSN:nan"}, "finite number"),
        ({"gate_confidence": 1}, "gate_confidence"),
    ],
)
def test_policy_refuses_settings_in_readable_words(values: dict[str, Any], said: str) -> None:
    """A setting that is unknown or out of range is refused by name."""
    with pytest.raises(InvalidInput) as refused:
        parse_settings(values)
    assert said in refused.value.message
    assert "https://" not in refused.value.message


def test_policy_settings_survive_their_storage() -> None:
    """Stored settings come back as they were, and what an older project lacks takes its default."""
    settings = SETTINGS.with_changes(retrain_after=7, verification_rule="agreement:2")
    assert parse_settings(settings.to_json()) == settings
    assert settings.rule.annotators == 2
    assert parse_settings({}) == SETTINGS


def test_policy_reads_recall_floors_from_the_command_line() -> None:
    """Floors are written LABEL:RECALL, with commas between; an empty value takes them away."""
    settings = SETTINGS.with_changes(gate_recall_floors="SSN:0.9, ID:NO:1,")
    assert settings.gate_recall_floors == {"SSN": 0.9, "ID:NO": 1.0}
    assert settings.with_changes(gate_recall_floors="").gate_recall_floors == {}


def test_policy_checks_changed_settings_as_a_whole() -> None:
    """A change that is fine by itself is refused where it breaks a rule together with the rest."""
    with pytest.raises(InvalidInput, match="together they must stay below"):
        SETTINGS.with_changes(dev_fraction=0.8)


@pytest.mark.parametrize("line", ["hourly", "* * * *", "0 0 1 1 1 1", "61 * * * *", "@daily"])
def test_policy_refuses_what_is_no_cron_line(line: str) -> None:
    """A cron line has five fields that make sense; everything else is refused with an example."""
    with pytest.raises(InvalidInput, match="no cron line"):
        parse_settings({"schedule": line})


def test_policy_reads_a_cron_line_in_its_time_zone() -> None:
    """The next time is in the zone of the project, whatever zone now is said in."""
    now = datetime(2030, 6, 1, 23, 0, tzinfo=UTC)
    assert next_scheduled(parse_settings({}), now) is None
    assert next_scheduled(parse_settings({"schedule": " 0  2 * * 0 "}), now) == datetime(2030, 6, 2, 2, 0, tzinfo=UTC)
    berlin = parse_settings({"schedule": "0 2 * * 0", "time_zone": "Europe/Berlin"})
    assert next_scheduled(berlin, now) == datetime(2030, 6, 2, 0, 0, tzinfo=UTC)
    assert next_scheduled(parse_settings({"schedule": "0 0 30 2 *"}), now) is None
    with pytest.raises(InvalidInput, match="no time zone"):
        parse_settings({"time_zone": "Mars/Base"})
