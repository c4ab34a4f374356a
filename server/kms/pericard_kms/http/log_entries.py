"""What the audit log says of a request and of who asked, whatever becomes of it."""

from typing import Any

from pericard_kms.access.token import Token
from pericard_kms.routing import Request


def asked(request: Request) -> dict[str, Any]:
    """The request without its fields."""
    return {"id": request.id, "operation": request.operation, "path": request.path, "remote": request.remote}


def asker(token: Token) -> dict[str, Any]:
    """Whose token it was."""
    return {"accessor": token.accessor, "display_name": token.display_name, "policies": token.policies}
