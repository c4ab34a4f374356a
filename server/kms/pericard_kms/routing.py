"""What every engine is made of: routes from a path and an operation to a function, and its response."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from pericard_kms.access.token import Token
from pericard_kms.errors import Denied, NotFound, Unsupported
from pericard_kms.fields import Fields

Operation = Literal["read", "list", "update", "delete"]


@dataclass(slots=True)
class Request:
    """A parsed request: what is asked of which path, by whom."""

    id: str
    operation: Operation
    path: str
    fields: Fields
    token_id: str = field(repr=False)
    remote: str
    token: Token | None = field(default=None, repr=False)

    @property
    def caller(self) -> Token:
        """The authenticated token; only for routes that require one."""
        if self.token is None:  # the API authenticates before it routes
            raise Denied
        return self.token

    def check_gateway(self, gateway: str) -> None:
        """A token whose meta names a gateway acts for that one only.

        Raises:
            Denied: it is another's.
        """
        own = (self.caller.meta or {}).get("gateway")
        if own is not None and own != gateway:
            raise Denied


@dataclass(slots=True)
class Response:
    """What goes back.

    `data` (or `auth`, for a new token) goes into Vault's envelope of eight fields, where `spread` repeats the
    fields of `data` beside them; `bare` is sent as it is, without an envelope.
    """

    data: dict[str, Any] | None = None
    status: int = 200
    auth: dict[str, Any] | None = None
    warnings: list[str] | None = None
    bare: dict[str, Any] | None = None
    spread: bool = False


Act = Callable[..., Response | dict[str, Any] | None]


@dataclass(slots=True)
class Route:
    """One path pattern: its segments (a parameter is `{name}`) and what each operation does there."""

    segments: tuple[str, ...]
    acts: dict[Operation, Act]
    sudo: bool
    exists: Callable[[dict[str, str]], bool] | None


class Routes:
    """The routes of one engine, found by first segment and length."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, int], list[Route]] = {}

    def add(
        self,
        pattern: str,
        *,
        read: Act | None = None,
        list: Act | None = None,
        update: Act | None = None,
        delete: Act | None = None,
        sudo: bool = False,
        exists: Callable[[dict[str, str]], bool] | None = None,
    ) -> None:
        """Adds a path. `exists` makes an update of what is not there need `create` rather than `update`."""
        acts: dict[Operation, Act] = {}
        if read:
            acts["read"] = read
        if list:
            acts["list"] = list
        if update:
            acts["update"] = update
        if delete:
            acts["delete"] = delete
        segments = tuple(pattern.split("/"))
        self._routes.setdefault((segments[0], len(segments)), []).append(Route(segments, acts, sudo, exists))

    def find(self, path: str) -> tuple[Route, dict[str, str]]:
        """The route of `path` and its parameters.

        Raises:
            NotFound: no route fits.
        """
        segments = path.split("/")
        for route in self._routes.get((segments[0], len(segments)), ()):
            parameters = {}
            for wanted, segment in zip(route.segments, segments, strict=True):
                if wanted[0] == "{":
                    if not segment:
                        break
                    parameters[wanted[1:-1]] = segment
                elif wanted != segment:
                    break
            else:
                return route, parameters
        raise NotFound("unsupported path")


def act_of(route: Route, operation: Operation) -> Act:
    """What `route` does for `operation`.

    Raises:
        Unsupported: nothing.
    """
    act = route.acts.get(operation)
    if act is None:
        raise Unsupported
    return act
