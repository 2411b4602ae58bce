"""A limit on failed sign-ins, by account and by address."""

import threading
import time
from collections import deque

from passerby.service.refusals import Refusal

BY_ACCOUNT = 5  # failures from one address at one account
BY_ADDRESS = 20  # failures from one address at any account
WINDOW = 300.0  # seconds
_MOST_KEYS = 10_000


class Attempts:
    """Counts failures in a sliding window, in memory of this process.

    Account and address are counted together, not the account alone: otherwise anyone could lock
    an operator out by typing that operator's name.
    """

    def __init__(self) -> None:
        self._failures: dict[tuple[str, str], deque[float]] = {}
        self._lock = threading.Lock()

    def check(self, address: str, account: str) -> None:
        """Refuse the attempt when too many failed lately.

        Raises:
            Refusal: 429, with the seconds to wait.
        """
        with self._lock:
            for key, most in (((address, account), BY_ACCOUNT), ((address, ""), BY_ADDRESS)):
                failures = self._recent(key)
                if len(failures) >= most:
                    wait = int(failures[-most] + WINDOW - time.monotonic()) + 1
                    raise Refusal(
                        429,
                        "too_many_attempts",
                        "Too many failed attempts to sign in.",
                        f"Wait {wait} seconds, then try again.",
                        retry_after=wait,
                    )

    def failed(self, address: str, account: str) -> None:
        """Count one failure."""
        with self._lock:
            if len(self._failures) > _MOST_KEYS:
                self._failures = {k: v for k, v in self._failures.items() if self._recent(k)}
            for key in ((address, account), (address, "")):
                self._failures.setdefault(key, deque(maxlen=BY_ADDRESS)).append(time.monotonic())

    def succeeded(self, address: str, account: str) -> None:
        """Forget the failures of this account from this address."""
        with self._lock:
            self._failures.pop((address, account), None)

    def _recent(self, key: tuple[str, str]) -> deque[float]:
        failures = self._failures.get(key, deque())
        while failures and failures[0] < time.monotonic() - WINDOW:
            failures.popleft()
        return failures
