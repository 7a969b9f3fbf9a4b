"""Which GPUs may be used, from what NVIDIA's tools print; their texts are written down here."""

from __future__ import annotations

from pathlib import Path

import pytest

from smc_bench.dispatch import gpus
from smc_bench.dispatch.gpus import Gpu, chosen_ids
from smc_bench.dispatch.worker.command import visible_gpus

TWO = (
    "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-aaaa-bbbb-cccc-000000000000)\n"
    "GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-22222222-aaaa-bbbb-cccc-000000000000)\n"
)
MIXED = TWO.replace("1: NVIDIA H100 80GB HBM3", "1: NVIDIA A100-SXM4-40GB")
# NVIDIA's MIG user guide, "nvidia-smi -L".
SLICED = (
    "GPU 0: A100-SXM4-40GB (UUID: GPU-e86cb44c-6756-fd30-cd4a-1e6da3caf9b0)\n"
    "  MIG 3g.20gb     Device  0: (UUID: MIG-c7384736-a75d-5afc-978f-d2f1294409fd)\n"
    "  MIG 1g.5gb      Device  1: (UUID: MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d)\n"
    "GPU 1: A100-SXM4-40GB (UUID: GPU-66666666-6756-fd30-cd4a-1e6da3caf9b0)\n"
)


class Smi:
    """A stand-in for nvidia-smi on the path."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "nvidia-smi"

    def says(self, text: str, code: int = 0) -> None:
        self.path.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{text}END\nexit {code}\n")
        self.path.chmod(0o755)


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Smi:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return Smi(tmp_path)


def test_all_where_none_is_chosen(smi: Smi) -> None:
    assert visible_gpus() == ()
    smi.says(TWO)
    assert visible_gpus() == ("0", "1")
    assert gpus.card() == "NVIDIA H100 80GB HBM3"


def test_slices_take_the_place_of_their_gpu(smi: Smi) -> None:
    smi.says(SLICED)
    assert gpus.visible() == (
        Gpu("MIG-c7384736-a75d-5afc-978f-d2f1294409fd", "A100-SXM4-40GB MIG 3g.20gb"),
        Gpu("MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d", "A100-SXM4-40GB MIG 1g.5gb"),
        Gpu("GPU-66666666-6756-fd30-cd4a-1e6da3caf9b0", "A100-SXM4-40GB"),
    )
    assert gpus.card() is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("No devices were found\n", 6),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", 9),
        ("No devices were found\n", 0),
    ],
)
def test_an_error_message_is_no_gpu(smi: Smi, text: str, code: int) -> None:
    smi.says(text, code)
    assert visible_gpus() == ()
    assert gpus.driver() is None or code == 0


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),  # SLURM, where a job has no GPU
        ("0,1", ("0", "1")),
        ("0, 3", ("0", "3")),
        ("0,-1,1", ("0",)),  # CUDA C++ Programming Guide: only those before the invalid index
        ("GPU-1111,MIG-GPU-66/1/0", ("GPU-1111", "MIG-GPU-66/1/0")),
    ],
)
def test_a_choice_is_read_as_cuda_reads_it(value: str, ids: tuple[str, ...]) -> None:
    assert chosen_ids(value) == ids


def test_a_chosen_card_has_a_name_only_where_it_is_sure(
    smi: Smi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpus.visible() == (Gpu("1"),)  # nobody to ask
    assert gpus.card() is None
    smi.says(TWO)
    assert gpus.card() == "NVIDIA H100 80GB HBM3"
    smi.says(MIXED)
    assert gpus.card() is None  # CUDA's index 1 may be either
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-2222")
    assert gpus.card() == "NVIDIA A100-SXM4-40GB"
