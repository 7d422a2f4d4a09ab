"""A look-alike of OCI Object Storage: a small HTTP server that verifies what a client signs, and can be told to fail.

It holds to the API's wire format for namespaces, buckets and objects, and to OCI's "Request Signatures"
(draft-cavage-http-signatures-08 with RSA-SHA256). Each request must sign `date`, `(request-target)` and `host`; one
with a body must sign `content-length`, `content-type` and `x-content-sha256` as well, save the upload of an object.
"""

import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

NAMESPACE = "lookalike"
TENANCY = "ocid1.tenancy.oc1..lookaliketenancy"
USER = "ocid1.user.oc1..lookalikeuser"
REGION = "eu-frankfurt-1"
CLOCK_SKEW = timedelta(minutes=5)
SIGNED_ALWAYS = {"date", "(request-target)", "host"}
SIGNED_WITH_BODY = {"content-length", "content-type", "x-content-sha256"}
MESSAGES = {
    "NotAuthenticated": "The required information to complete authentication was not provided or was incorrect.",
    "BucketNotFound": "Either the bucket does not exist in the namespace or you are not authorized to access it",
    "NamespaceNotFound": "The namespace does not exist, or you are not authorized to access it",
    "ObjectNotFound": "The object was not found in the bucket",
    "UnmatchedContentMD5": "The computed MD5 of the request body does not match the Content-MD5 header",
    "NotFound": "There is no such path here",
}


class RefusedError(Exception):
    """What the server answers instead of what was asked for."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Stored:
    """An object as the bucket holds it."""

    content: bytes
    content_type: str
    content_md5: str


@dataclass(frozen=True)
class Request:
    """What came in; `path` is decoded, `target` is as it was on the wire, header names are in small letters."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class ObjectStorage:
    """The state of the look-alike, which a test reads and sets."""

    endpoint: str = ""
    keys: dict[str, rsa.RSAPublicKey] = field(default_factory=dict)  # by key id: TENANCY/USER/FINGERPRINT, or ST$TOKEN
    buckets: dict[str, dict[str, Stored]] = field(default_factory=lambda: {"reports": {}})
    seen: list[Request] = field(default_factory=list)
    refusals: dict[str, deque[RefusedError]] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    ahead: timedelta = timedelta()  # how far its clock is ahead of ours

    def refuse(self, name: str, status: int, code: str, times: int = 1) -> None:
        """Answer the next uploads of the object with an error."""
        self.refusals[name] = deque([RefusedError(status, code)] * times)

    def damage(self, name: str) -> None:
        """Store the object with a byte too many, as a faulty disk or proxy might."""
        self.damaged.add(name)

    def uploads(self) -> list[str]:
        """The names of the objects that were sent, in order, as often as they were."""
        return [request.path.split("/o/", 1)[1] for request in self.seen if request.method == "PUT"]

    def answer(self, request: Request) -> Answer:
        self.seen.append(request)
        try:
            verify(request, self.keys, datetime.now(UTC) + self.ahead)
            return self._route(request)
        except RefusedError as refusal:
            error = {"code": refusal.code, "message": MESSAGES.get(refusal.code, refusal.code)}
            return _json(error, refusal.status)

    def _route(self, request: Request) -> Answer:
        for (method, pattern), respond in ROUTES.items():
            if method == request.method and (match := re.fullmatch(pattern, request.path)):
                return respond(self, request, *match.groups())
        raise RefusedError(404, "NotFound")

    def bucket(self, namespace: str, name: str) -> dict[str, Stored]:
        if namespace != NAMESPACE:
            raise RefusedError(404, "NamespaceNotFound")
        if name not in self.buckets:
            raise RefusedError(404, "BucketNotFound")
        return self.buckets[name]


def verify(request: Request, keys: dict[str, rsa.RSAPublicKey], now: datetime) -> None:
    """Check the signature with the public key; raises RefusedError(401) for whatever is wrong with it."""
    said = dict(re.findall(r'(\w+)="([^"]*)"', request.headers.get("authorization", "")))
    signed = said.get("headers", "").split()
    if not (_needed(request) <= set(signed) and said.get("keyId") in keys and _fresh(request, now) and _whole(request)):
        raise RefusedError(401, "NotAuthenticated")
    values = {**request.headers, "(request-target)": f"{request.method.lower()} {request.target}"}
    text = "\n".join(f"{name}: {values.get(name, '')}" for name in signed)
    try:
        keys[said["keyId"]].verify(b64decode(said["signature"]), text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise RefusedError(401, "NotAuthenticated") from None


def _needed(request: Request) -> set[str]:
    is_upload = request.method == "PUT" and "/o/" in request.path
    return SIGNED_ALWAYS | (SIGNED_WITH_BODY if request.body and not is_upload else set())


def _fresh(request: Request, now: datetime) -> bool:
    try:
        return abs(now - parsedate_to_datetime(request.headers.get("date", ""))) < CLOCK_SKEW
    except (ValueError, TypeError):  # no date, or one without a time zone
        return False


def _whole(request: Request) -> bool:
    """Is the body the one that the header says, where the header is there?"""
    digest = b64encode(hashlib.sha256(request.body).digest()).decode()
    return request.headers.get("x-content-sha256", digest) == digest


def _json(content: object, status: int = 200) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(content).encode())


def _md5(content: bytes) -> str:
    return b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def _namespace(_: ObjectStorage, __: Request) -> Answer:
    return _json(NAMESPACE)


def _bucket(storage: ObjectStorage, _: Request, namespace: str, bucket: str) -> Answer:
    storage.bucket(namespace, bucket)
    return _json({"namespace": namespace, "name": bucket, "compartmentId": TENANCY, "createdBy": USER, "etag": "1"})


def _list(storage: ObjectStorage, request: Request, namespace: str, bucket: str) -> Answer:
    names = sorted(storage.bucket(namespace, bucket))
    prefix = request.query.get("prefix", "")
    return _json({"objects": [{"name": name} for name in names if name.startswith(prefix)], "prefixes": []})


def _put(storage: ObjectStorage, request: Request, namespace: str, bucket: str, name: str) -> Answer:
    objects = storage.bucket(namespace, bucket)
    if storage.refusals.get(name):
        raise storage.refusals[name].popleft()
    if request.headers.get("content-md5", _md5(request.body)) != _md5(request.body):
        raise RefusedError(400, "UnmatchedContentMD5")
    content = request.body + b"!" * (name in storage.damaged)
    content_type = request.headers.get("content-type", "application/octet-stream")
    objects[name] = Stored(content, content_type, _md5(content))
    return Answer(200, {"opc-content-md5": _md5(content), "etag": str(uuid4())})


def _get(storage: ObjectStorage, _: Request, namespace: str, bucket: str, name: str) -> Answer:
    stored = storage.bucket(namespace, bucket).get(name)
    if stored is None:
        raise RefusedError(404, "ObjectNotFound")
    return Answer(200, {"content-type": stored.content_type, "content-md5": stored.content_md5}, stored.content)


_BUCKET = r"/n/([^/]+)/b/([^/]+)"
ROUTES: dict[tuple[str, str], Callable[..., Answer]] = {
    ("GET", r"/n/?"): _namespace,
    ("GET", _BUCKET): _bucket,
    ("HEAD", _BUCKET): _bucket,
    ("GET", f"{_BUCKET}/o/?"): _list,
    ("PUT", f"{_BUCKET}/o/(.+)"): _put,
    ("GET", f"{_BUCKET}/o/(.+)"): _get,
    ("HEAD", f"{_BUCKET}/o/(.+)"): _get,
}


def _handler(storage: ObjectStorage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            answer = storage.answer(Request(self.command, self.path, headers, body))
            self.send_response(answer.status)
            told = {"content-length": str(len(answer.body)), "opc-request-id": f"lookalike-{uuid4().hex[:8]}"}
            for name, value in {**told, **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else answer.body)

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server has it
            """Tests read `storage.seen` instead."""

    return Handler


@contextmanager
def running() -> Iterator[ObjectStorage]:
    """A look-alike on a free loopback port, with an empty bucket named `reports`."""
    storage = ObjectStorage()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(storage)) as server:
        server.daemon_threads = True
        storage.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield storage
        finally:
            server.shutdown()
            thread.join()


def fingerprint(key: rsa.RSAPrivateKey) -> str:
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.md5(der, usedforsecurity=False).digest().hex(":")


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def write_key(path: Path, key: rsa.RSAPrivateKey, passphrase: str | None = None) -> None:
    lock = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))


def write_config(folder: Path, key: rsa.RSAPrivateKey, **fields: str) -> Path:
    """An OCI config file with its key beside it; `fields` are added to the profile or replace what is in it."""
    write_key(folder / "key.pem", key, fields.get("pass_phrase"))
    profile = {"user": USER, "tenancy": TENANCY, "fingerprint": fingerprint(key), "region": REGION}
    profile |= {"key_file": str(folder / "key.pem"), **fields}
    lines = ["[DEFAULT]", *(f"{name}={value}" for name, value in profile.items())]
    (folder / "config").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "config"


def register(storage: ObjectStorage, key: rsa.RSAPrivateKey, key_id: str | None = None) -> None:
    """Make the key's public half known, as the console does for a user."""
    storage.keys[key_id or f"{TENANCY}/{USER}/{fingerprint(key)}"] = key.public_key()
