"""The shared base of every body: unknown fields are refused, so that a typo is an error."""

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """A JSON object between HADIS processes. NaN and infinity travel as JSON extensions."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, ser_json_inf_nan="constants", allow_inf_nan=True
    )


class OpenBody(BaseModel):
    """A body that a newer peer may extend: unknown fields are ignored."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, ser_json_inf_nan="constants", allow_inf_nan=True
    )
