"""A list of checks that runs to its end, says what failed, and closes with `N passed, N failed`."""

import sys
import time
import traceback


class Checks:
    def __init__(self, suite: str) -> None:
        self.suite = suite
        self.passed = 0
        self.failed = 0

    def run(self, name: str, check, *args) -> None:
        start = time.monotonic()
        try:
            check(*args)
        except Exception as error:  # a failed check is a result: the next one runs all the same
            self.failed += 1
            why = str(error) or type(error).__name__
            print(f"FAIL {self.suite}: {name}: {why}", flush=True)
            frames = [f for f in traceback.extract_tb(error.__traceback__) if f.name not in ("run", "equal", "true")]
            for frame in frames[-2:]:
                print(f"     {frame.filename}:{frame.lineno}: {frame.line}", flush=True)
        else:
            self.passed += 1
            print(f"ok   {self.suite}: {name} ({(time.monotonic() - start) * 1000:.0f} ms)", flush=True)

    def close(self) -> None:
        print(f"{self.suite}: {self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


def equal(got, wanted, what: str = "") -> None:
    if got != wanted:
        raise AssertionError(f"{what + ': ' if what else ''}got {got!r:.500}, wanted {wanted!r:.500}")


def true(condition, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def until(what: str, condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        true(time.monotonic() < end, f"not within {seconds} s: {what}")
        time.sleep(0.02)
