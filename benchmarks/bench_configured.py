"""What does configuration cost the hot path, beside the same messages without any?

The same load as in `bench_at_once`, by three clients in turn, several rounds. The first names its
template. The second has a running campaign with a rate, a segment with the template, delivery
configurations on three levels with a send window, a provider of its own with a rate, and tracks
opens and clicks. The third has all that and signs by DKIM, RSA-2048.
Prints: messages/s and CPU a message of each, all rounds, the ratios to the first, and the CPU of
each process. What is judged is the median of the ratios of rounds that stand side by side.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks import workload
from benchmarks.bench_at_once import post_and_wait
from benchmarks.findings import Finding, median
from benchmarks.platform import BenchClient, single_bodies
from benchmarks.platform_processes import of_platform
from benchmarks.stage import Benchmark, Stage, main
from benchmarks.tools import CpuSeconds, Row, number, print_comparison, print_cpu

FAST: Final = 50_000
"""A rate that is looked at for every message and keeps none."""
FLOOR_CONFIGURED, FLOOR_SIGNED = 0.85, 0.7
AIM_CONFIGURED, AIM_SIGNED = 0.95, 0.85
DOMAIN: Final = workload.SENDER_ADDRESS.partition("@")[2]
CAMPAIGN: Final = f"/campaigns/{workload.CAMPAIGN}"
ASSIGNMENT: Final = {
    "channel": workload.CHANNEL,
    "campaign": workload.CAMPAIGN,
    "template": workload.TEMPLATE_NAME,
}


@dataclass(slots=True)
class _Side:
    client: BenchClient
    bodies: Callable[[int], list[bytes]]
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    spent: CpuSeconds = field(default_factory=lambda: CpuSeconds({}))
    """In the last round."""


async def measure(stage: Stage) -> list[Finding]:
    """Let the three take turns, and judge."""
    rounds, count = (2, 3_000) if stage.quick else (12, 4_000)
    sides = {
        "plain": _Side(await stage.client("plain"), _plain),
        "configured": _Side(await _configured(stage, "configured", {}), _by_segment),
        "signed": _Side(await _configured(stage, "signed", _dkim_keys()), _by_segment),
    }
    for side in sides.values():
        await _round(stage, _Side(side.client, side.bodies), 500)
    for _ in range(rounds):
        for side in sides.values():
            await _round(stage, side, count)
    for name in ("configured", "signed"):
        _print(name, sides)
    last = {name: side.spent for name, side in sides.items()}
    print_cpu("The last round, a message", last, count)
    print(stage.elsewhere.line())
    return [
        _finding("configured", sides, FLOOR_CONFIGURED, AIM_CONFIGURED),
        _finding("signed", sides, FLOOR_SIGNED, AIM_SIGNED),
    ]


def _print(name: str, sides: Mapping[str, _Side]) -> None:
    def row(measure: str, unit: str, of: Callable[[_Side], list[float]]) -> Row:
        rounds = {each: of(sides[each]) for each in (name, "plain")}
        return Row(name=measure, unit=unit, rounds=rounds, higher_is_better=unit == "1/s")

    rows = [
        row("messages", "1/s", lambda side: side.rates),
        row("CPU a message", "us", lambda side: side.cpu_us),
    ]
    print_comparison(f"The same messages {name}, beside plain", rows, ours=name, peer="plain")


def _plain(count: int) -> list[bytes]:
    return single_bodies(count)


def _by_segment(count: int) -> list[bytes]:
    return single_bodies(count, tracking=True, by_segment=True)


async def _configured(stage: Stage, name: str, settings: Mapping[str, Any]) -> BenchClient:
    client = await stage.client(name)

    def call(method: str, path: str, body: Mapping[str, Any] | None = None) -> Awaitable[None]:
        return stage.platform.set_up(client, method, path, body)

    server = {"host": "127.0.0.1", "port": stage.sink.port, "security": "none", **settings}
    provider = {"name": "mail", "kind": "email.smtp", "settings": server, "rate_per_s": FAST}
    await call("POST", "/providers", provider)
    await call("PUT", f"/segments/{workload.SEGMENT}", {})
    await call("PUT", f"/segments/{workload.SEGMENT}/assignments", ASSIGNMENT)
    await call("PUT", CAMPAIGN, {"rate_per_s": FAST})
    await call("POST", f"{CAMPAIGN}/start")
    for level in (
        {"attempts_max": 8, "rate_per_s": FAST},
        {"channel": "email", "providers": ["mail"], "send_window": "00:00-24:00"},
        {"campaign": workload.CAMPAIGN, "segment": workload.SEGMENT, "backoff_initial_s": 30},
    ):
        await call("POST", "/delivery-configs", level)
    return client


def _dkim_keys() -> Mapping[str, Any]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"dkim_keys": {f"s1._domainkey.{DOMAIN}": pem}}


async def _round(stage: Stage, side: _Side, count: int) -> None:
    platform = stage.platform
    bodies = side.bodies(count)
    meter = platform.meter(stage.beside)
    before = meter.read()
    stage.elsewhere.start()
    _, seconds = await post_and_wait(stage, platform.url, bodies, side.client.headers)
    await platform.idle(within_s=60)
    spent = meter.read() - before
    stage.elsewhere.note(spent)
    side.spent = spent
    side.rates.append(count / seconds)
    side.cpu_us.append(of_platform(spent).total * 1e6 / count)


def _finding(name: str, sides: Mapping[str, _Side], floor: float, aim: float) -> Finding:
    rates, plain = sides[name].rates, sides["plain"].rates
    # Of the rounds that stand side by side: a machine's speed drifts within minutes.
    ratio = median([ours / beside for ours, beside in zip(rates, plain, strict=True)])
    return Finding(
        benchmark=f"at once, {name}",
        result=f"{number(median(rates))}/s",
        peer=f"plain {number(median(plain))}/s",
        ratio=ratio,
        floor=f"{floor:g}x",
        aim=f"{aim:g}x",
        floor_met=ratio >= floor,
        aim_met=ratio >= aim,
    )


BENCHMARK: Final = Benchmark(name="configured", measure=measure)

if __name__ == "__main__":
    main(BENCHMARK)
