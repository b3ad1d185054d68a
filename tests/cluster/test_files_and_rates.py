"""A file's way through the running platform, and a rate that all workers keep."""

import csv
import io
from collections import Counter
from datetime import datetime

from tests.platform import Platform
from tests.waiting import eventually

ROWS = 300
LIMITED = 24


def people(count: int, *, run: str) -> bytes:
    lines = ["email,first_name"]
    lines += [f"{run}{n}@example.org,Person {n}" for n in range(count)]
    lines[10] = "nobody,Person 10"
    return "\n".join(lines).encode() + b"\n"


async def test_a_file_is_accepted_row_by_row_and_its_results_come_back(platform: Platform):
    client = await platform.client()
    content = {"email": {"subject": "Hi {{ first_name }}", "text": "Hello {{ first_name }}"}}
    assert (await client.call("PUT", "/templates/hello", content)).status == 201

    sent = await client.call(
        "POST",
        "/files?channel=email&template=hello&name=people.csv",
        raw=people(ROWS, run="file"),
        headers={"content-type": "text/csv"},
    )
    assert sent.status == 202, sent
    path = f"/files/{sent.body['id']}"

    async def all_delivered():
        file = (await client.call("GET", path)).body
        text = (await client.call("GET", f"{path}/results")).body
        rows = list(csv.DictReader(io.StringIO(text)))
        states = [row["state"] for row in rows]
        assert file["state"] == "done", file
        rejects = (await client.call("GET", f"{path}/rejects")).body
        assert states.count("delivered") == ROWS - 1, (Counter(states), rejects[:300])
        return states

    states = await eventually(all_delivered, within_s=90)
    assert states[9] == "rejected"
    rejects = (await client.call("GET", f"{path}/rejects")).body
    [reject] = csv.DictReader(io.StringIO(rejects))
    assert (reject["row"], reject["column"]) == ("10", "email")
    [message] = await platform.inbox("file5@example.org")
    assert message["subject"] == "Hi Person 5"


async def test_a_rate_is_kept_by_all_workers_together(platform: Platform):
    client = await platform.client()
    limited = {"campaign": "slow", "rate_per_s": 8.0}
    assert (await client.call("POST", "/delivery-configs", limited)).status == 201
    text = {"subject": "Hello", "text": "Hello"}
    items = [
        {
            "channel": "email",
            "campaign": "slow",
            "to": [{"email": f"slow{n}@example.org"}],
            "content": text,
        }
        for n in range(LIMITED)
    ]

    batch = (await client.call("POST", "/communications/batch", items)).body
    assert batch["accepted"] == LIMITED

    times = []
    for item in batch["items"]:
        body = await client.until(item["id"], "delivered", within_s=60)
        times.append(datetime.fromisoformat(body["recipients"][0]["delivered_at"]))
    times.sort()
    # Eight at once, then eight a second.
    assert (times[-1] - times[0]).total_seconds() >= (LIMITED - 8) / 8 - 0.5
