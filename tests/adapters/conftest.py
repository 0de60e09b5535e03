"""A certificate authority of our own, for servers on loopback, and a whole Dargah that calls them."""

import ssl
from dataclasses import dataclass

import pytest
from web.conftest import lab, more_settings

from adapters.servers import Authority
from proxy.http.outbound.connector import tls_context

__all__ = ["lab", "more_settings", "own_tls"]


@dataclass(frozen=True)
class OwnTls:
    """A server's context for 127.0.0.1, and a client's that trusts it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="session")
def own_tls(tmp_path_factory: pytest.TempPathFactory) -> OwnTls:
    authority = Authority(tmp_path_factory.mktemp("tls"), "ours")
    client = tls_context()
    client.load_verify_locations(authority.file)
    return OwnTls(authority.server(), client)
