"""Links to reports in a bucket, as OCI pre-authenticated requests."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import oci

from shapebench.publish.targets.oci.connection import Bucket, open_bucket
from shapebench.publish.targets.oci.trouble import PAR_POLICY
from shapebench.runs.records import Link
from shapebench.spec.model import OciTarget

PAGE = "index.html"


def share(target: OciTarget, run_id: str, days: int) -> Link:
    """Create a link that can read all published files of a run, and list nothing; raises StoreError.

    It covers the whole folder, since the page links to pictures and to Great Expectations' pages. The database of all
    runs is outside that folder.
    """
    with open_bucket(target, denied=PAR_POLICY) as bucket:
        folder = bucket.object_name(run_id) + "/"
        details = oci.object_storage.models.CreatePreauthenticatedRequestDetails(
            name=f"shapebench {run_id}",
            access_type="AnyObjectRead",
            object_name=folder,
            bucket_listing_action="Deny",
            time_expires=datetime.now(UTC) + timedelta(days=days),
        )
        request = bucket.client.create_preauthenticated_request(*bucket.names, details).data
        return _link(bucket, run_id, request, folder + PAGE)


def _link(bucket: Bucket, run_id: str, request: Any, page: str) -> Link:
    address = request.full_path or bucket.endpoint + request.access_uri
    objects, slash, _ = address.partition("/o/")  # the rest may be the folder, or empty
    return Link(
        run_id=run_id,
        link_id=request.id,
        name=request.name,
        place=bucket.url(page),
        created_at=request.time_created,
        expires_at=request.time_expires,
        url=f"{objects}{slash}{quote(page)}",
    )
