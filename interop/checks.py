"""Checks by name. Whatever goes wrong fails its own check only, and the last line counts: `N passed, N failed`."""

import sys
import traceback

_checks = []


def check(name):
    def register(function):
        _checks.append((name, function))
        return function
    return register


def expect(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r:.300}, wanted {wanted!r:.300}")


def run_checks(context):
    """Runs each check with what `context()` gives to a `with` block. Returns the program's exit code."""
    failed = 0
    for name, function in _checks:
        try:
            with context() as given:
                function(given)
            print(f"ok      {name}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED  {name}", flush=True)
            traceback.print_exc(file=sys.stdout)
    print(f"{len(_checks) - failed} passed, {failed} failed")
    return 1 if failed else 0
