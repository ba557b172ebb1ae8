"""Teams of agents, from a CSV file."""

from pathlib import Path

import pytest

from callpipeline.config import Settings
from callpipeline.domain.calls.teams import Teams
from callpipeline.errors import SettingsInvalid
from callpipeline.wiring import load_teams


def test_agents_are_in_teams_whatever_the_case_and_the_order_of_columns() -> None:
    teams = Teams.parse(
        "\ufeffTeam, agent ,phone\r\nRetention,Ann Abbot,1\r\n\r\nSales, ben ,2\r\n"
    )
    found = [teams.of(agent) for agent in ("ANN ABBOT", "Ben", "eve")]
    assert found == ["Retention", "Sales", None]


def test_an_agent_may_be_listed_twice_in_one_team() -> None:
    assert Teams.parse("agent,team\nAnn,A\nann,A\n").of("Ann") == "A"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the first line must name the columns agent and team"),
        ("agent;team\nAnn;A\n", "the first line must name the columns"),
        ("agent,team\nAnn,A\nBen\n", "line 3 needs an agent and a team"),
        ("agent,team\nAnn,A\n,B\n", "line 3 needs an agent and a team"),
        ("agent,team\nAnn,A\nANN,B\n", "line 3: ANN is in two teams"),
        ('agent,team\n"Ann,A\n', "line 1: unexpected end"),
        (f"agent,team\nAnn,{'x' * 201}\n", "line 2 is longer than 200"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Teams.parse(text)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"agent,team\nAnn\n", "line 2 needs"), (b"\xff\xfe", "codec"), (None, "No such file")],
)
def test_the_setting_names_the_file_and_the_problem(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    path = tmp_path / "teams.csv"
    if content is not None:
        path.write_bytes(content)
    settings = Settings(home=tmp_path, teams=path, _env_file=None)  # pyright: ignore
    with pytest.raises(SettingsInvalid, match=f"CALLPIPELINE_TEAMS: teams.csv: .*{problem}"):
        load_teams(settings)


def test_without_the_setting_there_are_no_teams(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, _env_file=None)  # pyright: ignore[reportCallIssue]
    assert load_teams(settings) == Teams()
