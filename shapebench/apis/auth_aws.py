"""Signatures of AWS's APIs (Signature Version 4), made by botocore."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from shapebench.apis.renewed import Renewed
from shapebench.apis.signing import AuthError, Signer, missing_extra
from shapebench.apis.target import Target

LOOK_AGAIN_S = 60.0  # botocore renews temporary credentials some minutes before they expire
HOST = re.compile(r"(?:bedrock-runtime|runtime\.sagemaker)(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws|api\.aws)")
CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, run `aws configure` or `aws sso login`, or name a profile in "
    "endpoint.auth_options."
)


def make_aws_signer(target: Target, service: str) -> Signer:
    """Make a signer with the credentials that AWS's tools find, or those of a profile."""
    try:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ImportError:
        raise missing_extra("aws", "aws") from None
    options = target.auth_options
    try:
        session = Session(profile=options.get("profile"))
        found, region = session.get_credentials(), _region(target, session.get_config_variable("region"))
    except BotoCoreError as error:
        raise AuthError(f"The AWS credentials cannot be used: {error}.", CREDENTIALS) from None
    if found is None:
        raise AuthError("There are no AWS credentials.", CREDENTIALS)
    service = options.get("service", service)
    credentials = Renewed(lambda: (found.get_frozen_credentials(), LOOK_AGAIN_S))

    def sign(method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        request = AWSRequest(method, url, headers, body)
        SigV4Auth(credentials.get(), service, region).add_auth(request)
        return {name: value for name, value in request.headers.items() if name not in headers}

    return sign


def _region(target: Target, configured: str | None) -> str:
    """Return the region that the spec names, else the address does, else AWS's configuration."""
    in_address = HOST.search(urlsplit(target.url).hostname or "")
    region = target.auth_options.get("region") or (in_address and in_address[1]) or configured
    if not region:
        raise AuthError(
            f"{target.url} does not tell the AWS region.", "Name it in endpoint.auth_options region, or in AWS_REGION."
        )
    return region
