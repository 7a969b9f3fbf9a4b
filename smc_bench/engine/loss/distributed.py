"""Several processes that train one cell together: what is split, what is shared, what is agreed.

Every process holds the whole model. An optimizer step's batch is cut into numbered parts (micro-
batches), which the processes take in turn; gradients are weighed by rows and summed over all
processes before clipping, so that a step is that of one process with the same micro-batch, in the
same dropout noise, up to the order of a sum. Gradients are summed here and not by torch's
DistributedDataParallel, which takes the mean over processes: parts of unequal size, and processes
without a part, would each need a way around it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor, nn

from smc_bench.engine.loss.objective import Indices
from smc_bench.errors import AuditError, ModelError, RankLostError

_Item = TypeVar("_Item")

# A process may load, write a checkpoint or wait for a slow disk for so long before it counts as
# lost. Where the connection breaks, or a launcher watches, it is known at once.
TIMEOUT_SECONDS = 1800.0
_SIGN_SECONDS = 10.0
# Elements that are summed in one call: 32 MB of float32.
_BUCKET = 1 << 23


class Processes:
    """The processes of one cell as one of them sees them; by default it is alone."""

    def __init__(self, index: int = 0, count: int = 1, control: Any = None) -> None:
        """Made by :func:`join`.

        Args:
            index: This process, from 0; process 0 is the main one.
            count: How many there are.
            control: Group over which they agree, on the CPU.
        """
        self.index, self.count, self._control = index, count, control

    @property
    def main(self) -> bool:
        """Whether this process has the cell: attempt, checkpoints, record."""
        return self.index == 0

    def parts(
        self, indices: Indices, size: int, weight: Callable[[Indices], int] = len
    ) -> Iterator[tuple[int, Indices, float]]:
        """This process's parts of a batch: number, rows, share of all rows.

        A process without one takes the first with share 0, so that it has gradients to sum.

        Args:
            indices: Rows of the whole batch.
            size: Rows of a part; the last may have fewer.
            weight: How much rows count, where it is not how many they are.
        """
        whole = weight(indices)
        starts = list(range(0, len(indices), size))
        for number in range(self.index, len(starts), self.count):
            part = indices[starts[number] : starts[number] + size]
            yield number, part, weight(part) / whole
        if self.index >= len(starts):
            yield 0, indices[:size], 0.0

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum each parameter's gradient over all processes, in place."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            with _collective("sum the gradients"):
                dist.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    def sum(self, value: float) -> float:
        """Sum of a number over all processes, in float64."""
        return float(self._reduced(torch.tensor(value, dtype=torch.float64), dist.ReduceOp.SUM))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; all get the same answer."""
        return bool(self._reduced(torch.tensor(int(flag)), dist.ReduceOp.MAX))

    def _reduced(self, tensor: Tensor, operation: Any) -> Tensor:
        if self.count > 1:
            with _collective("agree"):
                dist.all_reduce(tensor, operation, group=self._control)
        return tensor

    def from_main(self, value: Any) -> Any:
        """The main process's value in every process.

        Args:
            value: What JSON can hold; the others' is not looked at.
        """
        if self.count == 1:
            return value
        text = json.dumps(value).encode() if self.main else b""
        length = torch.tensor(len(text))
        with _collective("hear from the main process"):
            dist.broadcast(length, 0, group=self._control)
            content = torch.zeros(int(length), dtype=torch.uint8)
            if self.main:
                content.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
            dist.broadcast(content, 0, group=self._control)
        return json.loads(bytes(content.tolist()))

    def in_turn(
        self,
        items: Iterable[_Item],
        work: Callable[[int, _Item], Sequence[Tensor]],
        like: Sequence[Tensor],
    ) -> Iterator[Sequence[Tensor]]:
        """Results of ``work`` in the order of ``items``, each made by one process and sent to all.

        Every process gets the bits that one process would have worked out alone.

        Args:
            items: The same in every process.
            work: Number and item to tensors.
            like: Shapes, types and device of what ``work`` returns.
        """
        if self.count == 1:
            yield from (work(number, item) for number, item in enumerate(items))
            return
        at, left = 0, iter(items)
        while some := list(islice(left, self.count)):
            mine: list[Tensor] = []
            if self.index < len(some):
                mine = [t.contiguous() for t in work(at + self.index, some[self.index])]
            for owner in range(len(some)):
                found = mine if owner == self.index else [torch.empty_like(t) for t in like]
                self._send(found, owner)
                yield found
            at += len(some)

    def copy_main(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with the main process's."""
        self._send(tensors, 0)

    def _send(self, tensors: Iterable[Tensor], owner: int) -> None:
        if self.count > 1:
            with _collective("share tensors"):
                for tensor in tensors:
                    dist.broadcast(tensor, owner)

    def check_same(self, tensors: Mapping[str, Tensor], when: str) -> None:
        """Make sure that all processes hold the same bits.

        Raises:
            AuditError: If they do not; they would then no longer train one model.
        """
        mine = torch.tensor([_checksum(tensor) for tensor in tensors.values()])
        least, most = mine.clone(), mine.clone()
        self._reduced(least, dist.ReduceOp.MIN)
        self._reduced(most, dist.ReduceOp.MAX)
        different = [
            n for n, same in zip(tensors, (least == most).tolist(), strict=True) if not same
        ]
        if different:
            raise AuditError(
                f"{when} the {self.count} processes hold different values of {different[0]} "
                f"({len(different)} tensors differ): run this cell with one process"
            )

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main process through first: what it fetches and makes, the others find.

        However long that takes, it gives a sign of life now and then.
        """
        if self.count == 1:
            yield
            return
        if not self.main:
            while not self.any(False):
                pass
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self._signs, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
        thread.join()
        self.any(True)

    def _signs(self, over: threading.Event) -> None:
        # A lost process is met again by the next thing that all do together.
        with suppress(RankLostError):
            while not over.wait(_SIGN_SECONDS):
                self.any(False)

    def leave(self) -> None:
        """Part: from here on each process is on its own."""
        if self.count > 1:
            dist.destroy_process_group()
            self.count = 1


ALONE = Processes()


def join(timeout: float = TIMEOUT_SECONDS) -> Processes:
    """Meet the other processes that the environment names (``RANK``, ``MASTER_ADDR`` and so on).

    NCCL on GPUs, gloo without; what is agreed on always goes over gloo, where a lost process is
    an error at once.

    Raises:
        ModelError: If there are fewer GPUs than processes on this machine.
        RankLostError: If the others do not come.
    """
    on_gpu = torch.cuda.is_available()
    here = int(os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("WORLD_SIZE") or 1)
    if on_gpu and torch.cuda.device_count() < here:
        raise ModelError(
            f"{here} processes need {here} GPUs, one each; {torch.cuda.device_count()} are visible"
        )
    limit = timedelta(seconds=timeout)
    with _collective("meet"):
        state = PartialState(cpu=not on_gpu, timeout=limit)
        control = dist.new_group(backend="gloo", timeout=limit) if on_gpu else None
    return Processes(state.process_index, state.num_processes, control)


@contextmanager
def _collective(what: str) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise RankLostError(
            f"another process of this cell was lost while they were to {what} ({reason})"
        ) from error


def _buckets(gradients: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors of one type in groups of about ``_BUCKET`` elements, in order."""
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        full = size + gradient.numel() > _BUCKET
        if bucket and (full or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.numel()
    if bucket:
        yield bucket


def _checksum(tensor: Tensor) -> int:
    """Sum of a tensor's bit patterns, which does not depend on any order."""
    if tensor.dtype == torch.bool:
        return int(tensor.sum())
    word = {2: torch.int16, 4: torch.int32, 8: torch.int64}.get(tensor.element_size(), torch.uint8)
    return int(tensor.detach().contiguous().view(word).sum(dtype=torch.int64))
