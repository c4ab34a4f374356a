"""Where the hospital's long-lived keys are: in a folder, or in the KMS.

`keys` says what the server asks of either; `folder` and `kms` answer, and `site` chooses between them by the
configuration. Records have their data keys wrapped here, the uplink gets its daily key bundle and opens its
sessions' encapsulations here, the analysis gets its FHE keys here (`fhe`), and the start its TLS keys.

A gateway is admitted without any of these: its certificate names it, and the fleet (`fleet.gateways`) holds
the key that verifies its sessions.
"""
