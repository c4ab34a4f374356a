"""The Enrolment service: a token and two proven keys in, a certificate out. It serves callers without one."""

import logging
from collections.abc import Callable

import grpc
from django.db import close_old_connections

from pericard_edge.jsonlog import fields
from pericard_protocol.errors import PeerError
from pericard_protocol.proto.uplink_pb2 import EnrolRequest, IssuedCertificate
from pericard_protocol.uplink.enrolment import verify_enrol_request
from pericard_server.fleet.authority import Authority
from pericard_server.fleet.invitations import redeem

log = logging.getLogger("pericard.server.enrolment")


class Enrolment:
    """The servicer of `pericard.protocol.uplink.v1.Enrolment`."""

    def __init__(self, authority: Authority, count_refusal: Callable[[str], None]) -> None:
        """`authority` certifies; `count_refusal` is told the reason of each refusal."""
        self._authority, self._count_refusal = authority, count_refusal

    def Enrol(self, request: EnrolRequest, context: grpc.ServicerContext) -> IssuedCertificate:
        """Registers the gateway that the token was given to, and certifies its key."""
        close_old_connections()
        try:
            key = verify_enrol_request(request)
            name = redeem(request.token, request.verifying_key)
        except PeerError as error:
            self._count_refusal(error.reason)
            log.warning("refused", extra=fields(reason=error.reason, why=str(error)))
            context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
            raise  # abort has raised already; this tells the type checker
        log.info("enrolled", extra=fields(gateway=name))
        return IssuedCertificate(certificate=self._authority.issue(name, key))
