"""What fits, how fast at best, and for how much at least."""

from dataclasses import replace
from pathlib import Path

import pytest

from shapebench.sizing.estimate.bounds import Bound, Workload, numbers_on
from shapebench.sizing.estimate.cost import cost_per_million_output_tokens
from shapebench.sizing.estimate.estimating import Estimate, estimate
from shapebench.sizing.estimate.families import Served, model_from
from shapebench.sizing.estimate.fit import Serving
from shapebench.sizing.shapes import all_shapes, known_shape


def on(shape: str, model: str = "Llama-3.2-3B", workload: Workload | None = None, **serving: float) -> Estimate:
    asked = Serving(**serving)  # type: ignore[arg-type]
    return estimate(model_from(model), known_shape(shape), workload or Workload(), asked)


def loaded(found: Estimate) -> Bound:
    assert found.loaded
    return found.loaded


def test_forty_tokens_a_second_for_each_of_32_at_2_dollars_an_hour_are_43_cents_a_million() -> None:
    assert cost_per_million_output_tokens(2, 32 * 40) == pytest.approx(0.434, abs=0.0005)


def test_an_a10_reads_6_4_gb_of_weights_at_600_gb_a_second() -> None:
    found = on("VM.GPU.A10.1")
    assert found.single
    step_s = (2 * 3_212_749_824 + 250 * 114_688) / 600e9
    assert found.single.inter_token_s == pytest.approx(step_s)
    assert found.single.query_tokens_per_s == pytest.approx(1 / step_s, rel=1e-3)
    assert found.single.limited_by == "bandwidth"


def test_many_streams_share_one_reading_of_the_weights() -> None:
    found = on("VM.GPU.A10.1")
    step_s = (2 * 3_212_749_824 + 32 * 250 * 114_688) / 600e9
    assert loaded(found).system_tokens_per_s == pytest.approx(32 / step_s, rel=2e-3)
    assert loaded(found).query_tokens_per_s == pytest.approx(loaded(found).system_tokens_per_s / 32)


def test_long_prompts_are_limited_by_flops() -> None:
    found = on("VM.GPU.A10.1", workload=Workload(4000, 10, 32))
    assert loaded(found).limited_by == "FLOP/s"
    flops = model_from("Llama-3.2-3B").prefill_flops(4000)
    assert loaded(found).ttft_s == pytest.approx(flops / 125e12)


def test_a_short_prompt_takes_at_least_one_reading_of_the_weights() -> None:
    assert loaded(on("VM.GPU.A10.1", workload=Workload(10, 10, 1))).ttft_s == pytest.approx(6.4255e9 / 600e9, rel=1e-4)


def test_more_streams_are_never_faster_for_each_nor_slower_in_all() -> None:
    levels = [loaded(on("VM.GPU.A10.1", workload=Workload(concurrency=n))) for n in (1, 2, 8, 32, 128, 300)]
    assert sorted(levels, key=lambda level: -level.query_tokens_per_s) == levels
    assert sorted(levels, key=lambda level: level.system_tokens_per_s) == levels


def test_streams_that_do_not_fit_wait_and_add_nothing() -> None:
    fits = on("VM.GPU.A10.1").fit.sequences
    full, over = (loaded(on("VM.GPU.A10.1", workload=Workload(concurrency=n))) for n in (fits, 2 * fits))
    assert over.running == full.running == fits
    assert over.system_tokens_per_s == full.system_tokens_per_s
    assert over.query_tokens_per_s == full.query_tokens_per_s / 2


def test_what_is_left_of_the_memory_is_for_sequences_of_whole_blocks() -> None:
    found = on("VM.GPU.A10.1", reserve_bytes=1e9, gpu_memory_utilization=0.8)
    left = 22.06 * 2**30 * 0.8 - 1e9 - 2 * 3_212_749_824
    assert found.fit.cache_bytes == pytest.approx(left)
    assert found.fit.sequences == left // (19 * 16 * 114_688)


def test_gpus_divide_weights_and_cache_between_them() -> None:
    one, two = on("VM.GPU.A10.1").fit, on("VM.GPU.A10.2").fit
    assert two.tensor_parallel == 2
    assert two.weights_bytes == one.weights_bytes / 2
    assert two.sequences > 2 * one.sequences


def test_gpus_that_heads_do_not_divide_by_serve_copies() -> None:
    """Qwen2.5 7B has 28 heads."""
    found = on("BM.GPU.H100.8", "Qwen2.5-7B")
    assert (found.fit.tensor_parallel, found.fit.replicas) == (4, 2)
    one = on("BM.GPU.H100.8", "Qwen2.5-7B", Workload(concurrency=1))
    two = on("BM.GPU.H100.8", "Qwen2.5-7B", Workload(concurrency=2))
    assert loaded(two).system_tokens_per_s == pytest.approx(2 * loaded(one).system_tokens_per_s)


@pytest.mark.parametrize(
    ("shape", "model", "serving", "why_not"),
    [
        ("VM.GPU.A10.1", "Llama-3.1-70B", {}, "the weights need 141.1 GB on each GPU, and there is room for 19.5"),
        ("BM.GPU.H100.8", "Qwen2.5-7B", {"tensor_parallel": 8}, "its attention heads do not divide by 8"),
        ("VM.GPU.A10.2", "Llama-3.2-3B", {"tensor_parallel": 4}, "its 2 GPUs cannot be taken 4 at a time"),
        ("VM.GPU.A10.1", "Llama-3.2-3B", {"gpu_memory_utilization": 0.3485}, "no sequence of 300 tokens fits"),
    ],
)
def test_what_does_not_fit_says_why_and_has_no_speed(
    shape: str, model: str, serving: dict[str, float], why_not: str
) -> None:
    found = on(shape, model, **serving)
    assert not found.fit.fits
    assert found.fit.why_not
    assert why_not in found.fit.why_not
    assert (found.single, found.loaded, found.cost_per_million_output_tokens) == (None, None, None)


def test_a_sequence_longer_than_the_model_takes_does_not_fit() -> None:
    found = on("BM.GPU.H100.8", "gemma-2-9b", Workload(8000, 1000, 1))
    assert found.fit.why_not == "the model takes 8,192 tokens at most, not 9,000"


def test_eight_gpus_of_141_gb_hold_the_405b_and_eight_of_80_gb_do_not() -> None:
    fits = {shape.name for shape in all_shapes() if on(shape.name, "Llama-3.1-405B").fit.fits and not shape.on_cpu}
    assert {"BM.GPU.H200.8", "BM.GPU.B200.8", "BM.GPU.MI300X.8", "BM.GPU.MI355X.8"} <= fits
    assert not fits & {"BM.GPU.H100.8", "BM.GPU.A100-v2.8", "BM.GPU4.8"}


def test_fp8_weights_are_read_twice_as_fast_and_computed_twice_as_fast() -> None:
    shape, workload = known_shape("BM.GPU.H100.8"), Workload(4000, 10, 32)
    plain, fp8 = (
        estimate(model_from("Llama-3.1-8B", Served(quantization=method)), shape, workload, Serving())
        for method in (None, "fp8")
    )
    assert (plain.numbers, fp8.numbers) == ("bf16", "fp8")
    assert loaded(fp8).system_tokens_per_s / loaded(plain).system_tokens_per_s == pytest.approx(1979 / 989, rel=1e-3)


def test_a_gpu_without_fp8_computes_it_in_wider_numbers() -> None:
    assert numbers_on(known_shape("VM.GPU.A10.1"), "fp8") == "bf16"


def test_where_no_flops_are_known_there_is_no_bound() -> None:
    shape = replace(known_shape("VM.GPU.A10.1"), flops={})
    found = estimate(model_from("Llama-3.2-3B"), shape, Workload(), Serving())
    assert found.fit.fits
    assert found.loaded is None


def test_a_million_output_tokens_cost_at_least_the_price_over_the_best_speed() -> None:
    found = on("VM.GPU.A10.1")
    assert found.cost_per_million_output_tokens == pytest.approx(2 / 3600 / loaded(found).system_tokens_per_s * 1e6)


def test_where_no_price_is_known_there_is_no_cost() -> None:
    assert on("BM.Standard.E6.256").cost_per_million_output_tokens is None


@pytest.mark.parametrize(
    ("shape", "warning"),
    [
        ("VM.GPU2.1", "vLLM needs compute capability 7.0, and it has 6.0"),
        ("VM.GPU3.1", "it has no bfloat16; serve with --dtype half"),
        ("BM.Standard3.64", "it is not known to multiply bf16; fp32 is taken instead"),
        ("BM.Standard3.64", "A CPU's caches"),
        ("BM.GPU.B200.8", "its memory or bandwidth is not sure"),
    ],
)
def test_what_is_to_be_doubted_is_said(shape: str, warning: str) -> None:
    assert any(warning in said for said in on(shape).warnings)


def test_of_an_a10_nothing_is_doubted() -> None:
    assert on("VM.GPU.A10.1").warnings == ()


def test_a_catalogue_of_ones_own_is_estimated_as_well(own_folder: Path) -> None:
    (own_folder / "mine.yaml").write_text("shapes:\n  my-box: {gpu: A10, gpus: 1}\n")
    assert loaded(on("my-box")) == loaded(on("VM.GPU.A10.1"))
