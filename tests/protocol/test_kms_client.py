"""The KMS's client. Invariant: a word about the KMS itself is Unavailable, about the request KmsRefused."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pericard_edge.kms import KmsClient, KmsNotServing, KmsRefused, KmsUnreachable
from pericard_protocol.errors import Unavailable

_NO_ANSWERS = {"junk": b"junk", "list": b"[]", "number": b"7", "text": b'"x"', "null": b"null"}


class _Kms(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answers `/v1/STATUS` with that status, and `/v1/junk` and the like with what is no JSON object."""
        asked = self.path.rpartition("/")[2]
        body = _NO_ANSWERS.get(asked, b'{"errors": ["because"], "data": {"is": "here"}}')
        self.send_response(int(asked) if asked.isdecimal() else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture(scope="module")
def client() -> Iterator[KmsClient]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Kms) as server:
        threading.Thread(target=server.serve_forever).start()
        with KmsClient(f"http://127.0.0.1:{server.server_port}") as client:
            yield client
        server.shutdown()


@pytest.mark.parametrize("status", [400, 403, 404, 405, 499])
def test_what_asking_again_does_not_change_is_refused(client: KmsClient, status: int) -> None:
    with pytest.raises(KmsRefused, match="because") as caught:
        client.call("GET", str(status))
    assert caught.value.status == status


@pytest.mark.parametrize("status", [500, 502, 503, 599])
def test_a_kms_that_cannot_serve_is_worth_another_try(client: KmsClient, status: int) -> None:
    with pytest.raises(KmsNotServing, match=f"{status}.*because"):
        client.call("GET", str(status))
    assert issubclass(KmsNotServing, Unavailable)


@pytest.mark.parametrize(("status", "todo"), [(403, "`pericard kms token`"), (503, "`pericard kms unseal`")])
def test_a_token_that_ended_and_a_sealed_kms_are_told_with_what_to_do(
    client: KmsClient, status: int, todo: str
) -> None:
    with pytest.raises((KmsRefused, KmsNotServing), match=todo):
        client.call("GET", str(status))


@pytest.mark.parametrize("asked", sorted(_NO_ANSWERS))
def test_what_is_no_json_object_is_no_answer_and_the_next_one_is(client: KmsClient, asked: str) -> None:
    with pytest.raises(KmsUnreachable):
        client.call("GET", asked)
    assert client.call("GET", "200") == {"is": "here"}


def test_nobody_there_is_worth_another_try() -> None:
    with KmsClient("http://127.0.0.1:1") as client, pytest.raises(Unavailable, match="no answer"):
        client.call("GET", "200")
