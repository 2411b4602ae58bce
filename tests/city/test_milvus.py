"""The gallery on a real Milvus server, started here, against the contract and its own promises."""

from collections.abc import Iterator

import pytest

from passerby.city import Gallery
from passerby.city.gallery.milvus import MilvusGallery
from tests.city.gallery_contract import GalleryContract, Opener
from tests.city.gallery_stage_contract import StageContract
from tests.city.milvus_fixtures import milvus
from tests.city.milvus_server import MilvusServer

__all__ = ["milvus"]
OPTIONS = "partitions=4&shards=1&patience=120"


class Galleries:
    """Opens galleries by name; one test's are dropped when the next test begins."""

    def __init__(self, server: MilvusServer) -> None:
        self.server = server
        self.name = ""
        self.opened: list[MilvusGallery] = []

    def open(self, name: str) -> Gallery:
        if name != self.name:
            self.drop()
        self.name = name
        gallery = MilvusGallery(self.server.address(name, OPTIONS))
        self.opened.append(gallery)
        return gallery

    def drop(self) -> None:
        for gallery in self.opened[:1]:
            gallery.drop()
        for gallery in self.opened:
            gallery.close()
        self.opened = []


@pytest.fixture(scope="module")
def opened(milvus: MilvusServer) -> Iterator[Opener]:
    galleries = Galleries(milvus)
    yield galleries.open
    galleries.drop()


class TestContract(GalleryContract):
    examples = 15
    opened = None  # the module's

    @pytest.mark.slow
    def test_threads_search_beside_a_writer(self, gallery: Gallery) -> None:
        super().test_threads_search_beside_a_writer(gallery)  # ten compactions


@pytest.mark.slow
class TestStage(StageContract):
    pass
