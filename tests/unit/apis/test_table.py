"""The table of APIs: each name that a spec may have has its entry."""

from dataclasses import replace
from typing import get_args

import orjson
import pytest

from shapebench.apis.request_body import request_writer
from shapebench.apis.table import APIS, ApiName
from shapebench.apis.target import Credentials, PlannedRequest, Target

TARGET = Target(url="http://h", model="m", api="chat", enforce_output_tokens=True)
PLANNED = PlannedRequest(index=0, warmup=False, prompt="Hi there", input_tokens=2, output_tokens=3)
COMMON = {"model": "m", "max_tokens": 3, "temperature": 0.0, "min_tokens": 3, "ignore_eos": True}
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
PROMPTS = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi there"}]}),
    "completions": ("/v1/completions", {"prompt": "Hi there"}),
}


def test_each_name_has_an_entry() -> None:
    assert get_args(ApiName) == tuple(APIS)


@pytest.mark.parametrize("api", PROMPTS)
def test_a_request_goes_to_its_path_with_its_prompt(api: str) -> None:
    path, prompt = PROMPTS[api]
    head, _, body = request_writer(replace(TARGET, api=api), Credentials())(PLANNED).partition(b"\r\n\r\n")
    assert head.startswith(f"POST {path} HTTP/1.1\r\n".encode())
    assert orjson.loads(body) == COMMON | STREAMED | prompt
    assert APIS[api].write_body(TARGET, "Hi there", 3, False) == COMMON | prompt
