"""`shapebench measure --api …` against a server that replays the documented stream of the API, signed and all."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shapebench.apis.table import APIS
from tests import oci_lookalike
from tests.aws_signatures import is_signed
from tests.in_process import InProcess
from tests.oci_lookalike import TENANCY, USER, fingerprint, new_key, write_config
from tests.recorded_server import Recorded, replaying

pytestmark = pytest.mark.slow

ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # those of AWS's test suite
VERTEX = "/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent"
# The stream, its path, the options, and the tokens of each answer.
RUNS: dict[str, tuple[str, str, list[str], int]] = {
    "responses": ("openai_responses_reasoning", "/v1/responses", [], 75),
    "messages": ("anthropic_messages_thinking", "/v1/messages", [], 112),
    "tgi": ("tgi_generate_stream", "/generate_stream", [], 10),
    "oci": ("oci_generic_reasoning", "/20231130/actions/chat", ["compartment=c"], 5),
    "vertex": ("vertex_stream_thoughts", VERTEX, ["project=p", "location=l"], 47),
    "sagemaker": ("sagemaker_chat", "/endpoints/m/invocations-response-stream", ["region=eu-central-1"], 4),
    "bedrock": ("bedrock_converse_stream", "/model/m/converse-stream", ["region=eu-central-1"], 20),
}
AUTH = {"vertex": "key", "tgi": "none"}  # no token of Google here


def measure(api: str, url: str, *options: str) -> dict[str, object]:
    environment = {"SHAPEBENCH_API_KEY": "k-e-y", "AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": SECRET}
    arguments = ["--requests", "4", "--concurrency", "2", "--no-calibrate", "--quiet", "--json"]
    auth = ["--auth", AUTH[api]] if api in AUTH else []
    given = [word for option in (*RUNS[api][2], *options) for word in ("--auth-option", option)]
    done = InProcess(environment).run("measure", "--url", url, "--model", "m", "--api", api, *auth, *given, *arguments)
    assert done.code == 0, done.stderr
    assert not any(secret in done.stdout + done.stderr for secret in ("k-e-y", SECRET))
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_all_apis_are_measured() -> None:
    assert set(APIS) == {"chat", "completions", *RUNS}


@pytest.mark.parametrize("api", RUNS)
def test_an_api_is_measured_from_the_command_line(api: str, tmp_path: Path) -> None:
    key = new_key()
    profile = [f"config_file={write_config(tmp_path, key)}"] if api == "oci" else []
    stream, path, _, output_tokens = RUNS[api]
    with replaying(stream, path) as recorded:
        result = measure(api, recorded.url, *profile)
    assert (result["completed"], result["failed"]) == (4, 0)
    assert mean(result, "output_tokens") == output_tokens
    assert mean(result, "time_to_first_answer_s") >= mean(result, "ttft_s") > 0
    if "reasoning" in stream or "thought" in stream or "thinking" in stream:
        assert mean(result, "reasoning_tokens") > 0
        assert mean(result, "time_to_first_answer_s") > mean(result, "ttft_s")
    if api in ("sagemaker", "bedrock"):
        assert all_signed_for_aws(recorded)
    if api == "oci":
        for request in recorded.requests:
            oci_lookalike.verify(request, {f"{TENANCY}/{USER}/{fingerprint(key)}": key.public_key()}, datetime.now(UTC))


def mean(result: dict[str, object], metric: str) -> float:
    stats = result[metric]
    assert isinstance(stats, dict)
    return float(stats["mean"])


def all_signed_for_aws(recorded: Recorded) -> bool:
    requests = recorded.requests
    return bool(requests) and all(is_signed(r.method, r.target, r.headers, r.body, SECRET) for r in requests)
