"""Sends one email with nothing but the standard library, and waits until it is delivered.

KEY=cdp_live_… python examples/send_one.py you@example.org
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

API = os.environ.get("API", "http://127.0.0.1:8000/v1")
FINAL = ("delivered", "undeliverable", "cancelled", "expired", "suppressed")
WAIT_S = 30.0


def call(method: str, path: str, body: Any = None, **headers: str) -> Any:
    """Ask the API; what it refuses is told as it says it."""
    request = urllib.request.Request(  # noqa: S310 - the address is the reader's own
        API + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {os.environ['KEY']}",
            "Content-Type": "application/json",
            **headers,
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        problem = error.read().decode()
        sys.exit(f"{error.code}: {problem}")


def main() -> int:
    """Send, wait, tell."""
    if "KEY" not in os.environ:
        sys.exit("Set KEY to an API key: cdp key create CLIENT")
    to = sys.argv[1] if len(sys.argv) > 1 else "ada@example.org"
    message = {
        "channel": "email",
        "to": [{"email": to, "name": "Ada", "locale": "en"}],
        "content": {"subject": "Hello from Python", "text": "It works."},
        "priority": "high",
        "reference": "send_one.py",
    }
    # With the same key a repeat is answered the same, and nothing is sent twice.
    accepted = call("POST", "/communications", message, **{"Idempotency-Key": str(uuid.uuid4())})
    sys.stdout.write(f"Accepted: {accepted['id']}\n")

    give_up_at = time.monotonic() + WAIT_S
    while time.monotonic() < give_up_at:
        now = call("GET", f"/communications/{accepted['id']}")
        if now["status"] in FINAL:
            break
        time.sleep(0.2)
    for event in call("GET", f"/communications/{accepted['id']}/events")["items"]:
        sys.stdout.write(f"  {event['at']}  {event['event']}\n")
    return 0 if now["status"] == "delivered" else 1


if __name__ == "__main__":
    sys.exit(main())
