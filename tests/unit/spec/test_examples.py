"""The examples are specs, and their requests are what their APIs take."""

from pathlib import Path
from typing import Any

import pytest

from shapebench.apis.request_body import build_body, request_url
from shapebench.probe.client import target
from shapebench.spec.model import parse, read

EXAMPLES = Path(__file__).parents[3] / "examples"
URLS = {
    "hosted/openai-responses.yaml": "https://api.openai.com/v1/responses",
    "hosted/anthropic-messages.yaml": "https://api.anthropic.com/v1/messages",
    "hosted/tgi.yaml": "http://127.0.0.1:8080/generate_stream",
    "hosted/oci-generative-ai.yaml": (
        "https://inference.generativeai.eu-frankfurt-1.oci.oraclecloud.com/20231130/actions/chat"
    ),
    "hosted/oci-openai.yaml": (
        "https://inference.generativeai.eu-frankfurt-1.oci.oraclecloud.com/openai/v1/chat/completions"
    ),
    "hosted/vertex-gemini.yaml": (
        "https://europe-west4-aiplatform.googleapis.com/v1/projects/my-project/locations/europe-west4/publishers/google/"
        "models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    ),
    "hosted/vertex-openai.yaml": (
        "https://europe-west4-aiplatform.googleapis.com/v1/projects/my-project/locations/europe-west4/endpoints/openapi/"
        "chat/completions"
    ),
    "hosted/sagemaker.yaml": (
        "https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/my-endpoint/invocations-response-stream"
    ),
    "hosted/bedrock.yaml": (
        "https://bedrock-runtime.eu-central-1.amazonaws.com/model/eu.meta.llama3-2-3b-instruct-v1%3A0/converse-stream"
    ),
    "structured.yaml": "http://127.0.0.1:8000/v1/chat/completions",
}


@pytest.mark.parametrize("name", URLS)
def test_an_example_goes_to_the_address_of_its_api(name: str) -> None:
    spec = parse(read(EXAMPLES / name))
    assert request_url(target(spec.endpoint, spec.workload)) == URLS[name]


def test_all_hosted_examples_are_tried() -> None:
    assert {f"hosted/{file.name}" for file in (EXAMPLES / "hosted").iterdir()} == set(URLS) - {"structured.yaml"}


def body(name: str) -> dict[str, Any]:
    spec = parse(read(EXAMPLES / name))
    return build_body(target(spec.endpoint, spec.workload), "Hi there", 3, stream=True)


def test_tools_and_the_form_of_the_answer_are_sent() -> None:
    sent = body("structured.yaml")
    assert sent["tools"][0]["function"]["name"] == "get_weather"
    assert sent["response_format"]["json_schema"]["name"] == "city"
    assert sent["messages"] == [{"role": "user", "content": "Hi there"}]


def test_further_fields_are_merged_into_those_of_the_api() -> None:
    assert body("hosted/vertex-gemini.yaml")["generationConfig"] == {
        "maxOutputTokens": 3,
        "temperature": 0.0,
        "thinkingConfig": {"thinkingBudget": 0},
    }
