"""Links to reports in a bucket: OCI's pre-authenticated requests."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import oci

from shapebench.publish.targets.oci.connection import Bucket, opened
from shapebench.publish.targets.oci.trouble import PAR_POLICY
from shapebench.runs.records import Link
from shapebench.spec.model import OciTarget

PAGE = "index.html"


def share(target: OciTarget, run_id: str, days: int) -> Link:
    """Let whoever has the link read all that was published of the run, and list nothing; raises StoreError.

    All of it, for the page leads on to pictures and to Great Expectations' pages; the database of all runs, which lies
    beside the runs' folders, is not among it.
    """
    with opened(target, denied=PAR_POLICY) as bucket:
        folder = bucket.object_name(run_id) + "/"
        details = oci.object_storage.models.CreatePreauthenticatedRequestDetails(
            name=f"shapebench {run_id}",
            access_type="AnyObjectRead",
            object_name=folder,
            bucket_listing_action="Deny",
            time_expires=datetime.now(UTC) + timedelta(days=days),
        )
        made = bucket.client.create_preauthenticated_request(*bucket.place, details).data
        return _link(bucket, run_id, made, folder + PAGE)


def _link(bucket: Bucket, run_id: str, made: Any, page: str) -> Link:
    address = made.full_path or bucket.endpoint + made.access_uri
    objects, slash, _ = address.partition("/o/")  # what follows may be the folder, or nothing
    return Link(
        run_id=run_id,
        link_id=made.id,
        name=made.name,
        place=bucket.url(page),
        created_at=made.time_created,
        expires_at=made.time_expires,
        url=f"{objects}{slash}{quote(page)}",
    )
