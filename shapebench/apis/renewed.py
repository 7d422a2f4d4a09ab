"""Values that expire, such as tokens: renewed in the background, since a request that is due cannot wait for that."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

RETRY_S = 30.0


class Renewed(Generic[T]):
    """A value that is fetched at once, and again, in a thread, as soon as its use finds it too old.

    `fetch` returns it and for how many seconds it can be used without being renewed; it should be valid for longer.
    What it raises at first is raised here; later the old value is kept, and tried to be renewed again.
    """

    def __init__(self, fetch: Callable[[], tuple[T, float]]) -> None:
        self._fetch = fetch
        self._value, lasts_s = fetch()
        self._renew_at_s = time.monotonic() + lasts_s
        self._thread: threading.Thread | None = None

    def get(self) -> T:
        """Return the value as it is known now."""
        value = self._value
        if time.monotonic() > self._renew_at_s and not (self._thread and self._thread.is_alive()):
            self._thread = threading.Thread(target=self._renew, daemon=True)
            self._thread.start()
        return value

    def _renew(self) -> None:
        try:
            self._value, lasts_s = self._fetch()
        except Exception:  # noqa: BLE001 - whatever the network does, the old value may still be good
            lasts_s = RETRY_S
        self._renew_at_s = time.monotonic() + lasts_s
