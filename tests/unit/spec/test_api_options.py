"""What an API needs is checked before a run."""

import pytest

from shapebench.spec.model import SpecError, parse


@pytest.mark.parametrize(
    ("endpoint", "complaint"),
    [
        ({"api": "oci"}, "api oci needs compartment"),
        ({"api": "vertex", "auth_options": {"project": "p"}}, "api vertex needs location"),
        ({"api": "sagemaker", "auth_options": {"container": "x"}}, "container is one of chat, completions, tgi"),
        (
            {"api": "oci", "auth_options": {"api_format": "X"}},
            "compartment; api_format is one of GENERIC, COHERE",
        ),
        ({"path": "/v1/{project}/chat", "auth": "google"}, "api chat needs project"),
        ({"auth_options": {"api_key": "s3cret"}}, "api_key would be written into results"),
    ],
)
def test_what_is_missing_or_wrong_is_said(endpoint: dict[str, object], complaint: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse({"endpoint": {"url": "https://h", "model": "m", **endpoint}})
    assert complaint in refused.value.problem
    assert "s3cret" not in str(refused.value)


def test_a_path_without_places_needs_none() -> None:
    gemini = {"api": "vertex", "auth": "key", "path": "/v1beta/models/{model}:streamGenerateContent"}
    assert parse({"endpoint": {"url": "https://h", "model": "m", "query": "alt=sse", **gemini}})
