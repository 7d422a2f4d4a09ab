"""A spec, a report to send, and the look-alike of OCI Object Storage to send it to."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import oci
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from shapebench.publish.targets.oci import connection
from shapebench.spec.model import Spec, parse
from tests.oci_lookalike import ObjectStorage, new_key, register, running, write_config

MakeSpec = Callable[..., Spec]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's own strategy, with waits of hundredths of a second between its attempts."""
    waits = {"retry_base_sleep_time_seconds": 0.01, "retry_max_wait_between_calls_seconds": 0.02}
    quick = oci.retry.RetryStrategyBuilder(**waits, decorrelated_jitter=0.01, max_attempts=3)
    monkeypatch.setattr(connection, "RETRY", quick.get_retry_strategy())


@pytest.fixture
def report(tmp_path: Path) -> Path:
    folder = tmp_path / "reports" / "r1"
    (folder / "plots").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>Möglich: 40 tokens/s</h1>", encoding="utf-8")
    (folder / "plots" / "query.svg").write_text("<svg/>", encoding="utf-8")
    (folder / "samples.parquet").write_bytes(bytes(range(256)) * 1000)
    return folder


@pytest.fixture
def make_spec(tmp_path: Path) -> MakeSpec:
    def make(**publish: Any) -> Spec:
        endpoint = {"url": "http://127.0.0.1:1", "model": "m"}
        return parse({"endpoint": endpoint, "data": tmp_path / "data", "publish": publish})

    return make


@pytest.fixture
def storage() -> Iterator[ObjectStorage]:
    with running() as storage:
        yield storage


@pytest.fixture(scope="session")
def key() -> RSAPrivateKey:
    """A throw-away key; making one takes a tenth of a second."""
    return new_key()


@pytest.fixture
def config_file(storage: ObjectStorage, key: RSAPrivateKey, tmp_path: Path) -> Path:
    """A config file whose key the look-alike knows."""
    register(storage, key)
    return write_config(tmp_path, key)


@pytest.fixture
def bucket_spec(storage: ObjectStorage, config_file: Path, make_spec: MakeSpec) -> MakeSpec:
    """Makes a spec that publishes to the look-alike's bucket; keyword arguments are fields of publish.oci."""

    def make(**fields: Any) -> Spec:
        target = {"bucket": "reports", "service_endpoint": storage.endpoint, "config_file": config_file}
        return make_spec(oci=target | fields)

    return make
