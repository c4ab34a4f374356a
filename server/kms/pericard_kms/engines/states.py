"""The states of a key version, after NIST SP 800-57 part 1 revision 5, section 7: a table, nothing else."""

from enum import StrEnum

from pericard_kms.errors import Invalid


class KeyState(StrEnum):
    """Where a key version is in its life."""

    PRE_ACTIVE = "pre-active"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DEACTIVATED = "deactivated"
    COMPROMISED = "compromised"
    DESTROYED = "destroyed"


# Section 7.3's transitions that a person or a clock may ask for. Destruction is never asked for directly:
# it is scheduled, can be cancelled, and then happens (see `pericard_kms.engines.transit.lifecycle`).
TRANSITIONS: dict[KeyState, frozenset[KeyState]] = {
    KeyState.PRE_ACTIVE: frozenset({KeyState.ACTIVE, KeyState.COMPROMISED, KeyState.DESTROYED}),
    KeyState.ACTIVE: frozenset(
        {KeyState.SUSPENDED, KeyState.DEACTIVATED, KeyState.COMPROMISED, KeyState.DESTROYED}
    ),
    KeyState.SUSPENDED: frozenset(
        {KeyState.ACTIVE, KeyState.DEACTIVATED, KeyState.COMPROMISED, KeyState.DESTROYED}
    ),
    KeyState.DEACTIVATED: frozenset({KeyState.COMPROMISED, KeyState.DESTROYED}),
    KeyState.COMPROMISED: frozenset({KeyState.DESTROYED}),
    KeyState.DESTROYED: frozenset(),
}
# Protecting: encrypt, sign, MAC, encapsulate. Processing what was protected: decrypt, decapsulate.
PROTECTS = frozenset({KeyState.ACTIVE})
# A compromised key still opens, so that data can be moved away from it; that is why it can be rewrapped.
OPENS = frozenset({KeyState.ACTIVE, KeyState.SUSPENDED, KeyState.DEACTIVATED, KeyState.COMPROMISED})
# A compromised key's signatures prove nothing: whoever has the key can make them, with any date.
VERIFIES = frozenset({KeyState.ACTIVE, KeyState.SUSPENDED, KeyState.DEACTIVATED})


def check_transition(old: KeyState, new: KeyState) -> None:
    """Whether a version may go from `old` to `new`.

    Raises:
        Invalid: it may not.
    """
    if new not in TRANSITIONS[old]:
        allowed = ", ".join(sorted(TRANSITIONS[old])) or "nothing: it is final"
        raise Invalid(f"a key version that is {old} cannot become {new}; it can become {allowed}")


def read_state(text: str) -> KeyState:
    """The state named `text`.

    Raises:
        Invalid: there is none.
    """
    try:
        return KeyState(text)
    except ValueError:
        raise Invalid(f"unknown state {text!r}: use one of {', '.join(KeyState)}") from None
