import pytest
import uvloop


@pytest.fixture(scope="session")
def event_loop_policy():
    """The loop that Ray gives its actors; its transports differ from asyncio's own."""
    return uvloop.EventLoopPolicy()
