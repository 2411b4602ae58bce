"""A Milvus server for the tests of a module, or a visible skip with the reason."""

from collections.abc import Iterator

import pytest

from tests.city import milvus_server
from tests.city.milvus_server import MilvusServer


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    pytest.importorskip("pymilvus", reason="pymilvus is not installed: pip install .[milvus]")
    if reason := milvus_server.missing():
        pytest.skip(f"no Milvus server: {reason}")
    with MilvusServer(tmp_path_factory.mktemp("milvus")) as server:
        yield server
