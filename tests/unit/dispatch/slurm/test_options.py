from __future__ import annotations

from pathlib import Path

import pytest

from smc_bench.cli.common import Session
from smc_bench.dispatch.slurm.options import from_command_line, merged, named_cluster
from smc_bench.errors import SuiteError
from smc_bench.suite.expand import Plan
from smc_bench.suite.slurm_section import SlurmSection


def with_section(session: Session, text: str) -> Plan:
    session.suite.write_text(session.suite.read_text() + text)
    return session.plan()


def test_command_line_beats_suite_beats_cluster(session: Session) -> None:
    plan = with_section(session, "slurm: {time: 90min, mem: 2GB, partition: from-suite}\n")
    cluster = SlurmSection(partition="from-cluster", account="mine", time="1h", cpus=4)
    options = merged(plan, cluster, from_command_line({"mem": "500MB", "time": None}))
    found = set(options.settings.values())
    assert len(found) == 1
    settings = found.pop()
    assert (settings.partition, settings.account) == ("from-suite", "mine")
    assert (settings.minutes, settings.megabytes, settings.cpus) == (90, 500, 4)


def test_overrides_give_some_cells_other_resources(session: Session) -> None:
    plan = with_section(session, "slurm: {mem: 1GB, overrides: [{where: arm=dense, mem: 3GB}]}\n")
    options = merged(plan, SlurmSection(), SlurmSection())
    dense = {entry.cell.id for entry in plan.entries if entry.arm == "dense"}
    given = {key: settings.megabytes for key, settings in options.settings.items()}
    assert given == {key: 3072 if key in dense else 1024 for key in plan.cells}
    forced = merged(plan, SlurmSection(), from_command_line({"mem": "4GB"}))
    assert {settings.megabytes for settings in forced.settings.values()} == {4096}


def test_slurm_settings_are_no_part_of_a_cells_identity(session: Session) -> None:
    before = set(session.plan().cells)
    assert set(with_section(session, "slurm: {time: 9h, gpus: 1}\n").cells) == before


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("slurm: {tim: 1h}", "unknown key; did you mean 'time'?"),
        ("slurm: {mem: 32}", "32 has no unit: write 32GB or 32MB"),
        ("slurm: {time: 1d}", "not a clock time"),
        ("slurm: {overrides: [{mem: 1GB}]}", "the key 'where' is missing"),
    ],
)
def test_wrong_sections_name_the_line(session: Session, section: str, expected: str) -> None:
    line = len(session.suite.read_text().splitlines()) + 1
    with pytest.raises(SuiteError) as caught:
        with_section(session, section + "\n")
    assert expected in str(caught.value)
    assert f":{line}:" in str(caught.value)


def test_an_override_that_chooses_nothing_is_an_error(session: Session) -> None:
    plan = with_section(session, "slurm: {overrides: [{where: arm=nobody, mem: 1GB}]}\n")
    with pytest.raises(SuiteError, match="no cell of this suite matches"):
        merged(plan, SlurmSection(), SlurmSection())


def test_several_gpus_are_given_to_every_cell(plan: Plan) -> None:
    options = merged(plan, SlurmSection(gpus=2), SlurmSection())
    assert {settings.gpus for settings in options.settings.values()} == {2}


def test_wrong_options_name_the_option() -> None:
    with pytest.raises(SuiteError, match=r"^--signal-before: .*not a clock time"):
        from_command_line({"signal_before": "soon"})


def test_named_clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clusters.yaml"
    monkeypatch.setenv("SMC_BENCH_CLUSTERS", str(path))
    assert named_cluster(None) == SlurmSection()
    with pytest.raises(SuiteError, match="there is no file"):
        named_cluster("big")
    path.write_text("big: {partition: long, setup: module load x}\nbad: {partitoin: x}\n")
    assert named_cluster("big").partition == "long"
    assert named_cluster("big").setup == ("module load x",)
    assert named_cluster(None) == SlurmSection()
    with pytest.raises(SuiteError, match="no cluster 'bigg'; did you mean 'big'"):
        named_cluster("bigg")
    with pytest.raises(SuiteError, match=r"clusters.yaml:2: .*did you mean 'partition'"):
        named_cluster("bad")
    path.write_text("default: {partition: usual}\n")
    assert named_cluster(None).partition == "usual"
