"""OCI's metadata service, and what stands in for it."""

import socket
from contextlib import closing
from typing import Any

import pytest

from shapebench.probe.oci_metadata import MetadataUnavailableError, instance
from shapebench.runs.host import Instance
from tests.route_server import serving, table

FLEX = {
    "availabilityDomain": "EMIr:PHX-AD-1",
    "canonicalRegionName": "us-phoenix-1",
    "compartmentId": "ocid1.tenancy.oc1..a-secret",
    "displayName": "my-instance",
    "image": "ocid1.image.oc1.phx.x",
    "metadata": {"ssh_authorized_keys": "ssh-rsa A"},
    "region": "phx",
    "shape": "VM.Standard.E5.Flex",
    "shapeConfig": {"memoryInGBs": 128.0, "ocpus": 16.0, "processorDescription": "AMD EPYC 9J14"},
}
ROUTE = "GET /opc/v2/instance/"


def asked(reply: Any, status: int = 200) -> Instance:
    with serving(table({ROUTE: (status, reply)})) as served:
        return instance(f"{served.url}/opc/v2/instance/")


def test_shape_region_and_image_are_read() -> None:
    found = asked(FLEX)
    assert (found.shape, found.region, found.image) == ("VM.Standard.E5.Flex", "us-phoenix-1", "ocid1.image.oc1.phx.x")


def test_a_flexible_shape_is_named_with_its_size() -> None:
    assert asked(FLEX).sized_shape == "VM.Standard.E5.Flex:16:128"


def test_a_fixed_shape_is_named_as_it_is() -> None:
    found = asked(
        {"shape": "VM.GPU.A10.1", "region": "fra", "shapeConfig": {"ocpus": 15, "memoryInGBs": 240, "gpus": 1}}
    )
    assert (found.sized_shape, found.region, found.gpus) == ("VM.GPU.A10.1", "fra", 1)


def test_nothing_that_names_the_owner_is_kept() -> None:
    assert "secret" not in repr(asked(FLEX))
    assert "my-instance" not in repr(asked(FLEX))


def test_it_is_asked_with_oracles_header() -> None:
    with serving(table({ROUTE: (200, FLEX)})) as served:
        instance(f"{served.url}/opc/v2/instance/")
    assert {name.lower(): value for name, value in served.headers[0].items()}["authorization"] == "Bearer Oracle"


def test_it_is_never_asked_by_way_of_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert asked(FLEX).shape == "VM.Standard.E5.Flex"


@pytest.mark.parametrize(
    ("reply", "status"),
    [({}, 404), ("<html>", 200), ([], 200), ({"region": "phx"}, 200), ({"shape": 7}, 200), ({"shape": ""}, 200)],
)
def test_what_answers_otherwise_is_no_oci_instance(reply: Any, status: int) -> None:
    with pytest.raises(MetadataUnavailableError, match=r"(?s)--shape"):
        asked(reply, status)


@pytest.mark.parametrize("size", [None, "large", {"ocpus": "many", "gpus": True}])
def test_a_size_that_makes_no_sense_is_not_known(size: Any) -> None:
    found = asked({"shape": "VM.Standard.E5.Flex", "shapeConfig": size})
    assert (found.ocpus, found.gpus, found.sized_shape) == (None, None, "VM.Standard.E5.Flex")


def test_where_nobody_answers_the_wait_is_short() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as silent,
        pytest.raises(MetadataUnavailableError, match="ReadTimeout"),
    ):
        instance(f"http://127.0.0.1:{silent.getsockname()[1]}/", timeout_s=0.05)
