"""The table of what is redacted and what is not: command lines, texts, and JSON-like data."""

import shlex
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapebench.support.redact import REDACTED, one_line, redact, redact_mapping, redact_value

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3"
HF, GITHUB, AWS = f"hf_{'a1B2' * 8}", f"ghp_{'a1B2' * 9}", f"AKIA{'ABCD' * 4}"

SECRETS = {
    # variables
    "HF_TOKEN=abc vllm serve m": "HF_TOKEN=… vllm serve m",
    "env HF_TOKEN='a b' AWS_ACCESS_KEY_ID=abc vllm": "env HF_TOKEN=… AWS_ACCESS_KEY_ID=… vllm",
    "AWS_SECRET_ACCESS_KEY=abc": "AWS_SECRET_ACCESS_KEY=…",
    "env 'HF_TOKEN=a b' vllm": "env 'HF_TOKEN=…' vllm",
    """env 'HF_TOKEN=a'"'"'b' vllm""": "env 'HF_TOKEN=…' vllm",
    "docker run -e HF_TOKEN=abc -eOPENAI_API_KEY=abc --env=PGPASSWORD=abc i": (
        "docker run -e HF_TOKEN=… -eOPENAI_API_KEY=… --env=PGPASSWORD=… i"
    ),
    "OCI_CLI_KEY_CONTENT=abc": "OCI_CLI_KEY_CONTENT=…",
    "HFTOKEN=abc SSHKEY=abc LICENSEKEY=abc vllm": "HFTOKEN=… SSHKEY=… LICENSEKEY=… vllm",
    # options
    "vllm serve m --api-key sk-1 sk-2 --port 80": "vllm serve m --api-key … --port 80",
    "vllm --api-key a b": "vllm --api-key …",
    "vllm --api-key=abc m": "vllm --api-key=… m",
    "vllm '--api-key=a b' m": "vllm '--api-key=…' m",
    "vllm --api-key 'a b' \"c d\" && echo m": "vllm --api-key … && echo m",
    "vllm --api-key a \\\n  b \\\n  --port 80": "vllm --api-key … \\\n  --port 80",
    "run --passwd abc": "run --passwd …",
    "run --credentials abc": "run --credentials …",
    "run --password abc --hf-token abc -token abc": "run --password … --hf-token … -token …",
    "run --token=abc": "run --token=…",
    "run --authtoken abc --sshkey=abc": "run --authtoken … --sshkey=…",
    "vllm --ssl-keyfile /k.pem --ssl-certfile /c.pem": "vllm --ssl-keyfile … --ssl-certfile /c.pem",
    "llama-server --ssl-key-file /k.pem --api-key-file /k": "llama-server --ssl-key-file … --api-key-file …",
    "['vllm', '--api-key', 'abc', '--port', '80']": "['vllm', '--api-key', … '--port', '80']",
    # headers
    "curl --header 'Authorization: Bearer abc' u": "curl --header 'Authorization: …' u",
    'curl -H "api-key: abc" u': 'curl -H "api-key: …" u',
    "curl '--header=X-Api-Key: abc' u": "curl '--header=X-Api-Key: …' u",
    "curl -H 'Cookie: a=b; c=d' u": "curl -H 'Cookie: …' u",
    "got Authorization: Basic YWJj from it": "got Authorization: … from it",
    "Ocp-Apim-Subscription-Key: abc": "Ocp-Apim-Subscription-Key: …",
    'Authorization: Signature version="1",keyId="ocid1/f",signature="abc"\nDate: x': "Authorization: …\nDate: x",
    "authorization: AWS4-HMAC-SHA256 Credential=A/b, SignedHeaders=host, Signature=abc\nhost: h": (
        "authorization: …\nhost: h"
    ),
    "POST\n/model\nx-amz-security-token:abc\nhost:h": "POST\n/model\nx-amz-security-token:…\nhost:h",
    "x-goog-api-key: abc, then x": "x-goog-api-key: … then x",
    "Signature=abc was not expected": "Signature=… was not expected",
    # URLs
    "http://user:pass@host:80/v1": "http://…@host:80/v1",
    "http://user:p@ss@host/v1": "http://…@host/v1",
    "http://user:p'ss@host and 'http://user:p?s#s@host'": "http://…@host and 'http://…@host'",
    "http://h/v1?key=abc&n=1": "http://h/v1?key=…&n=1",
    "'https://h/a?n=1&sig=abc' x": "'https://h/a?n=1&sig=…' x",
    "https://h/a?token=abc#x and X-Amz-Signature": "https://h/a?token=…#x and X-Amz-Signature",
    "https://h/a?X-Amz-Credential=abc&X-Amz-Signature=abc": "https://h/a?X-Amz-Credential=…&X-Amz-Signature=…",
    "https://objectstorage.r.oraclecloud.com/p/abcdefghijklmnopqrst/n/x/b/y": (
        "https://objectstorage.r.oraclecloud.com/p/…/n/x/b/y"
    ),
    # data within texts
    '{"api_key": "abc", "n": 1}': '{"api_key": "…", "n": 1}',
    "{'auth_token': 'a b', 'n': 1}": "{'auth_token': '…', 'n': 1}",
    r'"{\"password\": \"abc\"}"': r'"{\"password\": \"…\"}"',
    "password: abc": "password: …",
    'api_key: "a b"': "api_key: …",
    'api_key = "a b"': "api_key = …",
    "Namespace(api_key=['a', 'b'], port=80)": "Namespace(api_key=… port=80)",
    "{'api_key': ['a', 'b'], 'port': 80}": "{'api_key': '…', 'port': 80}",
    '{"credentials": {"user": "a", "pass": "b"}, "n": 1}': '{"credentials": "…", "n": 1}',
    "APITOKEN=abc run --accesskey abc": "APITOKEN=… run --accesskey …",
    # shapes
    "Bearer xyz": "Bearer …",
    f"no such key: {HF}": "no such key: …",
    "Incorrect API key provided: sk-abc123def.": "Incorrect API key provided: ….",
    f"{AWS} {GITHUB} {JWT}": "… … …",
    "invalid token ya29.a0AfB_by-C.d": "invalid token …",
    "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\n": "…\n",
}


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_in_texts_are_redacted(text: str) -> None:
    assert redact(text) == SECRETS[text]


@pytest.mark.parametrize("text", SECRETS)
def test_redacting_again_changes_nothing(text: str) -> None:
    assert redact(SECRETS[text]) == SECRETS[text]


@pytest.mark.parametrize(
    "text",
    [
        "vllm serve m --max-num-batched-tokens 8192 --tokenizer x --tokenizer-mode auto --port 8000",
        "vllm serve m --skip-tokenizer-init --return-tokens-as-token-ids --kv-cache-dtype fp8 --max-model-len=4096",
        "vllm serve m --tokenizer-revision main --enable-prompt-tokens-details --ssl-certfile /c.pem --hf-overrides {}",
        "env CUDA_VISIBLE_DEVICES=0 VLLM_USE_V1=1 TOKENIZERS_PARALLELISM=false PWD=/root python -m x",
        "num_key_value_heads=8, max_tokens=5, eos_token=</s>, prefix_cache_key=3",
        "http://127.0.0.1:8000/v1/chat/completions?n=1&max_tokens=5",
        "Invalid token: it is not in the vocabulary",
        "The server counts 5 tokens per chunk; a Bearer token is needed, the basic one.",
        "endpoint.api_key_block: the Prefect block wrong; api_key_env=SHAPEBENCH_API_KEY",
        "HTTP 500: the model's task-force risk-averse sk-learn hf_overrides",
        "2026-07-14 02:41:00 UTC, NVIDIA A10, driver 580.126.20",
        "['http://host:8000', 'somebody@host'] and {'url':'http://host','mail':'somebody@host'}",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


SECRET_NAMES = [
    "token",
    "auth_token",
    "bearer",
    "secret",
    "client_secret",
    "clientSecret",
    "password",
    "passwd",
    "credential",
    "credentials",
    "api_key",
    "apiKey",
    "authorization",
    "Authorization",
    "hf_token",
    "access_token",
    "refreshToken",
    "security_token",
    "x-api-key",
    "private_key",
    "key_file",
    "aws_access_key_id",
    "headers",
    "extra_headers",
    "api_keys",
    "auth_tokens",
    "hftoken",
    "masterkey",
]
OTHER_NAMES = [
    "input_tokens",
    "output_tokens",
    "max_tokens",
    "tokens_per_s",
    "tokenizer",
    "token_count",
    "tokens",
    "time_to_first_token",
    "eos_token",
    "max_token",
    "inter_token_latency",
    "time_per_output_token",
    "num_key_value_heads",
    "api_key_env",
    "api_key_block",
    "credentials_block",
    "monkey",
    "hotkey",
    "eostoken",
    "cachekey",
    "keyboard",
    "cache_key",
    "public_key",
    "auth",
    "model",
    "total_token_throughput",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_what_has_a_secrets_name_is_redacted_at_any_depth(name: str) -> None:
    content = {"a": [{"b": {name: "abc", "n": 1}}], name: ["abc", "d"]}
    assert redact_mapping(content) == {"a": [{"b": {name: REDACTED, "n": 1}}], name: REDACTED}


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_what_has_another_name_stays(name: str) -> None:
    content = {"a": [{name: "abc", "n": {name: 5}}]}
    assert redact_mapping(content) == content


def test_texts_and_command_lines_within_data_are_redacted() -> None:
    content = {"cmd": "x --api-key abc", "argv": ["x", "--api-key", "a", "b", "--port", "8"], "n": [1, "Bearer abc"]}
    redacted = {"cmd": "x --api-key …", "argv": ["x", "--api-key", "…", "…", "--port", "8"], "n": [1, "Bearer …"]}
    assert redact_mapping(content) == redacted


@pytest.mark.parametrize("value", [None, True, "", [], {}, 5])
def test_a_field_without_a_secret_in_it_stays(value: object) -> None:
    assert redact_mapping({"token": value}) == {"token": value}


WORDS = st.text(string.printable, max_size=40)
OPTIONS = st.sampled_from(["--api-key", "--hf-token", "--password", "--ssl-keyfile", "--client-secret"])
VARIABLES = st.sampled_from(["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "PGPASSWORD"])
SECRET = st.text(string.ascii_letters + string.punctuation + " ", min_size=3, max_size=20).map(lambda s: f"Zq{s}qZ")


@given(WORDS)
def test_redaction_is_idempotent_and_never_fails(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@given(st.lists(SECRET, min_size=1, max_size=3), OPTIONS)
def test_no_value_of_a_secret_option_is_left_in_a_command_line(secrets: list[str], option: str) -> None:
    line = redact(shlex.join(["vllm", "serve", "m", option, *secrets, "--port", "80"]))
    assert "Zq" not in line
    assert "qZ" not in line
    assert line.endswith(" --port 80")


@given(SECRET, VARIABLES)
def test_no_value_of_a_secret_variable_is_left_in_a_command_line(secret: str, name: str) -> None:
    line = redact(shlex.join(["env", f"{name}={secret}", "vllm", "serve"]))
    assert "Zq" not in line
    assert "qZ" not in line
    assert line.endswith(" vllm serve")


def test_a_known_secret_is_redacted_wherever_it_is() -> None:
    assert redact_value("no such key: opensesame", "opensesame") == "no such key: …"
    assert redact_value("no such key", None) == "no such key"


def test_a_line_is_redacted_before_it_is_cut() -> None:
    assert one_line("a\nb\x1b --api-key abcdef", 16) == "a b --api-key …"
    assert one_line("abcdef", 3) == "abc…"
