"""`spanloop models ab`: a challenger beside the live version, until it is known which annotators need less."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ml_backend.bootstrap import Services, utc_now
from ml_backend.cli.bell import ring
from ml_backend.cli.session import AsJson, ProjectId, Row, session_of, who
from training.policy import parse_settings
from training.store.tables.ab_tests import AbTest, ChallengeMode
from training.versions.ab_testing import ChallengeState, read_state, start_test, stop_test
from training.versions.arms import Arm

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Test a challenger against the live version.")


@app.command()
def start(
    context: typer.Context,
    challenger: Annotated[str, typer.Argument(metavar="VERSION", help="The challenger's name, number or id.")],
    project_id: ProjectId = None,
    fraction: Annotated[
        float | None, typer.Option(help="Share of the tasks it serves, 0 to 1; unset: the project's ab_fraction.")
    ] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Let it predict unseen, and serve no task.")] = False,
    promote: Annotated[
        bool, typer.Option("--promote", help="Let it go live by itself once it has passed; a loss ends the test too.")
    ] = False,
) -> None:
    """Put a challenger beside the live version; one test at a time in a project."""
    session = session_of(context)
    services, project = session.services, session.find_project(project_id)
    mode = ChallengeMode.SHADOW if shadow else ChallengeMode.AB
    with services.store.write() as uow:
        share = parse_settings(project.settings).ab_fraction if fraction is None else fraction
        model = uow.models.resolve(project.id, challenger)
        start_test(uow, project.id, model, mode=mode, fraction=share, by=who(), promote=promote, now=utc_now())
        uow.commit()
    ring(services, "challenge", project.id)
    does = "predicts unseen" if shadow else f"serves {share:.0%} of the tasks"
    session.say(f"{model.version} {does} in project {project.id}; `spanloop models ab status` says how it fares.")


@app.command()
def status(context: typer.Context, project_id: ProjectId = None, as_json: AsJson = False) -> None:
    """Show the running test, or the last one: how both versions fared, and whether the difference may be chance."""
    session = session_of(context)
    project = session.find_project(project_id)
    with session.services.store.read() as uow:
        tests = uow.ab_tests.of_project(project.id)
        state = read_state(uow, tests[0]) if tests else None
    if state is None:
        session.show(
            [], as_json=as_json, nothing=f"Project {project.id} has had no test; `models ab start` begins one."
        )
        return
    figures = figures_of(state)
    if as_json:
        session.show_json({"test": describe_test(state), "figures": figures, "passed": passed_of(state)})
        return
    session.show_pairs("test", describe_test(state))
    session.say("")
    session.show(arm_rows(state, figures), as_json=False, nothing="")
    session.say("")
    for sentence in say_test(state, figures):
        session.say(sentence)


@app.command()
def stop(
    context: typer.Context,
    project_id: ProjectId = None,
    reason: Annotated[str, typer.Option(help="Why; kept with the test.")] = "",
) -> None:
    """End the running test; the live version speaks for all tasks again."""
    session = session_of(context)
    project = session.find_project(project_id)
    test = end_by_hand(session.services, project.id, reason=reason)
    session.say(
        f"The test of project {project.id} is over; the challenger {'passed' if test.passed else 'did not pass'}."
    )


def end_by_hand(services: Services, project_id: int, *, reason: str) -> AbTest:
    """End the running test and ring for what follows. Raises NotFound."""
    with services.store.write() as uow:
        test = stop_test(uow, project_id, by=who(), reason=reason, now=utc_now())
        uow.commit()
    ring(services, "challenge", project_id)
    return test


def passed_of(state: ChallengeState) -> bool:
    """Whether the challenger passed: as noted at the end, else as it stands."""
    return state.passed if state.test.stopped_at is None else bool(state.test.passed)


def figures_of(state: ChallengeState) -> dict[str, Any]:
    """How both versions fared: as noted at the test's end, else as it stands."""
    stored = state.test.figures
    return stored if stored is not None else state.compared.to_json()


def describe_test(state: ChallengeState) -> dict[str, Any]:
    """What is tested, how, and since when."""
    test = state.test
    return {
        "id": test.id,
        "mode": test.mode,
        "live": state.live.version,
        "challenger": state.challenger.version,
        "fraction": test.fraction if test.mode == ChallengeMode.AB else None,
        "goes_live_by_itself": test.promote,
        "started": test.started_at,
        "started_by": test.started_by,
        "stopped": test.stopped_at,
        "stopped_by": test.stopped_by,
        "reason": test.reason,
    }


def arm_rows(state: ChallengeState, figures: dict[str, Any]) -> list[Row]:
    """Both versions, one a line."""
    names = {Arm.LIVE: state.live.version, Arm.CHALLENGER: state.challenger.version}
    shown = ("texts", "acceptance_rate", "edits_per_text", "precision", "recall", "f1")
    return [{"arm": str(arm), "version": names[arm], **{name: figures[arm][name] for name in shown}} for arm in Arm]


def say_test(state: ChallengeState, figures: dict[str, Any]) -> list[str]:
    """What the figures come to, in sentences."""
    which = "the honest slice alone" if figures["basis"] == "honest" else "all texts that were annotated meanwhile"
    sentences = [f"Compared on {which}."]
    for name, contrast in figures["contrasts"].items():
        sentences.append(
            f"{name.replace('_', ' ')}: {contrast['difference']:+.3f} for the challenger, p = {contrast['p_value']:.3f}"
        )
    if passed_of(state):
        sentences.append("The challenger passes: it is not worse beyond chance.")
    elif not state.enough:
        sentences.append(f"Each version wants {state.wanted_texts} annotated texts before anything can be said.")
    else:
        sentences.append("The challenger does not pass: it is worse beyond chance.")
    return sentences
