"""InferenceX (InferenceMAX): a row for each configuration and concurrency, alone (`agg_….json`) or in a list.

How its words map to ours (utils/process_result.py, 2026): a row is a summary of its copy of vLLM's benchmark, whose raw
results are read as those of `vllm bench serve`.

- times are in seconds: `mean_ttft`, `mean_tpot`, `mean_itl`, `mean_e2el`. A chat's role may count as the first token.
- `intvty` is 1 / TPOT, and none of our metrics.
- throughput is for each GPU: ours is for all of them. Where prefill and decode have GPUs of their own, output tokens
  are those of each GPU that decodes.
- how many requests there were is not in the row, so percentiles and spread are withheld.
- `hw` is the machine; how many GPUs share the model, in what precision, sets configurations apart.
- rows of AgentX (traces of agents) have other numbers, and are not read.
"""

from collections.abc import Mapping

from shapebench.results.imports.bench_serving import a_level_each, holds, of_times
from shapebench.results.imports.files import Document
from shapebench.results.imports.json_model import Count, ImportFileError, JsonModel, Text, read_numbers, require
from shapebench.results.imports.json_model import Number as JsonNumber
from shapebench.results.imports.numbers import Number, Summarised, times, total
from shapebench.results.imports.tool import (
    UNKNOWN_MODEL,
    UNKNOWN_SERVER,
    UNKNOWN_WORKLOAD,
    Level,
    Origin,
    Tool,
    at_concurrency,
)

NAMES = {"hw", "conc", "framework", "precision", "infmax_model_prefix"}
DIFFERS = {
    "ttft_s": "a chat's role may count as the first token",
    "tpot_s": "counted from a first token that may be a chat's role",
    "inter_token_s": "between chunks, each counted once whatever tokens it has; a chat's role is one",
}
OF_SUMMARY = {"ttft_s": "ttft", "tpot_s": "tpot", "inter_token_s": "itl", "e2e_s": "e2el"}
RESULTS = ("mean_", "median_", "std_", "p9", "conc")  # how names of results begin


class Row(JsonModel):
    """One configuration at one concurrency."""

    hw: Text = None
    conc: Count = None
    model: Text = None
    framework: Text = None
    precision: Text = None
    spec_decoding: Text = None
    image: Text = None
    isl: Count = None
    osl: Count = None
    tp: Count = None
    pp: Count = None
    ep: Count = None
    pcp_size: Count = None
    dp_attention: object = None
    num_prefill_gpu: Count = None
    num_decode_gpu: Count = None
    output_tput_per_gpu: JsonNumber = None

    @property
    def decoding_gpus(self) -> int | None:
        """Number of GPUs that the output's throughput is divided by."""
        if self.num_decode_gpu or self.num_prefill_gpu:
            return self.num_decode_gpu or self.num_prefill_gpu
        return self.tp * (self.pp or 1) * (self.pcp_size or 1) if self.tp else None

    @property
    def variant(self) -> str:
        disaggregated = f"{self.num_prefill_gpu}+{self.num_decode_gpu} GPUs" if self.num_prefill_gpu else ""
        shared = f"tp{self.tp} pp{self.pp or 1} ep{self.ep or 1} dp_attention={self.dp_attention}"
        return f"{self.precision} {self.spec_decoding} {disaggregated or shared}"


def _level(document: Document, content: object) -> Level:
    assert isinstance(content, dict)
    row = Row.parse(content)
    if not any(name in content for name in ("mean_ttft", "mean_e2el")):
        raise ImportFileError("a row has no mean_ttft: rows of AgentX are not read")
    return Level(
        origin=Origin(
            model=row.model or UNKNOWN_MODEL,
            workload=f"{row.isl} in, {row.osl} out" if row.isl and row.osl else UNKNOWN_WORKLOAD,
            server=row.framework or UNKNOWN_SERVER,
            server_version=row.image,
            shape=row.hw,
            variant=row.variant,
        ),
        documents=(document,),
        concurrency=at_concurrency(require(row.conc, "conc")),
        completed=None,
        failed=None,
        numbers=_numbers(row, content),
        differs=DIFFERS,
        configuration=_configuration(content),
    )


def _numbers(row: Row, content: Mapping[str, object]) -> list[Number]:
    given = read_numbers(content)
    found = (
        of_times(ours, given, theirs, Summarised(None, differs=DIFFERS.get(ours)))
        for ours, theirs in OF_SUMMARY.items()
    )
    per_s = times(row.output_tput_per_gpu, row.decoding_gpus) if row.decoding_gpus else None
    return [
        *(n for numbers in found for n in numbers),
        *total("system_tokens_per_s", per_s),
    ]


def _configuration(content: Mapping[str, object]) -> Mapping[str, object]:
    return {
        name: value for name, value in content.items() if not name.startswith(RESULTS) and not name.endswith("per_gpu")
    }


TOOL = Tool(
    source="inferencex",
    label="InferenceX",
    kinds={"rows": holds(NAMES)},
    group_key=lambda document: document.path,
    read=a_level_each(_level),
)
