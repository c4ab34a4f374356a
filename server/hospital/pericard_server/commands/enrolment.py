"""`pericard server gateway invite`, and the server that invitations are redeemed at."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pericard_protocol.errors import UsageError
from pericard_protocol.uplink.enrolment import MAX_REQUEST_BYTES, Invitation
from pericard_server.site import Site, config_option, open_site

if TYPE_CHECKING:
    from pericard_server.fleet.authority import Authority
    from pericard_server.records.store import Records

# Strangers reach this address: few at a time, and each gets one short answer.
_CALLS = 4


@click.command()
@config_option
@click.argument("name")
def invite(path: Path, name: str) -> None:
    """Print an invitation for gateway NAME: a secret file, good for one enrolment within a day."""
    site = open_site(path)
    from pericard_server.fleet.invitations import invite as new_token

    if site.config.enrolment is None:
        raise UsageError(f"{path} has no [enrolment]: set its address and authority_key first")
    invitation = Invitation(name, new_token(name), site.identity().authorities, site.keys.identity_pem())
    click.echo(invitation.dump())


@contextmanager
def serving_enrolment(site: Site, authority: "Authority | None", records: "Records") -> Iterator[None]:
    """Serves `[enrolment]`, if the configuration has it."""
    if site.config.enrolment is None or authority is None:
        yield
        return
    import grpc

    from pericard_edge.serving import serving
    from pericard_protocol.channel import server_options
    from pericard_protocol.proto.uplink_pb2_grpc import add_EnrolmentServicer_to_server
    from pericard_server.fleet.servicer import Enrolment

    identity = site.identity()
    server = grpc.server(
        ThreadPoolExecutor(_CALLS),
        options=server_options(MAX_REQUEST_BYTES),
        maximum_concurrent_rpcs=_CALLS,
    )
    add_EnrolmentServicer_to_server(Enrolment(authority, records), server)
    # No certificate is asked of the client: the token is what it has to show.
    credentials = grpc.ssl_server_credentials([(identity.private_key, identity.certificate)])
    with serving(server, site.config.enrolment.address, credentials):
        yield
