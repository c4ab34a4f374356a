"""The base of all schemas that check text from outside: configurations, invitations, manifests."""

import pydantic


class Section(pydantic.BaseModel):
    """A table: unknown keys are refused, values are never coerced between kinds, errors repeat no value."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)
