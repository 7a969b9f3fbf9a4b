from __future__ import annotations

from pathlib import Path

import pytest

from smc_bench.errors import SuiteError
from smc_bench.suite.claims import claims_beside, load_claims
from smc_bench.suite.load import load_suite

SUITES = Path(__file__).parents[3] / "suites"
TEXT = (SUITES / "claims.yaml").read_text()


def test_shipped_claims_name_their_source_and_arms_that_suites_have() -> None:
    claims = load_claims(SUITES / "claims.yaml")
    assert len(claims) >= 15
    for name, claim in claims.items():
        assert "arXiv" in claim.source or claim.mark == "ours", name
        path = SUITES / f"{claim.suite}.yaml"
        if path.exists():
            known = {*load_suite(path).suite.arms, "dense"}
            assert {claim.arm, *claim.against} <= known, name


def test_the_file_beside_a_suite_comes_first(tmp_path: Path) -> None:
    assert claims_beside(tmp_path / "suite.yaml") == SUITES / "claims.yaml"
    (tmp_path / "claims.yaml").write_text(TEXT)
    assert claims_beside(tmp_path / "suite.yaml") == tmp_path / "claims.yaml"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("direction: better", "direction: beter", "claims.embeddings-dense.direction: "),
        ("effect: 1.0", "effect: -1.0", "claims.embeddings-dense.effect: "),
        ("effect: 1.0", "efect: 1.0", "did you mean 'effect'?"),
        ("    mark: second-hand\n", "", "the key 'mark' is missing"),
        ("[commonsense_qa, winogrande, squad]", "[squat]", "did you mean 'squad'?"),
        ("{least: 0.5, most: 0.97}", "{least: 0.98, most: 0.97}", "is above most"),
        ("against: + embeddings", "against: encoder only", "compared with itself"),
        ("compare_at: [encoder_sparsity,", "compare_at: [encoder,", "compare_at"),
    ],
)
def test_errors_name_file_line_and_key(old: str, new: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(SuiteError) as caught:
        load_claims(path)
    assert str(caught.value).startswith(f"{path}:")
    line = int(str(caught.value).split(":")[1])
    assert 7 <= line <= 22
    assert expected in str(caught.value)
