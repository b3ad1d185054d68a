"""How near does the batch endpoint come to raw inserts of the same documents?

The platform takes batches of 500 over HTTP, checks each item and answers when all is durable. The
peer is PyMongo in a loop: the very documents that the platform has just stored (request,
recipient, event, result; read back from it), inserted in batches of 500 with the same write
concern, order and indexes into another database of the same mongod. As many batches are in
flight on both sides; nobody takes from the queue meanwhile (the QueueShards stand still).
Prints: communications/s of each, all rounds, the ratio, and the CPU of each process.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.write_concern import WriteConcern

from benchmarks.findings import Finding, median
from benchmarks.platform import BATCH, BenchClient, PlatformUnderTest, batch_bodies
from benchmarks.stage import Benchmark, Stage, main
from benchmarks.tools import CpuSeconds, Row, number, post_many, print_comparison, print_cpu
from cdp.domain.ids import ID_BYTES
from cdp.storage.database import WTIMEOUT_MS

IN_FLIGHT: Final = 4
TAKEN: Final = 207
WITHIN_S: Final = 600.0
RAW: Final = "raw"
FIRST: Final = ("communication_requests", "recipients", "communication_logs")
LAST: Final = "delivery_results"
FLOOR_SHARE, AIM_SHARE, FLOOR_PER_S = 0.4, 0.6, 2_000.0

_Database = AsyncDatabase[dict[str, Any]]
_Documents = Mapping[str, Sequence[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Round:
    """What one side has done, once."""

    per_s: float
    spent: CpuSeconds


async def measure(stage: Stage) -> list[Finding]:
    """Alternate, print both, and judge."""
    rounds, count = (2, 10_000) if stage.quick else (4, 40_000)
    platform = stage.platform
    documents = await _documents(stage, count)
    mongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(platform.admin_uri)
    try:
        raw_database = mongo.get_database(
            RAW, write_concern=WriteConcern(w="majority", j=True, wtimeout=WTIMEOUT_MS)
        )
        ours, raw = [], []
        for _ in range(rounds):
            ours.append(await _platform_round(stage, count))
            raw.append(await _raw_round(stage, raw_database, documents))
        await mongo.drop_database(RAW)
    finally:
        await mongo.close()
    rates = {"platform": [each.per_s for each in ours], "raw": [each.per_s for each in raw]}
    print_comparison(
        f"Batches of {BATCH}, {IN_FLIGHT} in flight, durable",
        [Row(name="communications", unit="1/s", rounds=rates)],
        peer="raw",
    )
    spent = {"platform": ours[-1].spent, "raw": raw[-1].spent}
    print_cpu("The last round, a communication", spent, count)
    return [_finding(median(rates["platform"]), median(rates["raw"]))]


def _finding(rate: float, raw: float) -> Finding:
    share = rate / raw
    return Finding(
        benchmark="batch intake",
        result=f"{number(rate)}/s",
        peer=f"raw inserts {number(raw)}/s",
        ratio=share,
        floor="40 %, >= 2,000/s",
        aim="60 %",
        floor_met=share >= FLOOR_SHARE and rate >= FLOOR_PER_S,
        aim_met=share >= AIM_SHARE and rate >= FLOOR_PER_S,
    )


async def _platform_round(stage: Stage, count: int) -> Round:
    platform = stage.platform
    client = await stage.client("batch")
    with platform.intake_only():
        done = await post_batches(platform, client, list(batch_bodies(count)), count)
    await platform.idle(within_s=count / 100 + 60)
    return done


async def post_batches(
    platform: PlatformUnderTest, client: BenchClient, bodies: Sequence[bytes], count: int
) -> Round:
    """Post these batches, in which there are `count` items, and see each of them accepted."""
    meter = platform.meter({})
    before = meter.read()
    result = await post_many(
        platform.batch_url,
        bodies,
        connections=IN_FLIGHT,
        headers=client.headers,
        keep_answers=True,
        within_s=WITHIN_S,
    )
    spent = meter.read() - before
    result.require(TAKEN)
    accepted = sum(json.loads(answer)["accepted"] for answer in result.answers)
    assert accepted == count, f"{accepted} of {count} were accepted"
    return Round(count / result.seconds, spent)


async def _documents(stage: Stage, count: int) -> _Documents:
    """What the platform stores for so many, before anything becomes of it."""
    platform = stage.platform
    client = await stage.client("documents")
    with platform.intake_only():
        await post_batches(platform, client, list(batch_bodies(count)), count)
        found = {
            name: await platform.database[name].find({"client_id": client.id}).to_list()
            for name in (*FIRST, LAST)
        }
    await platform.idle(within_s=count / 100 + 60)
    assert {len(each) for each in found.values()} == {count}
    # In the order in which the requests were written; the log comes back in the order of ids.
    place = {request["_id"]: at for at, request in enumerate(found[FIRST[0]])}
    for each in found.values():
        each.sort(key=lambda document: place[document["_id"][:ID_BYTES]])
    return found


async def _raw_round(stage: Stage, database: _Database, documents: _Documents) -> Round:
    await _fresh(stage.platform, database)
    waiting = iter(_cut(documents))
    meter = stage.platform.meter({"load generator": stage.beside["load generator"]})
    before, started = meter.read(), time.perf_counter()
    await asyncio.gather(*(_insert(database, waiting) for _ in range(IN_FLIGHT)))
    seconds = time.perf_counter() - started
    return Round(len(documents[LAST]) / seconds, meter.read() - before)


def _cut(documents: _Documents) -> list[_Documents]:
    count = len(documents[LAST])
    return [
        {name: each[start : start + BATCH] for name, each in documents.items()}
        for start in range(0, count, BATCH)
    ]


async def _insert(database: _Database, waiting: Iterator[_Documents]) -> None:
    """As the platform writes: three collections together, then the results."""
    for batch in waiting:
        await asyncio.gather(
            *(database[name].insert_many(batch[name], ordered=False) for name in FIRST)
        )
        await database[LAST].insert_many(batch[LAST], ordered=False)


async def _fresh(platform: PlatformUnderTest, database: _Database) -> None:
    """Empty collections with the platform's own options and indexes."""
    for name in (*FIRST, LAST):
        await database.drop_collection(name)
        [info] = await (await platform.database.list_collections(filter={"name": name})).to_list()
        options = {key: info["options"][key] for key in info["options"] if key == "clusteredIndex"}
        if options:
            options["clusteredIndex"].pop("v", None)
        await database.create_collection(name, **options)
        async for index in await platform.database[name].list_indexes():
            if index["name"] != "_id_" and not index.get("clustered"):
                keys = list(index["key"].items())
                kept = {k: v for k, v in index.items() if k in ("name", *_INDEX_OPTIONS)}
                await database[name].create_index(keys, **kept)


_INDEX_OPTIONS: Final = ("unique", "partialFilterExpression")

BENCHMARK: Final = Benchmark(name="batch_intake", measure=measure)

if __name__ == "__main__":
    main(BENCHMARK)
