"""Shared by the tests of sources: empty roots, small files, and a fake Hub on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from smc_bench.sources.roots import Roots

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """A mirror and a cache that are empty; offline."""
    data = tmp_path / "data"
    data.mkdir()
    return Roots(data, tmp_path / "cache", offline=True)


def tiny_safetensors() -> bytes:
    """A valid safetensors file with one tensor of two float32 values."""
    header = {"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    head = json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + struct.pack("<2f", 1.0, -2.0)


@pytest.fixture
def model_files() -> dict[str, bytes]:
    """What a small model folder holds; README.md is not part of a model."""
    return {
        "config.json": b'{"model_type": "bert"}',
        "model.safetensors": tiny_safetensors(),
        "vocab.txt": b"[PAD]\n[UNK]\n",
        "tokenizer_config.json": b"{}",
        "README.md": b"# tiny\n",
    }


@pytest.fixture
def make_wheel(tmp_path: Path) -> Callable[..., Path]:
    """Write an invented wheel with the given members."""

    def make(members: dict[str, bytes], name: str = "invented-1.0-py3-none-any.whl") -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return path

    return make


@dataclass
class FakeRepo:
    """One commit of a repository; ``kind`` is models or datasets, as in the Hub's addresses.

    Of a gated one everybody sees the names of its files, nobody here their content.
    """

    kind: str
    name: str
    commit: str
    files: dict[str, bytes]
    gated: bool = False


@dataclass
class FakeHub:
    """The part of the Hub's HTTP interface that the client libraries really call."""

    repos: list[FakeRepo]
    log: list[str] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    def __enter__(self) -> FakeHub:
        hub = self

        class Handler(_Handler):
            fake = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    @property
    def address(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.server_port}"

    def find(self, kind: str, name: str, revision: str) -> FakeRepo | None:
        """Find a repository by revision: ``main`` is its last commit."""
        same = [r for r in self.repos if (r.kind, r.name) == (kind, name)]
        exact = [r for r in same if r.commit == revision]
        return exact[0] if exact else same[-1] if same and revision == "main" else None


class _Handler(BaseHTTPRequestHandler):
    fake: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        self.fake.log.append(f"{self.command} {self.path}")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = [unquote(p) for p in urlsplit(self.path).path.strip("/").split("/")]
        if parts[0] == "api":
            self._api(parts[1], "/".join(parts[2:4]), parts[4:], [])
        elif parts[0] == "datasets":
            self._file("datasets", "/".join(parts[1:3]), parts[3:])
        else:
            self._file("models", "/".join(parts[:2]), parts[2:])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        parts = [unquote(p) for p in urlsplit(self.path).path.strip("/").split("/")]
        self._api(parts[1], "/".join(parts[2:4]), parts[4:], parse_qs(body).get("paths", []))

    def _api(self, kind: str, name: str, rest: list[str], paths: list[str]) -> None:
        what, revision, folder = "revision", "main", ""
        if rest:
            what, revision, folder = rest[0], rest[1], "/".join(rest[2:])
        repo = self.fake.find(kind, name, revision)
        if repo is None:
            self._refuse("RepoNotFound")
        elif what == "revision":
            siblings = [{"rfilename": f} for f in repo.files]
            self._json({"id": name, "sha": repo.commit, "siblings": siblings, "tags": []})
        elif what == "tree":
            entries = _entries(repo)
            deep = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower()
            prefix = f"{folder}/" if folder else ""
            below = [e for e in entries if e["path"].startswith(prefix)]
            flat = [e for e in below if "/" not in e["path"][len(prefix) :]]
            if folder and not below:
                self._refuse("EntryNotFound")
            else:
                self._json(below if deep in ("true", "1") else flat)
        elif what == "paths-info":
            self._json([e for e in _entries(repo) if e["path"] in paths])
        else:
            self._refuse("EntryNotFound")

    def _file(self, kind: str, name: str, rest: list[str]) -> None:
        repo = self.fake.find(kind, name, rest[1]) if rest[:1] == ["resolve"] else None
        if repo is None:
            self._refuse("RepoNotFound")
            return
        if repo.gated:
            self._refuse("GatedRepo", status=403)
            return
        content = repo.files.get("/".join(rest[2:]))
        if content is None:
            self._refuse("EntryNotFound", repo.commit)
            return
        # The Hub's own: git's hash of a blob.
        etag = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        self._send(200, content, {"X-Repo-Commit": repo.commit, "ETag": f'"{etag}"'})

    def _refuse(self, code: str, commit: str | None = None, status: int = 404) -> None:
        extra = {"X-Error-Code": code, "X-Error-Message": code}
        if commit:
            extra["X-Repo-Commit"] = commit
        self._send(status, b"{}", extra)

    def _json(self, content: object) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _entries(repo: FakeRepo) -> list[dict[str, Any]]:
    folders = {str(p) for f in repo.files for p in list(Path(f).parents)[:-1]}
    listed: list[dict[str, Any]] = [
        {"type": "directory", "path": f, "oid": hashlib.sha1(f.encode()).hexdigest(), "size": 0}
        for f in sorted(folders)
    ]
    for name, content in sorted(repo.files.items()):
        oid = hashlib.sha1(content).hexdigest()
        listed.append({"type": "file", "path": name, "oid": oid, "size": len(content)})
    return listed


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run a script in a fresh process whose Hub is ``endpoint``; return the JSON it prints."""

    def run(script: str, endpoint: str, **environment: str) -> dict[str, Any]:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "SMC_BENCH_"))}
        env |= {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(tmp_path / "hf"),
            "SMC_BENCH_CACHE": str(tmp_path / "cache"),
            "PYTHONPATH": str(PROJECT),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
            "LOCK": str(tmp_path / "lock.json"),
            **environment,
        }
        # Threads of pyarrow may abort an interpreter that ends while they start: not our subject.
        ended = f"{script}\nsys.stdout.flush()\nos._exit(0)\n"
        done = subprocess.run(
            [sys.executable, "-c", ended], env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return answer

    return run


@pytest.fixture
def fake_hub() -> Iterator[Callable[..., FakeHub]]:
    """Start fake Hubs that end with the test."""
    started: list[FakeHub] = []

    def start(*repos: FakeRepo) -> FakeHub:
        started.append(FakeHub(list(repos)).__enter__())
        return started[-1]

    yield start
    for hub in started:
        hub.stop()


@pytest.fixture
def fake_repo() -> type[FakeRepo]:
    """The class of a fake repository."""
    return FakeRepo
