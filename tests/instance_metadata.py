"""Look-alikes of an OCI instance's metadata service and of the service that gives it tokens, on one loopback port.

The first hands out the region, the instance's certificate and its key to whoever asks as the SDK does; the second takes
a request that this key has signed, and gives a token for the public key in it, which Object Storage knows from then on.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from werkzeug import Request, Response

from tests.oci_lookalike import REGION, TENANCY, ObjectStorage, new_key
from tests.route_server import RouteServer

SECRET = "whoever gives tokens keeps this one to itself"
TOKEN_LIFE = timedelta(minutes=20)


@dataclass
class Metadata:
    """What the services know, and were asked for."""

    storage: ObjectStorage
    url: str = ""
    key: rsa.RSAPrivateKey = field(default_factory=new_key)
    pages: dict[str, bytes] = field(default_factory=dict)
    tokens: int = 0  # given so far


def session_token(expires_in: timedelta = TOKEN_LIFE) -> str:
    """A token as `oci session authenticate` and the services of principals give them."""
    now = datetime.now(UTC)
    claims = {"sub": "ocid1.instance.oc1..lookalike", "iat": now, "exp": now + expires_in, "res_tenant": TENANCY}
    return jwt.encode(claims, SECRET, algorithm="HS256")


def _certificate(key: rsa.RSAPrivateKey) -> bytes:
    names = [(NameOID.COMMON_NAME, "instance"), (NameOID.ORGANIZATIONAL_UNIT_NAME, f"opc-tenant:{TENANCY}")]
    name = x509.Name([x509.NameAttribute(kind, value) for kind, value in names])
    now = datetime.now(UTC)
    unsigned = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    signed = unsigned.not_valid_before(now).not_valid_after(now + TOKEN_LIFE).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _is_signed(request: Request, key: rsa.RSAPrivateKey) -> bool:
    """Whether this key has signed it as the instance's; raises where it is another's."""
    said = dict(re.findall(r'(\w+)="([^"]*)"', request.headers.get("authorization", "")))
    if not said.get("keyId", "").startswith(f"{TENANCY}/fed-x509/"):
        return False
    values = {**{k.lower(): v for k, v in request.headers.items()}, "(request-target)": f"post {request.path}"}
    text = "\n".join(f"{name}: {values.get(name, '')}" for name in said["headers"].split()).encode()
    key.public_key().verify(b64decode(said["signature"]), text, padding.PKCS1v15(), hashes.SHA256())
    return True


@contextmanager
def serving(storage: ObjectStorage) -> Iterator[Metadata]:
    """Both services, giving tokens that the look-alike of Object Storage takes."""
    metadata = Metadata(storage)
    certificate = _certificate(metadata.key)
    metadata.pages = {
        "instance/region": REGION.encode(),
        "identity/cert.pem": certificate,
        "identity/key.pem": _pem(metadata.key),
        "identity/intermediate.pem": certificate,
    }

    def give_page(request: Request) -> Response:
        asked_well = request.headers.get("Authorization") == "Bearer Oracle"
        page = metadata.pages.get(request.path.removeprefix("/opc/v2/")) if asked_well else None
        return Response(page or b"", 404 if page is None else 200)

    def give_token(request: Request) -> Response:
        if not _is_signed(request, metadata.key):
            return Response(json.dumps({"code": "NotAuthenticated", "message": "who?"}), 401)
        token = session_token()
        public = serialization.load_der_public_key(b64decode(json.loads(request.data)["publicKey"]))
        assert isinstance(public, rsa.RSAPublicKey)
        metadata.storage.keys[f"ST${token}"] = public
        metadata.tokens += 1
        return Response(json.dumps({"token": token}))

    with RouteServer("127.0.0.1", 0, threaded=True) as server:
        server.expect_request(re.compile(".*"), "GET").respond_with_handler(give_page)
        server.expect_request(re.compile(".*"), "POST").respond_with_handler(give_token)
        metadata.url = server.url_for("").rstrip("/")
        yield metadata
