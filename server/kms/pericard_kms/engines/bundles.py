"""The hospital's daily KEM keys: one pair per UTC day and suite, published as a bundle signed by ML-DSA-65.

A private key is destroyed seven days after its bundle ended, and from then on nobody can open what was
recorded on the wire or lies on a lost gateway's disk; unless a gateway is known to hold records under it:
then destruction waits until that hold is released, so no record is lost because a time ran out.
"""

import os
from collections.abc import Mapping
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pericard_kms.errors import Invalid, NotFound
from pericard_kms.fields import decode, encode
from pericard_kms.routing import Request, Routes
from pericard_kms.storage.sealed_store import SealedStore
from pericard_protocol.uplink.bundle import DAY_SECONDS, DailyKey, first_offered, sign_bundle
from pericard_protocol.uplink.suites import KemError, KemSuite

_KEPT_S = 7 * DAY_SECONDS


class BundleEngine:
    """The paths of a `bundles` mount."""

    def __init__(self, store: SealedStore, mount: str, suites: Mapping[int, KemSuite]) -> None:
        """`suites` are the KEM provider's that this KMS was started with."""
        self._store, self._suites = store, suites
        self._days = f"mount/{mount}/kem/"
        self._identity_name = f"mount/{mount}/identity"
        self.routes = Routes()
        add = self.routes.add
        add("identity", read=self._identity_pem)
        add("today", read=self._today)
        add("keys", list=self._index)
        add("keys/{number}", read=self._read)
        add("keys/{number}/decapsulate", update=self._decapsulate)
        add("keys/{number}/hold", update=self._hold)
        add("keys/{number}/release", update=self._release)

    def close(self) -> None:
        """Nothing of it lives outside the store."""

    def tick(self) -> list[str]:
        """Destroys private keys whose time is over and which no gateway still needs."""
        done, now = [], self._store.clock()
        for name in self._store.names(self._days):
            record = orjson.loads(self._store.require(name))
            if record["private"] and now >= record["not_after"] + _KEPT_S and not record["holds"]:
                record["private"] = ""
                self._store.put(name, orjson.dumps(record))
                done.append(f"destroyed the KEM key {record['id']}")
        return done

    def _identity(self) -> MLDSA65PrivateKey:
        seed = self._store.get(self._identity_name)
        if seed is None:
            seed = os.urandom(32)  # FIPS 204, algorithm 1: xi
            self._store.put(self._identity_name, seed)
        return MLDSA65PrivateKey.from_seed_bytes(seed)

    def _identity_pem(self, request: Request) -> dict[str, Any]:
        """GET identity: the ML-DSA-65 key that gateways pin."""
        public = self._identity().public_key()
        return {"public_key": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()}

    def _today(self, request: Request) -> dict[str, Any]:
        """GET today?suites=…: today's signed bundle of the first suite that is offered, made when needed."""
        wanted = [int(one) for one in request.fields.names("suites") if one.isdecimal()]
        suite = first_offered(wanted, self._suites)
        day = DailyKey.at(self._store.clock(), suite.id)
        number = day.key_id
        data = self._store.get(self._days + number)
        if data is None:
            private, public = suite.generate()
            record = {
                "id": number,
                "suite": suite.id,
                "private": encode(private),
                "public": encode(public),
                "not_before": day.starts,
                "not_after": day.ends,
                "holds": [],
            }
            self._store.put(self._days + number, orjson.dumps(record))
        else:
            record = orjson.loads(data)
        bundle = day.bundle(decode(record["public"], "public key"))
        return {"key_id": number, "bundle": encode(sign_bundle(bundle, self._identity()).SerializeToString())}

    def _find(self, number: str) -> dict[str, Any]:
        data = self._store.get(self._days + number) if number.isascii() else None
        if data is None:
            raise NotFound(f"there never was a KEM key {number}")
        record: dict[str, Any] = orjson.loads(data)
        return record

    def _index(self, request: Request) -> dict[str, Any]:
        return {"keys": [name.removeprefix(self._days) for name in self._store.names(self._days)]}

    def _read(self, request: Request, number: str) -> dict[str, Any]:
        record = self._find(number)
        return {
            **{name: record[name] for name in record if name != "private"},
            "destroyed": not record["private"],
        }

    def _decapsulate(self, request: Request, number: str) -> dict[str, Any]:
        """POST keys/{id}/decapsulate: {encapsulation}: the session secret that a gateway wrapped."""
        record = self._find(number)
        if not record["private"]:
            raise Invalid(f"the KEM key {number} was destroyed: what was sealed to it is gone, by design")
        suite = self._suites[record["suite"]]
        try:
            secret = suite.decapsulate(decode(record["private"], "key"), request.fields.data("encapsulation"))
        except KemError as error:
            raise Invalid(str(error)) from None
        return {"secret": encode(secret)}

    def _hold(self, request: Request, number: str) -> dict[str, Any]:
        """POST keys/{id}/hold: {gateway}: it still has records under this key."""
        return self._change(request, number, hold=True)

    def _release(self, request: Request, number: str) -> dict[str, Any]:
        """POST keys/{id}/release: {gateway}: it has none any more, or an operator gives them up."""
        return self._change(request, number, hold=False)

    def _change(self, request: Request, number: str, *, hold: bool) -> dict[str, Any]:
        record, gateway = self._find(number), request.fields.text("gateway")
        if not gateway:
            raise Invalid("gateway: name the gateway")
        request.check_gateway(gateway)
        record["holds"] = sorted({*record["holds"], gateway} if hold else {*record["holds"]} - {gateway})
        self._store.put(self._days + number, orjson.dumps(record))
        return {"holds": record["holds"]}
