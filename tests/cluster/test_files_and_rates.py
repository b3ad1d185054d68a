"""A file's way through the running platform, and a rate that all workers keep."""

import asyncio
import csv
import io
from collections import Counter
from datetime import datetime

import asyncssh

from cdp.domain.file_arrival import ARRIVALS
from cdp.domain.ids import text_of
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


async def nobody_listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_a_file_that_is_dropped_by_sftp_is_sent_and_its_results_are_there(
    platform: Platform,
):
    client = await platform.client()
    content = {"email": {"subject": "Hi", "text": "Hello {{ first_name }}"}}
    assert (await client.call("PUT", "/templates/hello", content)).status == 201
    key = asyncssh.generate_private_key("ssh-ed25519")
    login = f"drop{client.key[-12:].lower().replace('_', 'x')}"
    account = {
        "keys": [key.export_public_key().decode().strip()],
        "channel": "email",
        "template": "hello",
    }
    made = await client.call("PUT", f"/sftp-accounts/{login}", account)
    assert made.status == 201, made

    async def connected():
        try:
            return await asyncssh.connect(
                "127.0.0.1",
                platform.cluster.settings.sftp_port,
                username=login,
                client_keys=[key],
                known_hosts=None,
                config=None,
            )
        except OSError as error:
            raise AssertionError(error) from error

    # The gateway starts with the first account.
    connection = await eventually(connected, within_s=60)
    async with connection, connection.start_sftp_client() as sftp:
        async with sftp.open("/inbox/people.csv.part", "wb") as file:
            await file.write(people(20, run="dropped"))
        await sftp.rename("/inbox/people.csv.part", "/inbox/people.csv")

        async def results():
            async with sftp.open("/results/people.csv.results.csv", "rb") as file:
                rows = list(csv.DictReader(io.StringIO((await file.read()).decode())))
            states = Counter(row["state"] for row in rows)
            assert states == {"delivered": 19, "rejected": 1}, states
            return states

        async def until_there():
            try:
                return await results()
            except asyncssh.SFTPError as error:
                raise AssertionError(error) from error

        await eventually(until_there, within_s=60)
    [message] = await platform.inbox("dropped7@example.org")
    assert message["subject"] == "Hi"

    # With the last account the gateway ends.
    gone = await client.call("DELETE", f"/sftp-accounts/{login}")
    assert gone.status == 204, gone
    port = platform.cluster.settings.sftp_port
    await eventually(lambda: nobody_listens(port), within_s=60)


async def test_a_file_that_others_put_into_object_storage_is_sent(platform: Platform):
    client = await platform.client()
    content = {"email": {"subject": "Hi", "text": "Hello"}}
    assert (await client.call("PUT", "/templates/hello", content)).status == 201
    clients = await platform.wiring.access_service().clients()
    [client_id] = [text_of(each.id) for each in clients if each.name == client.name]

    async def rows():
        yield b"email,channel,template\nbucket@example.org,email,hello\n"

    store = platform.wiring.object_store
    await store.put(f"{ARRIVALS}{client_id}/people.csv", rows(), size_max=1_000)

    async def done():
        files = (await client.call("GET", "/files")).body["items"]
        assert [(f["state"], f["source"]) for f in files] == [("done", "bucket")], files
        return files[0]

    async def nothing_lies_there():
        return await store.page(f"{ARRIVALS}{client_id}/", after=None, limit=1) == []

    # It is looked for every five seconds, and counts as whole after ten.
    file = await eventually(done, within_s=90)
    assert file["rows"] == {"read": 1, "accepted": 1, "rejected": 0}
    assert await eventually(nothing_lies_there, within_s=10)
    assert await eventually(lambda: platform.inbox("bucket@example.org"), within_s=30)
