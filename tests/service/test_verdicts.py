"""One verdict a request, with the revision it is based on; the pictures of a search's query."""

import threading
from typing import Any

import pytest


def give(
    client: Any, search: dict[str, Any], match: int, verdict: str | None, revision: int
) -> Any:
    body = {"sighting": search["matches"][match]["id"], "verdict": verdict, "revision": revision}
    return client.post(f"/api/searches/{search['id']}/verdicts", json=body)


def test_verdicts_add_up_and_are_taken_back(ann: Any) -> None:
    search = ann.search("A-1")
    one, two = (search["matches"][i]["id"] for i in (0, 1))
    assert give(ann, search, 0, "confirmed", 0).json()["confirmed"] == [one]
    answer = give(ann, search, 1, "rejected", 1).json()
    assert (answer["confirmed"], answer["rejected"], answer["revision"]) == ([one], [two], 2)
    assert two not in [match["id"] for match in answer["matches"]]
    answer = give(ann, search, 1, None, 2).json()
    assert (answer["confirmed"], answer["rejected"]) == ([one], [])
    answer = give(ann, search, 0, "rejected", 3).json()
    assert (answer["confirmed"], answer["rejected"]) == ([], [one])


def test_an_older_revision_changes_nothing(ann: Any) -> None:
    search = ann.search("A-1")
    assert give(ann, search, 0, "confirmed", 0).status_code == 200
    late = give(ann, search, 0, "rejected", 0)
    assert (late.status_code, late.json()["code"]) == (409, "verdict_conflict")
    now = ann.get(f"/api/searches/{search['id']}").json()
    assert (now["confirmed"], now["rejected"]) == ([search["matches"][0]["id"]], [])


def test_of_many_at_once_one_is_stored(ann: Any) -> None:
    search = ann.search("A-1")
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda i=i: answers.append(give(ann, search, i, "confirmed", 0)))
        for i in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(one.status_code for one in answers) == [200, 409, 409, 409]
    now = ann.get(f"/api/searches/{search['id']}").json()
    assert (len(now["confirmed"]), now["revision"]) == (1, 1)
    judged = [one for one in ann.get("/api/searches").json() if one["id"] == search["id"]]
    assert judged[0]["confirmed"] == 1


@pytest.mark.parametrize(
    "change",
    [{"sighting": "p9-C01-0"}, {"verdict": "maybe"}, {"revision": None}, {"revision": -1}],
)
def test_a_bad_verdict_is_refused(ann: Any, change: dict[str, Any]) -> None:
    search = ann.search("A-1")
    body = {"sighting": search["matches"][0]["id"], "verdict": "confirmed", "revision": 0}
    answer = ann.post(f"/api/searches/{search['id']}/verdicts", json=body | change)
    assert answer.status_code == 422


def test_a_search_holds_its_pictures_for_its_own_account(ann: Any, bob: Any, app: Any) -> None:
    search = ann.search("A-1")
    path = f"/api/searches/{search['id']}/pictures"
    answer = ann.get(f"{path}/1")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.headers["cache-control"] == "no-store"
    assert len(search["query_pictures"]) == 1
    assert ann.get(f"{path}/2").status_code == 404
    assert bob.get(f"{path}/1").status_code == 404
    app.state.service.searches.forget("ann")
    answer = ann.get(f"{path}/1")
    assert (answer.status_code, answer.json()["code"]) == (409, "query_forgotten")
    ann.post("/api/cases/A-1/close")
    assert ann.get(f"{path}/1").status_code == 403
