"""Which metrics are better when they are lower, and which are percentages. No torch.

That is said by the tasks' specs; a name means the same in all of them (``spec_checks``).
"""

from __future__ import annotations

from smc_bench.tasks.specs import SPECS


def base_name(metric: str) -> str:
    """A metric's name without the suffix of its split, as far as a task here has it."""
    names = {name for spec in SPECS.values() for name in spec.metrics}
    if metric in names:
        return metric
    found = [name for name in names if metric.startswith(f"{name}_")]
    return max(found, key=len, default=metric)


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric (perplexity, say) is better."""
    name = base_name(metric)
    return any(name in spec.lower_is_better for spec in SPECS.values())


def in_percent(metric: str) -> bool:
    """Whether a metric is a percentage."""
    name = base_name(metric)
    return not any(name in spec.not_percent for spec in SPECS.values())


def in_words(metric: str, percent: str = " in %") -> str:
    """A metric with its unit and, where it is not the usual one, its direction."""
    lower = ", lower is better" if lower_is_better(metric) else ""
    return f"{metric}{percent if in_percent(metric) else ''}{lower}"
