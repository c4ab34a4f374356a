"""The types of engine that this KMS has, by their names in the API."""

from collections.abc import Mapping
from functools import partial

from pericard_kms.engines.bundles import BundleEngine
from pericard_kms.engines.custody import CustodyEngine
from pericard_kms.engines.devices.engine import DeviceEngine
from pericard_kms.engines.mounts import EngineTypes
from pericard_kms.engines.patients import PatientEngine
from pericard_kms.engines.transit.engine import TransitEngine
from pericard_protocol.uplink.suites import KemSuite

# What a hospital always has; transit is mounted by whoever uses it, as with Vault.
ALWAYS_MOUNTED = ("bundles", "devices", "fhe", "patients")


def engine_types(suites: Mapping[int, KemSuite]) -> EngineTypes:
    """Every type; `suites` are the KEM provider's, for the KEM keys of `bundles`."""
    return {
        "transit": TransitEngine,
        "devices": DeviceEngine,
        "patients": PatientEngine,
        "fhe": CustodyEngine,
        "bundles": partial(BundleEngine, suites=suites),
    }
