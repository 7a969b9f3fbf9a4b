"""Claims of papers as comparisons that a suite can decide: strict typed YAML like the suites."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from smc_bench.engine.pruning.latency import EngineName
from smc_bench.engine.recipe import Strict
from smc_bench.engine.strict import one_or_many
from smc_bench.errors import SuiteError
from smc_bench.suite.ablations import with_ablations
from smc_bench.suite.explain import explain
from smc_bench.suite.load import shipped_recipes
from smc_bench.suite.naming import DENSE_ARM
from smc_bench.suite.schema import SparsityOver
from smc_bench.suite.shipped import CLAIMS as FILE
from smc_bench.suite.yaml_file import YamlFile, nearest, read_yaml
from smc_bench.tasks.specs import SPECS

Direction = Literal["better", "no_worse", "equal"]


Names = Annotated[tuple[str, ...], one_or_many, Field(min_length=1)]


class SparsityRange(Strict):
    """Sparsities on the suite's axis that a claim is about, both ends included.

    Attributes:
        least: Lowest sparsity, 0..1.
        most: Highest sparsity, 0..1.
    """

    least: float = Field(ge=0.0, lt=1.0)
    most: float = Field(ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _in_order(self) -> SparsityRange:
        if self.least > self.most:
            raise ValueError(f"least ({self.least}) is above most ({self.most})")
        return self

    def holds(self, sparsity: float) -> bool:
        """Whether a sparsity lies in the range, but for rounding."""
        return self.least - 1e-9 <= sparsity <= self.most + 1e-9


class EqualSpeed(Strict):
    """Measured speed-ups at which arms are compared, in one engine at one shape.

    Attributes:
        engine: ``torch``, ``onnxruntime`` or ``openvino``.
        batch: Sequences of a pass.
        length: Tokens of each.
        speedups: How many times as fast as the dense model.
    """

    engine: EngineName
    batch: int = Field(ge=1)
    length: int = Field(ge=1)
    speedups: Annotated[tuple[Annotated[float, Field(gt=0.0)], ...], one_or_many] = Field(
        min_length=1
    )


class Claim(Strict):
    """One claim: an arm against others, at some sparsities.

    Attributes:
        says: The claim in a sentence.
        source: Where it is made.
        mark: Whether it was seen in the source, in a figure or in a text about it, or is ours.
        suite: Name of the suite that decides it.
        arm: The arm that is said to be better (or no worse, or equal).
        against: The arms it is compared with; all must hold. ``dense`` is the dense model.
        direction: ``better`` by ``effect`` or more, ``no_worse`` than ``effect`` below, ``equal``
            within ``effect``.
        effect: Smallest effect of interest, in points of the task's primary metric.
        effect_from: Whose choice that number is, and why.
        tasks: Tasks that the source speaks of; others decide it only "here".
        models: Models that the source speaks of.
        sparsity: Sparsities that it speaks of.
        compare_at: Where scopes differ: at what equal sparsity, each judged by itself.
        speed: Compare at equal measured speed instead, on each machine by itself; arms' cells at
            the claim's sparsities are what scores are interpolated between.
    """

    says: str = Field(min_length=10)
    source: str = Field(min_length=8)
    mark: Literal["verbatim", "digitised", "second-hand", "ours"]
    suite: str
    arm: str
    against: Names
    direction: Direction
    effect: float = Field(gt=0.0, le=100.0)
    effect_from: str = Field(min_length=4)
    tasks: Names
    models: Names
    sparsity: SparsityRange
    compare_at: tuple[SparsityOver, ...] = ()
    speed: EqualSpeed | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Claim:
        if self.speed is not None and self.compare_at:
            raise ValueError("compare_at and speed are two ways of comparing: write two claims")
        if self.speed is not None and DENSE_ARM in (self.arm, *self.against):
            raise ValueError("speed: the dense model has one speed only: compare arms")
        return self


class Claims(Strict):
    """A file of claims.

    Attributes:
        claims: Claims by name.
    """

    claims: dict[str, Claim] = Field(min_length=1)


def load_claims(path: Path) -> dict[str, Claim]:
    """Read a file of claims, by name.

    Raises:
        SuiteError: Naming file, line and key of what is wrong.
    """
    file = read_yaml(path)
    try:
        found = Claims.model_validate(file.data).claims
    except ValidationError as error:
        file.fail(*explain(error, Claims))
    for name, claim in found.items():
        _check(file, name, claim)
    return found


def claims_about(suite: Path, claims: Path | None = None) -> dict[str, Claim]:
    """The claims that the file beside a suite (else the shipped one) has, checked against it.

    Args:
        suite: The suite's file.
        claims: Another file of claims.

    Raises:
        SuiteError: A claim is wrong, or names an arm or a suite that there is not.
    """
    path = claims or claims_beside(suite)
    if path is None:
        return {}
    found = load_claims(path)
    # The shipped claims know nothing of a suite elsewhere that has the name of a shipped one.
    if claims is not None or path.parent.resolve() == suite.parent.resolve():
        _check_against(read_yaml(path), found, suite)
    return found


def _check_against(file: YamlFile, claims: dict[str, Claim], suite: Path) -> None:
    """Whether the suites that claims name are there, and this one's arms in any of its profiles."""
    data = with_ablations(read_yaml(suite)).data
    profiles = data.get("profiles") or {}
    sections = [data, *(part for part in profiles.values() if isinstance(part, dict))]
    arms = sorted({DENSE_ARM, *(str(arm) for part in sections for arm in part.get("arms") or ())})
    suites = {str(data.get("name")), *(path.stem for path in file.path.parent.glob("*.yaml"))}
    for name, claim in claims.items():
        if claim.suite not in suites and claim.suite not in _named_beside(file.path):
            message = f"unknown suite {claim.suite!r}{nearest(claim.suite, sorted(suites))}"
            file.fail(("claims", name, "suite"), message)
        for key, named in (("arm", (claim.arm,)), ("against", claim.against)):
            for arm in named:
                if claim.suite == data.get("name") and arm not in arms:
                    message = f"{suite} has no arm {arm!r} in any profile{nearest(arm, arms)}"
                    file.fail(("claims", name, key), message)


def _named_beside(claims: Path) -> set[str]:
    """Names of the suites in a folder, where they are not those of their files."""
    found = set()
    for path in claims.parent.glob("*.yaml"):
        with suppress(SuiteError):
            found.add(str(read_yaml(path).data.get("name")))
    return found


def claims_beside(suite: Path) -> Path | None:
    """The claims file beside a suite, else the shipped one."""
    folders = (suite.parent, *(folder.parent for folder in shipped_recipes()))
    return next((f / FILE for f in folders if (f / FILE).is_file()), None)


def _check(file: YamlFile, name: str, claim: Claim) -> None:
    for task in claim.tasks:
        if task not in SPECS:
            message = f"unknown task {task!r}{nearest(task, sorted(SPECS))}"
            file.fail(("claims", name, "tasks"), message)
    if claim.arm in claim.against:
        file.fail(("claims", name, "against"), f"{claim.arm!r} can't be compared with itself")
