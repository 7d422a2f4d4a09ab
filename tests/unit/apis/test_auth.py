"""Authentication of requests: each signature is verified by other means than those that made it."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from shapebench.apis import auth, renewed
from shapebench.apis.auth import signer
from shapebench.apis.renewed import Renewed
from shapebench.apis.signing import AuthError
from shapebench.apis.target import AuthName, Credentials, Target
from tests import oci_lookalike
from tests.aws_signatures import is_signed
from tests.oci_lookalike import TENANCY, USER, fingerprint, new_key, write_config

URL = "https://inference.generativeai.eu-frankfurt-1.oci.oraclecloud.com/20231130/actions/chat"
HEADERS = {"Host": "inference.generativeai.eu-frankfurt-1.oci.oraclecloud.com", "Content-Type": "application/json"}
BODY = b'{"a":1}'
ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def target(name: AuthName, url: str = "https://h", **options: str) -> Target:
    return Target(url=url, model="m", api="chat", auth=name, auth_options=options)


def refusal(given: Target) -> AuthError:
    with pytest.raises(AuthError) as raised:
        signer(given, Credentials())
    return raised.value


# OCI


def oci_signed(given: Target, body: bytes = BODY) -> oci_lookalike.Request:
    added = signer(given, Credentials())("POST", URL, HEADERS, body)
    headers = {name.lower(): value for name, value in {**HEADERS, **added, "Content-Length": str(len(body))}.items()}
    return oci_lookalike.Request("POST", "/20231130/actions/chat", headers, body)


def test_ocis_signature_is_right(tmp_path: Path) -> None:
    key = new_key()
    config = write_config(tmp_path, key)
    request = oci_signed(target("oci", config_file=str(config)))
    keys = {f"{TENANCY}/{USER}/{fingerprint(key)}": key.public_key()}
    oci_lookalike.verify(request, keys, datetime.now(UTC))


def test_ocis_signature_is_of_this_body(tmp_path: Path) -> None:
    key = new_key()
    request = replace(oci_signed(target("oci", config_file=str(write_config(tmp_path, key)))), body=b'{"a":2}')
    keys = {f"{TENANCY}/{USER}/{fingerprint(key)}": key.public_key()}
    with pytest.raises(oci_lookalike.RefusedError):
        oci_lookalike.verify(request, keys, datetime.now(UTC))


def test_a_session_of_oci_signs_with_its_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("session.token.text\n")
    config = write_config(tmp_path, new_key(), security_token_file=str(tmp_path / "token"))
    request = oci_signed(target("oci", config_file=str(config)))
    assert 'keyId="ST$session.token.text"' in request.headers["authorization"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"config_file": "nowhere"}, "there is no such file"),
        ({"profile": "PROD"}, "there is no such profile"),
        ({"kind": "guess"}, "There is no kind guess of OCI signer."),
    ],
)
def test_what_keeps_oci_from_signing_is_said(options: dict[str, str], problem: str, tmp_path: Path) -> None:
    config = str(write_config(tmp_path, new_key()))
    assert problem in refusal(target("oci", **{"config_file": config, **options})).problem


def test_a_broken_key_is_not_quoted(tmp_path: Path) -> None:
    config = write_config(tmp_path, new_key())
    next(tmp_path.glob("*.pem")).write_text("-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----")
    error = refusal(target("oci", config_file=str(config)))
    assert "secret" not in str(error)
    assert "its key is not a private key" in error.problem


# AWS


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Credentials of AWS in the environment, and none of this machine's own."""
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


BEDROCK = Target(url="https://bedrock-runtime.eu-central-1.amazonaws.com", model="a.b-v1:0", api="bedrock", auth="aws")
CONVERSE = "/model/a.b-v1%3A0/converse-stream"


def aws_signed(given: Target, path: str = CONVERSE) -> dict[str, str]:
    """The headers of a signed request, in small letters."""
    host = {"Host": given.url.removeprefix("https://"), "Content-Type": "application/json"}
    added = signer(given, Credentials())("POST", given.url + path, host, BODY)
    return {name.lower(): value for name, value in {**host, **added}.items()}


def test_awss_signature_is_that_of_its_test_suite(aws: pytest.MonkeyPatch) -> None:
    """`post-vanilla` of aws-sig-v4-test-suite."""
    aws.setattr("botocore.auth.get_current_datetime", lambda *_: datetime(2015, 8, 30, 12, 36, tzinfo=UTC))
    sign = signer(target("aws", region="us-east-1", service="service"), Credentials())
    added = sign("POST", "https://example.amazonaws.com/", {"Host": "example.amazonaws.com"}, b"")
    assert added["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
    )


@pytest.mark.usefixtures("aws")
def test_awss_signature_is_right_for_a_model_with_a_colon() -> None:
    headers = aws_signed(BEDROCK)
    assert is_signed("POST", CONVERSE, headers, BODY, SECRET)
    assert "/eu-central-1/bedrock/aws4_request" in headers["authorization"]


@pytest.mark.usefixtures("aws")
def test_awss_signature_is_of_this_body() -> None:
    assert not is_signed("POST", CONVERSE, aws_signed(BEDROCK), b"{}", SECRET)


def test_a_session_token_is_sent_and_signed(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_SESSION_TOKEN", "session-token")
    headers = aws_signed(BEDROCK)
    assert headers["x-amz-security-token"] == "session-token"
    assert is_signed("POST", CONVERSE, headers, BODY, SECRET)


def test_a_profile_has_its_own_credentials_and_region(aws: pytest.MonkeyPatch, tmp_path: Path) -> None:
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "config").write_text(
        "[profile bench]\nregion = eu-west-1\naws_access_key_id = OTHER\naws_secret_access_key = s3\n"
    )
    headers = aws_signed(replace(BEDROCK, url="https://gateway", auth_options={"profile": "bench"}))
    assert "Credential=OTHER/" in headers["authorization"]
    assert "/eu-west-1/bedrock/" in headers["authorization"]


def test_what_keeps_aws_from_signing_is_said(aws: pytest.MonkeyPatch) -> None:
    assert "does not tell the AWS region" in refusal(replace(BEDROCK, url="https://gateway")).problem
    assert "nobody" in refusal(replace(BEDROCK, auth_options={"profile": "nobody"})).problem
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    assert "There are no AWS credentials" in refusal(BEDROCK).problem


# Google


@pytest.fixture
def token_server(httpserver: HTTPServer, tmp_path: Path) -> "TokenServer":
    return TokenServer(httpserver, tmp_path)


class TokenServer:
    """A token endpoint, and a service account that it knows."""

    def __init__(self, server: HTTPServer, folder: Path) -> None:
        self.key, self.issued, self.lasts_s, self.file = new_key(), 0, 3600, folder / "account.json"
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": "bench@p.iam.gserviceaccount.com",
            "token_uri": server.url_for("/token"),
        }
        self.file.write_bytes(orjson.dumps(account))
        self.server = server
        server.expect_request("/token", method="POST").respond_with_handler(self._issue)

    def _issue(self, request: Request) -> Response:
        assertion = parse_qs(request.get_data(as_text=True))["assertion"][0]
        audience = "https://oauth2.googleapis.com/token"
        claims = jwt.decode(
            assertion, self.key.public_key(), ["RS256"], audience=[audience, self.server.url_for("/token")]
        )
        assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        self.issued += 1
        content = {"access_token": f"ya29.{self.issued}", "expires_in": self.lasts_s, "token_type": "Bearer"}
        return Response(orjson.dumps(content), content_type="application/json")


def test_a_service_account_gets_a_token_of_google(token_server: TokenServer) -> None:
    sign = signer(target("google", service_account_file=str(token_server.file)), Credentials())
    assert sign("POST", URL, HEADERS, BODY) == {"Authorization": "Bearer ya29.1"}
    assert sign("POST", URL, HEADERS, BODY) == {"Authorization": "Bearer ya29.1"}
    assert token_server.issued == 1


def test_default_credentials_are_found_in_the_environment(
    token_server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(token_server.file))
    sign = signer(target("google", quota_project="billed"), Credentials())
    assert sign("POST", URL, HEADERS, BODY) == {"Authorization": "Bearer ya29.1", "x-goog-user-project": "billed"}


def test_a_token_is_renewed_before_it_expires(token_server: TokenServer) -> None:
    token_server.lasts_s = -1
    sign = signer(target("google", service_account_file=str(token_server.file)), Credentials())
    token_server.lasts_s = 3600
    assert eventually(lambda: sign("POST", URL, HEADERS, BODY)["Authorization"] == "Bearer ya29.2")


def test_what_keeps_google_from_giving_a_token_is_said(tmp_path: Path) -> None:
    assert "No such file" in refusal(target("google", service_account_file=str(tmp_path / "none.json"))).problem
    (tmp_path / "bad.json").write_text('{"private_key": "secret"}')
    error = refusal(target("google", service_account_file=str(tmp_path / "bad.json")))
    assert "There is no access token for Google Cloud" in error.problem
    assert "secret" not in str(error)


# All of them


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("google", "google.auth.exceptions", "vertex"), ("aws", "botocore.auth", "aws")]
)
def test_a_library_that_is_missing_is_named_with_its_extra(
    name: AuthName, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert f"pip install '.[{extra}]'" in refusal(target(name)).remedy


def test_signatures_are_made_again_before_a_clouds_five_minutes_are_over() -> None:
    assert {auth.max_age_s(target(name)) for name in ("oci", "google", "aws")} == {240}
    assert auth.max_age_s(target("key")) == float("inf")


def eventually(holds: Callable[[], bool]) -> bool:
    """Wait for a thread, for two seconds at most."""
    import time

    end_s = time.monotonic() + 2
    while not (held := holds()) and time.monotonic() < end_s:
        time.sleep(0.005)
    return held


def test_a_value_is_renewed_in_the_background() -> None:
    fetched: list[int] = []

    def fetch() -> tuple[int, float]:
        fetched.append(len(fetched))
        return fetched[-1], -1 if len(fetched) == 1 else 60

    value = Renewed(fetch)
    assert value.get() == 0
    assert eventually(lambda: value.get() == 1)
    assert fetched == [0, 1]


def test_an_old_value_is_kept_while_there_is_no_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewed, "RETRY_S", -1)
    tries: list[int] = []

    def fetch() -> tuple[str, float]:
        tries.append(0)
        if 1 < len(tries) < 4:
            raise OSError("no network")
        return f"value {len(tries)}", -1 if len(tries) == 1 else 60

    value = Renewed(fetch)
    assert value.get() == "value 1"
    assert eventually(lambda: value.get() == "value 4")
