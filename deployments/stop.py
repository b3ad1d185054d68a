"""The orderly stop of the platform: intake first, then the shards, then the workers (rule O3).

Run as a process of its own by `LocalCluster.down`, which gives up on it after a while.
"""

import contextlib

import ray
from ray import serve
from ray.exceptions import RayError

from cdp.domain.lane import CHANNEL_NAMES, LANES
from cdp.settings import Settings
from deployments.handles import SCHEDULER, SUPERVISOR, find, pool_name, shard_name, worker_name
from deployments.local_cluster import LocalCluster

DRAIN_S = 20.0


def main() -> None:
    """Stop what runs in the cluster that the environment names."""
    settings = Settings()
    LocalCluster(settings).connect()
    # The Supervisor first, or it would start again what is ended.
    _kill([SUPERVISOR])
    with contextlib.suppress(RayError, TimeoutError):
        serve.delete("delivery-tracking", _blocking=False)
    shards = [shard_name(index) for index in range(settings.shards_max)]
    workers = [worker_name(lane, index) for lane in LANES for index in range(settings.workers_max)]
    pools = [pool_name(channel) for channel in CHANNEL_NAMES]
    _drain(shards)
    _drain(workers)
    with contextlib.suppress(RayError, TimeoutError):
        serve.shutdown()
    # A Ray cluster that is not ours goes on, and detached actors would with it.
    _kill([SCHEDULER, *pools, *shards, *workers])
    ray.shutdown()


def _drain(names: list[str]) -> None:
    actors = [actor for name in names if (actor := find(name)) is not None]
    calls = [actor.drain.remote() for actor in actors]
    with contextlib.suppress(RayError):
        ray.wait(calls, num_returns=len(calls), timeout=DRAIN_S)


def _kill(names: list[str]) -> None:
    for name in names:
        actor = find(name)
        if actor is not None:
            ray.kill(actor)


if __name__ == "__main__":
    main()
