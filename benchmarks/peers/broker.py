"""Celery as both of the peer's sides use it."""

from typing import Final

from celery import Celery

from benchmarks.peers.settings import PeerSettings

TASK: Final = "peer.deliver"


def make_celery(settings: PeerSettings) -> Celery:
    """The Celery application.

    Tuned: late acknowledgement and a prefetch of 16 (safe and quick), no results, no task events,
    no gossip (see `run.py`), JSON, no copy of the arguments' text in each message's head.
    """
    app = Celery("peer", broker=settings.broker, set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_default_queue="email",
        task_serializer="json",
        accept_content=["json"],
        argsrepr_maxsize=0,
        worker_prefetch_multiplier=settings.prefetch,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        broker_pool_limit=settings.pool_size,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": 3600},
    )
    return app
