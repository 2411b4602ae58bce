"""A real small city: 2 districts with cameras, drawn people, and a real (untrained) network."""

import dataclasses
import io
import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image, ImageDraw, ImageFilter

from passerby.city import City, Sighting
from passerby.city.address import parse_address, write_address
from passerby.models import ModelCard, build, save
from passerby.runtime import Embedder
from passerby.service import create_app
from passerby.service.accounts import Accounts
from passerby.service.database import Database
from tests.service.browser import address, browser, page  # noqa: F401 - fixtures

PASSWORD = "a long enough password"
ACCOUNTS = {
    "ann": ("operator", "99"),
    "bob": ("operator", "9901"),
    "sue": ("supervisor", "99"),
    "wes": ("supervisor", "9902"),
    "root": ("administrator", "99"),
}
START = 1_893_456_000_000  # 2030-01-01T00:00:00Z
WEST, SOUTH, STEP = 121.40, 31.20, 0.004
COLOURS = {
    1: ((196, 40, 45), (30, 36, 60)),
    2: ((38, 92, 190), (70, 70, 74)),
    3: ((240, 200, 60), (24, 26, 28)),
    4: ((46, 140, 84), (110, 82, 60)),
}


def square(column: float, row: float, wide: float, high: float) -> dict[str, Any]:
    west, south = WEST + column * STEP, SOUTH + row * STEP
    east, north = west + wide * STEP, south + high * STEP
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def unit(code: str, level: str, name: str, shape: dict[str, Any]) -> dict[str, Any]:
    parent = code[:-2] or None
    properties = {"code": code, "parent": parent, "level": level, "name": name}
    properties["name_zh"] = {"city": "测试市", "district": "测试区"}.get(level, f"单元{code}")
    return {"type": "Feature", "properties": properties, "geometry": shape}


def make_units() -> dict[str, Any]:
    features = [unit("99", "city", "Testville", square(0, 0, 4, 2))]
    for d, district in enumerate(("Old Town", "Harbour")):
        code = f"99{d + 1:02d}"
        features.append(unit(code, "district", district, square(2 * d, 0, 2, 2)))
        for s in range(2):
            street = f"{code}{s + 1:02d}"
            features.append(unit(street, "street", f"Street {street}", square(2 * d + s, 0, 1, 2)))
            area = f"{street}01"
            features.append(unit(area, "area", f"Area {area}", square(2 * d + s, 0, 1, 2)))
            for c in range(2):
                cell = square(2 * d + s, c, 1, 1)
                features.append(unit(f"{area}{c + 1:02d}", "cell", f"Cell {area}{c + 1:02d}", cell))
    return {"type": "FeatureCollection", "features": features}


def make_cameras() -> dict[str, Any]:
    features = []
    for number, (column, row) in enumerate(itertools.product(range(4), range(2)), start=1):
        place = [WEST + (column + 0.5) * STEP, SOUTH + (row + 0.5) * STEP]
        properties = {
            "id": f"C{number:02d}",
            "number": number,
            "name": f"Camera {number}",
            "name_zh": f"{number}号摄像机",
            "heading": 45.0 * number,
            "field_of_view": 60.0,
            "height": 4.0,
            "range": 40.0,
        }
        point = {"type": "Point", "coordinates": place}
        features.append({"type": "Feature", "properties": properties, "geometry": point})
    return {"type": "FeatureCollection", "features": features}


def make_streets() -> dict[str, Any]:
    features = []
    xs = [WEST + (c + 0.5) * STEP for c in range(4)]
    ys = [SOUTH + (r + 0.5) * STEP for r in range(2)]
    lines = [[[x, y] for x in xs] for y in ys] + [[[x, y] for y in ys] for x in xs]
    for number, line in enumerate(lines, start=1):
        kind = "primary" if number <= 2 else "alley"
        properties = {"name": f"Line {number}", "name_zh": f"{number}号路", "kind": kind}
        shape = {"type": "LineString", "coordinates": line}
        features.append({"type": "Feature", "properties": properties, "geometry": shape})
    return {"type": "FeatureCollection", "features": features}


def draw_person(identity: int, variant: int) -> Image.Image:
    """A simple drawn person of 128 x 256; one identity, one look."""
    rng = np.random.default_rng(1000 * identity + variant)
    ground = rng.normal(150, 10, (256, 128, 3)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(ground).filter(ImageFilter.GaussianBlur(3))
    draw = ImageDraw.Draw(image)
    top, trousers = COLOURS[identity]
    x, y = (int(v) for v in rng.integers(-6, 7, 2))
    draw.rectangle((40 + x, 130 + y, 61 + x, 244 + y), fill=trousers)
    draw.rectangle((66 + x, 130 + y, 87 + x, 244 + y), fill=trousers)
    draw.rounded_rectangle((34 + x, 52 + y, 94 + x, 136 + y), 14, fill=top)
    draw.ellipse((48 + x, 12 + y, 80 + x, 50 + y), fill=(214, 172, 140))
    return image.filter(ImageFilter.GaussianBlur(1))


def jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92)
    return out.getvalue()


@pytest.fixture(scope="session")
def person() -> Callable[[int, int], Image.Image]:
    return draw_person


@pytest.fixture(scope="session")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    import torch

    torch.manual_seed(3)
    network = build("slim18", num_classes=0)
    network.eval()
    card = ModelCard(architecture="slim18", dimension=network.dimension)
    path = tmp_path_factory.mktemp("network") / "test.safetensors"
    save(network, card, path)
    return Embedder.load(path)


@pytest.fixture(scope="session")
def walks() -> dict[int, list[tuple[str, int]]]:
    """Who is seen where and when (minutes): people walk along the two long streets."""
    return {
        1: [("C01", 0), ("C03", 8), ("C05", 16), ("C07", 24)],
        2: [("C08", 2), ("C06", 10), ("C04", 18), ("C02", 26)],
        3: [("C02", 5), ("C04", 14), ("C03", 22), ("C01", 31)],
        4: [("C07", 3), ("C08", 12), ("C06", 21), ("C05", 33)],
    }


@pytest.fixture(scope="session")
def sightings(
    embedder: Embedder, walks: dict[int, list[tuple[str, int]]]
) -> list[tuple[Sighting, bytes]]:
    """Two sightings of each passage, with their crops."""
    facts, images = [], []
    for identity, walk in walks.items():
        for passage, (camera, minute) in enumerate(walk):
            for frame in range(2):
                image = draw_person(identity, 2 * passage + frame)
                time = START + minute * 60_000 + frame * 1000
                name = f"p{identity}-{camera}-{frame}"
                facts.append((name, camera, time, f"t{identity}-{camera}"))
                images.append(image)
    vectors = embedder.embed(images)
    return [
        (
            Sighting(
                id=name,
                camera=camera,
                time=time,
                tracklet=tracklet,
                vector=vector,
                model=embedder.model_id,
                box=(100.0, 100.0, 228.0, 356.0),
                quality=0.9,
            ),
            jpeg(image),
        )
        for (name, camera, time, tracklet), vector, image in zip(
            facts, vectors, images, strict=True
        )
    ]


def found_city(
    folder: Path, sightings: list[tuple[Sighting, bytes]], database: str | None = None
) -> Path:
    """The city with its five accounts."""
    maps = {"units": make_units(), "cameras": make_cameras(), "streets": make_streets()}
    with City.create(folder, **maps, database=database) as made:
        made.add_sightings(
            dataclasses.replace(one, crop=made.crops.put(data)) for one, data in sightings
        )
        with closing(Database.of(made)) as opened:
            for name, (role, unit) in ACCOUNTS.items():
                Accounts(opened).create(name, role, (unit,), PASSWORD)
    return folder


@pytest.fixture(scope="session")
def city_folder(
    tmp_path_factory: pytest.TempPathFactory,
    sightings: list[tuple[Sighting, bytes]],
    fast_passwords: None,
) -> Path:
    """A city made once; each test works on a copy."""
    return found_city(tmp_path_factory.mktemp("made") / "city", sightings)


@pytest.fixture(scope="session")
def shared_city(
    tmp_path_factory: pytest.TempPathFactory,
    sightings: list[tuple[Sighting, bytes]],
    fast_passwords: None,
    postgres: Any,
) -> tuple[Path, str]:
    """The same with its catalogue in PostgreSQL; folder and database, to be copied."""
    folder, name = tmp_path_factory.mktemp("shared") / "city", postgres.create()
    return found_city(folder, sightings, postgres.local_address(name)), name


CORE = ("test_audit", "test_cases", "test_search", "test_session")  # run with each database


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames and metafunc.module.__name__.endswith(CORE):
        slow = metafunc.module.__name__.endswith(("test_cases", "test_session"))
        shared = pytest.param("postgresql", marks=[pytest.mark.slow] if slow else [])
        metafunc.parametrize("kind", ["sqlite", shared], indirect=True)


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """The database of the city's catalogue."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def city(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> Iterator[City]:
    folder = tmp_path / "city"
    if kind == "sqlite":
        shutil.copytree(request.getfixturevalue("city_folder"), folder)
        with City.open(folder) as opened:
            yield opened
        return
    original, template = request.getfixturevalue("shared_city")
    postgres = request.getfixturevalue("postgres")
    shutil.copytree(original, folder)
    name = postgres.create(template)
    write_address(folder, parse_address(postgres.local_address(name)))
    with City.open(folder) as opened:
        yield opened  # its database stays: to drop one takes longer than most of these tests


class Client(TestClient):
    """A signed-in client: it sends the session's token by itself."""

    def sign_in(self, name: str, password: str) -> dict[str, Any]:
        answer = self.post("/api/session", json={"name": name, "password": password})
        assert answer.status_code == 200, answer.text
        session: dict[str, Any] = answer.json()
        self.headers["X-CSRF-Token"] = session["csrf"]
        return session

    def open_case(self, number: str) -> dict[str, Any]:
        answer = self.post(
            "/api/cases",
            json={
                "id": number,
                "purpose": "Find a missing child",
                "legal_basis": "Police Act, section 12",
                "expires": (datetime.now(UTC) + timedelta(days=30)).isoformat(),
            },
        )
        assert answer.status_code == 201, answer.text
        case: dict[str, Any] = answer.json()
        return case

    def add_picture(self, identity: int = 1, variant: int = 99) -> str:
        data = jpeg(draw_person(identity, variant))
        answer = self.post("/api/pictures", files={"file": ("q.jpg", data, "image/jpeg")})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def search(self, case: str, identity: int = 1, **wishes: Any) -> dict[str, Any]:
        body = {"case": case, "pictures": [{"id": self.add_picture(identity)}], **wishes}
        answer = self.post("/api/searches", json=body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="session")
def fast_passwords() -> Iterator[None]:
    """argon2id at its least cost: the cost is the library's affair, not ours."""
    import argon2

    from passerby.service import accounts

    usual, accounts._HASHER = accounts._HASHER, argon2.PasswordHasher(1, 8, 1)
    yield
    accounts._HASHER = usual


@pytest.fixture
def make_app(city: City, embedder: Embedder) -> Iterator[Callable[..., FastAPI]]:
    """Build the app with settings or a detector of the test's own; the accounts exist."""
    made: list[FastAPI] = []

    def build_app(**options: Any) -> FastAPI:
        app = create_app(city, embedder, **options)
        made.append(app)
        return app

    yield build_app
    for app in made:
        app.state.service.database.close()


@pytest.fixture
def app(make_app: Callable[..., FastAPI], request: pytest.FixtureRequest) -> FastAPI:
    """The app; a test that is parametrized with settings gets them."""
    return make_app(settings=getattr(request, "param", None))


@pytest.fixture
def sign_in(app: FastAPI) -> Callable[[str], Client]:
    def signed_in(name: str) -> Client:
        client = Client(app)
        client.sign_in(name, PASSWORD)
        return client

    return signed_in


@pytest.fixture
def ann(sign_in: Callable[[str], Client]) -> Client:
    """Operator of the whole city, with the open case A-1."""
    client = sign_in("ann")
    client.open_case("A-1")
    return client


@pytest.fixture
def bob(sign_in: Callable[[str], Client]) -> Client:
    """Operator of the district 9901 alone, with the open case B-1."""
    client = sign_in("bob")
    client.open_case("B-1")
    return client
