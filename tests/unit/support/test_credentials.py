"""Secrets that others keep are at hand for as long as they are needed, and no longer."""

import pytest

from shapebench.probe.endpoint_errors import BadAddressError
from shapebench.probe.endpoint_secrets import api_key, request_credentials
from shapebench.spec.model import Endpoint, Spec, SpecError, parse
from shapebench.support import credentials

KEY = (credentials.ENDPOINT_KEY, "prod")
PROD = Endpoint(url="http://h", model="m", api_key_block="prod")


def test_a_secret_is_at_hand_while_it_is_open() -> None:
    with credentials.opened({KEY: {"api_key": "a"}}):
        assert credentials.secret(*KEY) == {"api_key": "a"}


def test_a_secret_that_nobody_opened_is_asked_for_by_name() -> None:
    with pytest.raises(credentials.SecretNotAvailableError, match=r"endpoint.api_key_block is the Prefect block prod"):
        credentials.secret(*KEY)


def test_a_secret_is_gone_when_it_is_closed() -> None:
    with credentials.opened({KEY: {"api_key": "a"}}):
        pass
    with pytest.raises(credentials.SecretNotAvailableError):
        credentials.secret(*KEY)


def test_opening_it_again_does_not_close_it_for_others() -> None:
    with credentials.opened({KEY: {"api_key": "a"}}):
        with credentials.opened({KEY: {"api_key": "a"}}):
            pass
        assert credentials.secret(*KEY)["api_key"] == "a"


def test_the_key_in_a_block_comes_before_the_one_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROD.api_key_env, "from the environment")
    with credentials.opened({KEY: {"api_key": "from the block"}}):
        assert api_key(PROD) == "from the block"


def test_a_key_that_no_header_can_hold_is_refused_without_repeating_it() -> None:
    with credentials.opened({KEY: {"api_key": "hunter2\nX: y"}}), pytest.raises(BadAddressError) as caught:
        api_key(PROD)
    assert ("the Prefect block prod" in str(caught.value), "hunter2" in str(caught.value)) == (True, False)


def with_bucket(**oci: object) -> Spec:
    endpoint = {"url": "http://h", "model": "m"}
    return parse({"endpoint": endpoint, "publish": {"oci": {"bucket": "b", **oci}}})


def test_a_spec_lists_the_blocks_that_it_names() -> None:
    spec = with_bucket(auth="block", credentials_block="ours").model_copy(update={"endpoint": PROD})
    assert spec.blocks == {"endpoint.api_key_block": "prod", "publish.oci.credentials_block": "ours"}


def test_a_spec_lists_the_blocks_of_its_headers() -> None:
    headers = {"api-key": "block:azure", "x-team": "TEAM"}
    spec = parse({"endpoint": {"url": "http://h", "model": "m", "headers": headers}})
    assert spec.blocks == {"endpoint.headers.api-key": "azure"}


def test_the_value_of_a_header_is_in_its_block() -> None:
    endpoint = Endpoint(url="http://h", model="m", headers={"api-key": "block:azure"})
    with credentials.opened({("endpoint.headers.api-key", "azure"): {"api_key": "geheim"}}):
        assert request_credentials(endpoint).headers == {"api-key": "geheim"}


def test_a_spec_without_blocks_lists_none() -> None:
    assert with_bucket().blocks == {}


@pytest.mark.parametrize("half", [{"auth": "block"}, {"credentials_block": "ours"}])
def test_a_block_that_is_not_used_and_a_use_without_block_are_refused(half: dict[str, str]) -> None:
    with pytest.raises(SpecError, match=r"publish.oci: auth: block and credentials_block need each other"):
        with_bucket(**half)


@pytest.mark.parametrize("name", ["Prod", "our key", "", "a/b"])
def test_a_name_that_no_block_can_have_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match=r"endpoint.api_key_block"):
        parse({"endpoint": {"url": "http://h", "model": "m", "api_key_block": name}})
