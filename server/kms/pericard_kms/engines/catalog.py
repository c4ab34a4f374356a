"""The types of engine that this KMS has, by their names in the API."""

from pericard_kms.engines.bundles import BundleEngine
from pericard_kms.engines.custody import CustodyEngine
from pericard_kms.engines.devices.engine import DeviceEngine
from pericard_kms.engines.mounts import EngineTypes
from pericard_kms.engines.patients import PatientEngine
from pericard_kms.engines.transit.engine import TransitEngine

ENGINE_TYPES: EngineTypes = {
    "transit": TransitEngine,
    "devices": DeviceEngine,
    "patients": PatientEngine,
    "fhe": CustodyEngine,
    "bundles": BundleEngine,
}
# What a hospital always has; transit is mounted by whoever uses it, as with Vault.
ALWAYS_MOUNTED = ("bundles", "devices", "fhe", "patients")
