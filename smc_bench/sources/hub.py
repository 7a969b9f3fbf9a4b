"""Asking the Hugging Face Hub, and keeping the rows it gave.

Fetched splits are kept as ``<cache>/hub/<owner>/<name>/<commit>/<config>/<split>.parquet``; a file
there is complete, and never changes: its hash lies beside it and is checked when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smc_bench.errors import MissingDataError, SmcBenchError
from smc_bench.sources._files import replacing, scratch
from smc_bench.sources.pins import sha256_file
from smc_bench.sources.roots import Roots

_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_commit(revision: str) -> bool:
    """Tell a full commit from a branch or tag."""
    return _COMMIT.fullmatch(revision) is not None


@contextmanager
def asking(what: str, remedy: str, roots: Roots) -> Iterator[None]:
    """Turn whatever goes wrong while the Hub is asked into one clear error.

    Raises:
        MissingDataError: The network is off, or the block failed.
    """
    if roots.offline:
        raise MissingDataError(f"{what} must come from the Hub, but the network is off. {remedy}")
    try:
        yield
    except SmcBenchError:
        raise
    # What the Hub's libraries raise has no common base: OSError, ValueError, httpx's and their own.
    except Exception as error:
        if barred := _barred(error):
            raise MissingDataError(f"{what} could not be had from the Hub: {barred}") from error
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MissingDataError(
            f"{what} could not be had from the Hub: {type(error).__name__}: {said}. {remedy}"
        ) from error


def _barred(error: Exception) -> str | None:
    """What to do where the Hub has it, or may have it, but not for everyone."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    login = "log in with `hf auth login` (or set HF_TOKEN)"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, GatedRepoError):  # a kind of RepositoryNotFoundError
            return (
                "it is gated. Accept its licence on its page there (some owners then look at each "
                f"request), {login} with the same account, and run `smc-bench fetch` again"
            )
        if isinstance(cause, RepositoryNotFoundError):
            return (
                "there is no such repository, or it is private. See that owner/name is spelt as "
                f"on its page; for a private one {login}, and run `smc-bench fetch` again"
            )
        cause = cause.__cause__ or cause.__context__
    return None


def dataset_commit(repo: str, revision: str, roots: Roots, remedy: str) -> str:
    """Ask which commit a branch or tag of a data set is at.

    Raises:
        MissingDataError: There is no answer.
    """
    if is_commit(revision):
        return revision
    with asking(f"The commit of the data set {repo}@{revision}", remedy, roots):
        from huggingface_hub import HfApi

        commit = HfApi().dataset_info(repo, revision=revision).sha
        if not commit:
            raise MissingDataError(f"The Hub named no commit of {repo}@{revision}. {remedy}")
        return str(commit)


def rows_file(repo: str, commit: str, config: str, split: str, roots: Roots) -> Path:
    """Return where a fetched split is kept, whether or not it is there."""
    return _repo_folder(repo, roots) / commit / config / f"{split}.parquet"


def newest_commit(repo: str, config: str, split: str, roots: Roots) -> str | None:
    """Return the commit of the last fetched copy of a split, if there is one."""
    pattern = f"*/{config}/{split}.parquet"
    copies = [(p.stat().st_mtime_ns, p) for p in _repo_folder(repo, roots).glob(pattern)]
    return max(copies)[1].parts[-3] if copies else None


def fetch_rows(repo: str, commit: str, config: str, split: str, roots: Roots, remedy: str) -> Path:
    """Fetch a split at a commit into the cache, unless it is there already, and return its file.

    Raises:
        MissingDataError: It can't be had; names the repository, the commit and the cause.
    """
    path = rows_file(repo, commit, config, split, roots)
    if path.is_file():
        return path
    what = f"{split} of the data set {repo} (config {config}, commit {commit})"
    with asking(what, remedy, roots):
        from datasets import load_dataset

        # The library falls back to whatever version it has cached when the Hub fails half-way; a
        # private folder leaves it nothing to fall back to.
        with scratch(_repo_folder(repo, roots)) as prepared:
            rows: Any = load_dataset(
                repo, config, split=split, revision=commit, cache_dir=str(prepared)
            )
            with replacing(path) as temporary:
                rows.to_parquet(str(temporary))
                digest = sha256_file(temporary)
                with replacing(_hash_file(path)) as beside:
                    beside.write_text(digest + "\n", "utf-8")
    return path


def rows_hash(path: Path) -> str | None:
    """SHA-256 (hex) that a fetched split was kept with; None for those of before there was one."""
    try:
        return _hash_file(path).read_text("utf-8").strip()
    except FileNotFoundError:
        return None


def _hash_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _repo_folder(repo: str, roots: Roots) -> Path:
    return roots.cache.joinpath("hub", *repo.split("/"))
