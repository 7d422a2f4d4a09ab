"""A look-alike of OCI Object Storage: a small HTTP server that verifies what a client signs, and can be told to fail.

It holds to the API's wire format for namespaces, buckets, objects, multipart uploads and pre-authenticated requests,
and to OCI's "Request Signatures" (draft-cavage-http-signatures-08 with RSA-SHA256). Each request must sign `date`,
`(request-target)` and `host`; one with a body must sign `content-length`, `content-type` and `x-content-sha256` as
well, save the upload of an object or a part. What a pre-authenticated request opens needs none until it expires.
"""

import hashlib
import json
import re
import ssl
import sys
import time
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import jwt
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
KEPT_HEADERS = ("content-type", "cache-control", "content-disposition")
MESSAGES = {
    "NotAuthenticated": "The required information to complete authentication was not provided or was incorrect.",
    "BucketNotFound": "Either the bucket does not exist in the namespace or you are not authorized to access it",
    "NamespaceNotFound": "The namespace does not exist, or you are not authorized to access it",
    "ObjectNotFound": "The object was not found in the bucket",
    "UnmatchedContentMD5": "The computed MD5 of the request body does not match the Content-MD5 header",
    "UploadNotFound": "The upload was not found",
    "InvalidUploadPart": "One or more of the specified parts could not be found or do not match the ETag",
    "NotFound": "There is no such path here",
}


class RefusedError(Exception):
    """What the server answers instead of what was asked for."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(status, code)
        self.status = status
        self.code = code


class HangUpError(Exception):
    """The connection ends without an answer."""


@dataclass(frozen=True)
class Stored:
    """An object as the bucket holds it; `content_md5` of one that came in parts is that of the parts' checksums."""

    content: bytes
    content_type: str
    content_md5: str
    headers: dict[str, str] = field(default_factory=dict)  # cache-control, content-disposition, opc-meta-*

    @property
    def checksum_header(self) -> str:
        return "opc-multipart-md5" if "-" in self.content_md5 else "content-md5"


@dataclass
class Unfinished:
    """A multipart upload that has been neither committed nor aborted."""

    upload_id: str
    bucket: str
    object_name: str
    headers: dict[str, str]
    parts: dict[int, tuple[str, bytes]] = field(default_factory=dict)  # number -> ETag, content


@dataclass(frozen=True)
class Preauthenticated:
    """Who knows the token may read what begins with the prefix, or is the one object, until then."""

    id: str
    token: str
    bucket: str
    access_type: str
    object_name: str
    expires_at: datetime

    def opens(self, bucket: str, name: str) -> bool:
        named = name.startswith(self.object_name) if self.access_type == "AnyObjectRead" else name == self.object_name
        return bucket == self.bucket and named


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

    @property
    def json(self) -> Any:
        return json.loads(self.body)


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
    unfinished: dict[str, Unfinished] = field(default_factory=dict)
    preauthenticated: dict[str, Preauthenticated] = field(default_factory=dict)  # by token
    seen: list[Request] = field(default_factory=list)
    trouble: list[tuple[str, str, deque[Exception | float]]] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    ahead: timedelta = timedelta()  # how far its clock is ahead of ours
    page_size: int = 1000  # entries in one answer of a list
    lock: Lock = field(default_factory=Lock)

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def inject(self, method: str, path: str, what: Exception | float, times: int = 1) -> None:
        """Answer the next requests to a path (a pattern) with an error or not at all, or so many seconds late."""
        self.trouble.append((method, path, deque([what] * times)))

    def refuse(self, name: str, status: int, code: str, times: int = 1) -> None:
        """Answer the next uploads of the object with an error."""
        self.inject("PUT", f".*/o/{re.escape(name)}", RefusedError(status, code), times)

    def damage(self, name: str) -> None:
        """Store the object with a byte too many, as a faulty disk or proxy might."""
        self.damaged.add(name)

    def uploads(self) -> list[str]:
        """The names of the objects that were sent whole, in order, as often as they were."""
        return [r.path.split("/o/", 1)[1] for r in self.seen if r.method == "PUT" and "/o/" in r.path]

    def parts(self) -> list[int]:
        """The numbers of the parts that were sent, in order, as often as they were."""
        return [int(r.query["uploadPartNum"]) for r in self.seen if r.method == "PUT" and "/u/" in r.path]

    def answer(self, request: Request) -> Answer:
        with self.lock:
            self.seen.append(request)
        try:
            if request.path.startswith("/p/"):
                return _opened(self, request)
            verify(request, self.keys, self.now)
            self._meet_trouble(request)
            return self._route(request)
        except RefusedError as refusal:
            error = {"code": refusal.code, "message": MESSAGES.get(refusal.code, refusal.code)}
            return _json(error, refusal.status)

    def _meet_trouble(self, request: Request) -> None:
        for method, path, left in self.trouble:
            if left and method == request.method and re.fullmatch(path, request.path):
                what = left.popleft()
                if isinstance(what, Exception):
                    raise what
                time.sleep(what)

    def _route(self, request: Request) -> Answer:
        for (method, pattern), respond in ROUTES.items():
            if method == request.method and (match := re.fullmatch(pattern, request.path, re.DOTALL)):
                return respond(self, request, *match.groups())
        raise RefusedError(404, "NotFound")

    def bucket(self, namespace: str, name: str) -> dict[str, Stored]:
        if namespace != NAMESPACE:
            raise RefusedError(404, "NamespaceNotFound")
        if name not in self.buckets:
            raise RefusedError(404, "BucketNotFound")
        return self.buckets[name]

    def upload(self, request: Request, bucket: str, name: str) -> Unfinished:
        found = self.unfinished.get(request.query.get("uploadId", ""))
        if found is None or (found.bucket, found.object_name) != (bucket, name):
            raise RefusedError(404, "UploadNotFound")
        return found


def verify(request: Request, keys: dict[str, rsa.RSAPublicKey], now: datetime) -> None:
    """Check the signature with the public key; raises RefusedError(401) for whatever is wrong with it."""
    said = dict(re.findall(r'(\w+)="([^"]*)"', request.headers.get("authorization", "")))
    signed, key_id = said.get("headers", "").split(), said.get("keyId", "")
    known = key_id in keys and not _expired(key_id, now)
    if not (known and _needed(request) <= set(signed) and _fresh(request, now) and _whole(request)):
        raise RefusedError(401, "NotAuthenticated")
    values = {**request.headers, "(request-target)": f"{request.method.lower()} {request.target}"}
    text = "\n".join(f"{name}: {values.get(name, '')}" for name in signed)
    try:
        keys[key_id].verify(b64decode(said["signature"]), text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise RefusedError(401, "NotAuthenticated") from None


def _expired(key_id: str, now: datetime) -> bool:
    """Of a session's token; a user's key has no end."""
    if not key_id.startswith("ST$"):
        return False
    claims = jwt.decode(key_id.removeprefix("ST$"), options={"verify_signature": False})
    return bool(claims["exp"] <= now.timestamp())


def _needed(request: Request) -> set[str]:
    is_upload = request.method == "PUT" and ("/o/" in request.path or "/u/" in request.path)
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


def _json(content: object, status: int = 200, **headers: str) -> Answer:
    return Answer(status, {"content-type": "application/json", **headers}, json.dumps(content).encode())


def _digest(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _md5(content: bytes) -> str:
    return b64encode(_digest(content)).decode()


def _checked(request: Request) -> bytes:
    """The body; refused where it is not what its Content-MD5 says."""
    if request.headers.get("content-md5", _md5(request.body)) != _md5(request.body):
        raise RefusedError(400, "UnmatchedContentMD5")
    return request.body


def _paged(storage: ObjectStorage, request: Request, entries: list[Any]) -> Answer:
    begin = int(request.query.get("page", "0"))
    end = begin + storage.page_size
    return _json(entries[begin:end], **({"opc-next-page": str(end)} if end < len(entries) else {}))


# Namespaces, buckets, objects


def _namespace(_: ObjectStorage, __: Request) -> Answer:
    return _json(NAMESPACE)


def _bucket(storage: ObjectStorage, _: Request, namespace: str, bucket: str) -> Answer:
    storage.bucket(namespace, bucket)
    return _json({"namespace": namespace, "name": bucket, "compartmentId": TENANCY, "createdBy": USER, "etag": "1"})


def _list(storage: ObjectStorage, request: Request, namespace: str, bucket: str) -> Answer:
    objects, query = storage.bucket(namespace, bucket), request.query
    names = [n for n in sorted(objects) if n.startswith(query.get("prefix", "")) and n >= query.get("start", "")]
    page = [{"name": n, "size": len(objects[n].content), "md5": objects[n].content_md5} for n in names]
    fields = query.get("fields", "name").split(",")
    entries = [{name: entry[name] for name in fields} for entry in page[: storage.page_size]]
    return _json({"objects": entries, "prefixes": [], "nextStartWith": next(iter(names[storage.page_size :]), None)})


def _put(storage: ObjectStorage, request: Request, namespace: str, bucket: str, name: str) -> Answer:
    objects = storage.bucket(namespace, bucket)
    kept = {k: v for k, v in request.headers.items() if k in KEPT_HEADERS or k.startswith("opc-meta-")}
    objects[name] = _stored(storage, name, _checked(request), kept)
    return Answer(200, {"opc-content-md5": objects[name].content_md5, "etag": str(uuid4())})


def _stored(
    storage: ObjectStorage, name: str, content: bytes, headers: dict[str, str], checksum: str | None = None
) -> Stored:
    content += b"!" * (name in storage.damaged)
    content_type = headers.pop("content-type", "application/octet-stream")
    return Stored(content, content_type, checksum or _md5(content), headers)


def _get(storage: ObjectStorage, _: Request, namespace: str, bucket: str, name: str) -> Answer:
    stored = storage.bucket(namespace, bucket).get(name)
    if stored is None:
        raise RefusedError(404, "ObjectNotFound")
    described = {"content-type": stored.content_type, stored.checksum_header: stored.content_md5}
    return Answer(200, {**stored.headers, **described}, stored.content)


# Objects in parts


def _begin(storage: ObjectStorage, request: Request, namespace: str, bucket: str) -> Answer:
    storage.bucket(namespace, bucket)
    asked = request.json
    given = {
        "content-type": "contentType",
        "cache-control": "cacheControl",
        "content-disposition": "contentDisposition",
    }
    headers = {name: asked[key] for name, key in given.items() if asked.get(key)} | (asked.get("metadata") or {})
    made = Unfinished(str(uuid4()), bucket, asked["object"], headers)
    storage.unfinished[made.upload_id] = made
    return _json(_described(made))


def _described(upload: Unfinished) -> dict[str, str]:
    named = {"namespace": NAMESPACE, "bucket": upload.bucket, "object": upload.object_name}
    return {**named, "uploadId": upload.upload_id, "timeCreated": "2026-11-25T00:00:00Z"}


def _uploads(storage: ObjectStorage, request: Request, namespace: str, bucket: str) -> Answer:
    storage.bucket(namespace, bucket)
    return _paged(storage, request, [_described(u) for u in storage.unfinished.values() if u.bucket == bucket])


def _put_part(storage: ObjectStorage, request: Request, _: str, bucket: str, name: str) -> Answer:
    upload, content, etag = storage.upload(request, bucket, name), _checked(request), str(uuid4())
    upload.parts[int(request.query["uploadPartNum"])] = (etag, content)
    return Answer(200, {"opc-content-md5": _md5(content), "etag": etag})


def _parts(storage: ObjectStorage, request: Request, _: str, bucket: str, name: str) -> Answer:
    parts = sorted(storage.upload(request, bucket, name).parts.items())
    entries = [
        {"partNumber": number, "etag": etag, "md5": _md5(content), "size": len(content)}
        for number, (etag, content) in parts
    ]
    return _paged(storage, request, entries)


def _commit(storage: ObjectStorage, request: Request, namespace: str, bucket: str, name: str) -> Answer:
    upload = storage.upload(request, bucket, name)
    asked = [(part["partNum"], part["etag"]) for part in request.json["partsToCommit"]]
    if not asked or any(upload.parts.get(number, ("", b""))[0] != etag for number, etag in asked):
        raise RefusedError(400, "InvalidUploadPart")
    contents = [upload.parts[number][1] for number, _ in sorted(asked)]
    checksum = f"{_md5(b''.join(map(_digest, contents)))}-{len(contents)}"
    storage.bucket(namespace, bucket)[name] = _stored(storage, name, b"".join(contents), upload.headers, checksum)
    del storage.unfinished[upload.upload_id]
    return Answer(200, {"opc-multipart-md5": checksum, "etag": str(uuid4())})


def _abort(storage: ObjectStorage, request: Request, _: str, bucket: str, name: str) -> Answer:
    del storage.unfinished[storage.upload(request, bucket, name).upload_id]
    return Answer(204)


# Pre-authenticated requests


def _preauthenticate(storage: ObjectStorage, request: Request, namespace: str, bucket: str) -> Answer:
    storage.bucket(namespace, bucket)
    asked, token = request.json, uuid4().hex
    expires_at = datetime.fromisoformat(asked["timeExpires"])
    if asked["accessType"] not in ("ObjectRead", "AnyObjectRead") or expires_at <= storage.now:
        raise RefusedError(400, "InvalidParameter")
    made = Preauthenticated(uuid4().hex, token, bucket, asked["accessType"], asked["objectName"], expires_at)
    storage.preauthenticated[token] = made
    uri = f"/p/{token}/n/{NAMESPACE}/b/{bucket}/o/"
    known = {key: asked.get(key) for key in ("name", "accessType", "objectName", "timeExpires", "bucketListingAction")}
    places = {"accessUri": uri, "fullPath": storage.endpoint + uri}
    return _json({"id": made.id, "timeCreated": storage.now.isoformat(), **known, **places})


def _withdraw(storage: ObjectStorage, _: Request, namespace: str, bucket: str, par_id: str) -> Answer:
    storage.bucket(namespace, bucket)
    storage.preauthenticated = {t: par for t, par in storage.preauthenticated.items() if par.id != par_id}
    return Answer(204)


def _opened(storage: ObjectStorage, request: Request) -> Answer:
    """What a pre-authenticated request gives, to whoever asks."""
    match = re.fullmatch(r"/p/([^/]+)/n/([^/]+)/b/([^/]+)/o/(.+)", request.path)
    token, namespace, bucket, name = match.groups() if match else ("", "", "", "")
    par = storage.preauthenticated.get(token)
    if par is None or par.expires_at <= storage.now or not par.opens(bucket, name):
        raise RefusedError(404, "BucketNotFound")
    if request.method not in ("GET", "HEAD"):
        raise RefusedError(405, "MethodNotAllowed")
    return _get(storage, request, namespace, bucket, name)


_BUCKET = r"/n/([^/]+)/b/([^/]+)"
PREAUTHENTICATE = f"{_BUCKET}/p/?"
ROUTES: dict[tuple[str, str], Callable[..., Answer]] = {
    ("GET", r"/n/?"): _namespace,
    ("GET", _BUCKET): _bucket,
    ("HEAD", _BUCKET): _bucket,
    ("GET", f"{_BUCKET}/o/?"): _list,
    ("PUT", f"{_BUCKET}/o/(.+)"): _put,
    ("GET", f"{_BUCKET}/o/(.+)"): _get,
    ("HEAD", f"{_BUCKET}/o/(.+)"): _get,
    ("POST", f"{_BUCKET}/u/?"): _begin,
    ("GET", f"{_BUCKET}/u/?"): _uploads,
    ("PUT", f"{_BUCKET}/u/(.+)"): _put_part,
    ("GET", f"{_BUCKET}/u/(.+)"): _parts,
    ("POST", f"{_BUCKET}/u/(.+)"): _commit,
    ("DELETE", f"{_BUCKET}/u/(.+)"): _abort,
    ("POST", PREAUTHENTICATE): _preauthenticate,
    ("DELETE", f"{_BUCKET}/p/(.+)"): _withdraw,
}


def _handler(storage: ObjectStorage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            try:
                answer = storage.answer(Request(self.command, self.path, headers, body))
            except HangUpError:
                self.close_connection = True
                return
            self.send_response(answer.status)
            told = {"content-length": str(len(answer.body)), "opc-request-id": f"lookalike-{uuid4().hex[:8]}"}
            for name, value in {**told, **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else answer.body)

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - the names that http.server calls

        def date_time_string(self, timestamp: float | None = None) -> str:  # noqa: ARG002 - as http.server has it
            return format_datetime(storage.now, usegmt=True)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server has it
            """Tests read `storage.seen` instead."""

    return Handler


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone meanwhile is no trouble of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@contextmanager
def running(certificate: Path | None = None) -> Iterator[ObjectStorage]:
    """A look-alike on a free loopback port, with an empty bucket named `reports`; with a PEM file, it speaks TLS."""
    storage = ObjectStorage()
    with Server(("127.0.0.1", 0), _handler(storage)) as server:
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        storage.endpoint = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
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
