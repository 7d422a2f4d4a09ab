"""Output of `estimate`, as text and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from shapebench.sizing.estimate.bounds import Bound, Workload
from shapebench.sizing.estimate.estimating import BEST, Estimate
from shapebench.sizing.estimate.fit import Serving
from shapebench.sizing.estimate.model import Model
from shapebench.sizing.shapes import amount


def estimate_object(
    model: Model, estimates: Sequence[Estimate], workload: Workload, serving: Serving
) -> dict[str, object]:
    """Return what `estimate --json` prints."""
    return {
        "model": {
            "name": model.name,
            "parameters": model.parameters,
            "active_parameters": model.active_parameters,
            "dtype": model.scheme.dtype,
            "weights": model.scheme.name,
            "weights_bytes": model.weights_bytes,
            "kv_cache_bytes_per_token": model.cache_bytes_per_token(),
            "kv_cache_bytes_per_sequence": model.cache_bytes(workload.tokens),
            "max_tokens": model.max_tokens,
            "warnings": model.warnings,
        },
        "workload": asdict(workload),
        "serving": asdict(serving),
        "shapes": [_shape_object(estimate) for estimate in estimates],
        "note": BEST,
    }


def _shape_object(estimate: Estimate) -> dict[str, object]:
    shape, fit = estimate.shape, estimate.fit
    return {
        "shape": shape.name,
        "cloud": shape.cloud,
        "processor": shape.processor,
        "count": shape.count,
        "fits": fit.fits,
        **asdict(fit),
        "numbers": estimate.numbers,
        "single": asdict(estimate.single) if estimate.single else None,
        "loaded": asdict(estimate.loaded) if estimate.loaded else None,
        "price": asdict(shape.price) if shape.price else None,
        "cost_per_million_output_tokens": estimate.cost_per_million_output_tokens,
        "warnings": estimate.warnings,
    }


def print_estimates(model: Model, estimates: Sequence[Estimate], workload: Workload, console: Console) -> None:
    """Print the model in a paragraph, then one shape in full, or several as a table."""
    for line in _introduction(model, workload):
        console.print(line)
    if len(estimates) == 1:
        _show_one(estimates[0], workload, console)
    else:
        _show_many(estimates, workload, console)
    for warning in dict.fromkeys(_warnings(model, estimates)):
        console.print(f"- {warning}")
    console.print(BEST)


def _introduction(model: Model, workload: Workload) -> Iterator[str]:
    some = model.active_parameters < model.parameters
    active = f" ({_billions(model.active_parameters)} for each token)" if some else ""
    weights = f"{model.scheme.name}: {_gb(model.weights_bytes)} of weights"
    yield f"{model.name}: {_billions(model.parameters)} parameters{active}, {weights}."
    each, sequence = model.cache_bytes_per_token() / 1e3, model.cache_bytes(workload.tokens) / 1e6
    yield (
        f"A sequence of {workload.input_tokens} + {workload.output_tokens} tokens keeps {sequence:,.1f} MB of KV "
        f"cache, {each:,.1f} kB for a token."
    )


def _warnings(model: Model, estimates: Sequence[Estimate]) -> Iterator[str]:
    yield from model.warnings
    for estimate in estimates:
        if estimate.fit.fits:
            yield from estimate.warnings


def _show_many(estimates: Sequence[Estimate], workload: Workload, console: Console) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    table.add_column("shape", no_wrap=True)
    table.add_column("it has", overflow="fold")
    for heading in _HEADINGS:
        no_wrap = heading == "limited\nby"
        table.add_column(heading.format(workload.concurrency), justify="right", overflow="fold", no_wrap=no_wrap)
    for estimate in estimates:
        if estimate.fit.fits:
            table.add_row(estimate.shape.name, estimate.shape.has, *_cells(estimate))
    if table.row_count:
        console.print(table)
    for estimate in estimates:
        if not estimate.fit.fits:
            console.print(f"Not on {estimate.shape.name}: {estimate.fit.why_not}.")


_HEADINGS = (
    "fit at\nonce",
    "each of\n{}, at most\ntok/s",
    "in all,\nat most\ntok/s",
    "TTFT, at\nleast\n(ms)",
    "limited\nby",
    "list\nprice,\nan hour",
    "of 1M\noutput\ntokens",
)


def _cells(estimate: Estimate) -> Iterator[str]:
    yield f"{estimate.fit.sequences:,}"
    if bound := estimate.loaded:
        yield f"{bound.query_tokens_per_s:,.1f}"
        yield f"{bound.system_tokens_per_s:,.0f}"
        yield _ms(bound.ttft_s)
        yield bound.limited_by
    else:
        yield from ("unknown",) * 4
    price, cost = estimate.shape.price, estimate.cost_per_million_output_tokens
    yield amount(price.per_hour, price.currency) if price else "unknown"
    yield f"{cost:.3f}" if cost is not None else "unknown"


def _show_one(estimate: Estimate, workload: Workload, console: Console) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, text in _lines(estimate, workload):
        table.add_row(name, text)
    console.print(table)


def _lines(estimate: Estimate, workload: Workload) -> Iterator[tuple[str, str]]:
    shape, fit = estimate.shape, estimate.fit
    each = "" if shape.on_cpu else " on each GPU"
    yield "shape", f"{shape.name}: {shape.has}, {_gb(shape.memory_bytes)} of memory{each}"
    if not fit.fits:
        yield "fits", f"no: {fit.why_not}"
        return
    copies = f"{fit.replicas} copies, each on" if fit.replicas > 1 else "one copy on"
    yield "fits", "yes" if shape.on_cpu else f"yes: {copies} {_gpus(fit.tensor_parallel)}"
    yield "memory", f"{_gb(fit.weights_bytes)} of weights and {_gb(fit.cache_bytes)} of KV cache{each}"
    yield "KV cache", f"{fit.cache_tokens:,} tokens, or {fit.sequences:,} sequences of {workload.tokens}"
    for bound in (estimate.single, estimate.loaded):
        if bound:
            yield f"{bound.concurrency} in flight", _in_words(bound)
    yield from _money(estimate, workload)


def _in_words(bound: Bound) -> str:
    waiting = f"; {bound.running} run at once" if bound.running < bound.concurrency else ""
    return (
        f"at most {bound.query_tokens_per_s:,.1f} tokens/s for each, {bound.system_tokens_per_s:,.0f} in all; "
        f"TTFT at least {_ms(bound.ttft_s)} ms; limited by {bound.limited_by}{waiting}"
    )


def _money(estimate: Estimate, workload: Workload) -> Iterator[tuple[str, str]]:
    price, cost = estimate.shape.price, estimate.cost_per_million_output_tokens
    if price is None:
        yield "list price", "not known"
        return
    dated = f", as of {price.as_of}" if price.as_of else ""
    yield "list price", f"{amount(price.per_hour, price.currency)} an hour: {price.how}; {price.sure}{dated}"
    if cost is not None:
        yield (
            "output tokens",
            f"a million at {cost:.3f} {price.currency} or more, with {workload.concurrency} in flight",
        )


def _gpus(count: int) -> str:
    return "one GPU" if count == 1 else f"{count} GPUs"


def _billions(count: int) -> str:
    return f"{count / 1e9:.2f} billion" if count >= 1e9 else f"{count / 1e6:.1f} million"


def _gb(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:,.1f} GB"


def _ms(time_s: float) -> str:
    return f"{time_s * 1e3:,.2g}" if time_s < 0.1 else f"{time_s * 1e3:,.0f}"
