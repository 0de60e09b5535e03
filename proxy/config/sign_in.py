"""The settings of how people sign in to the console: by a provider of OpenID Connect, beside operators' tokens."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from proxy.kernel.urls import bare_origin_of, is_loopback, origin_of
from proxy.operators.records import Role

CALLBACK: Final = "/console/login/oidc/answer"
_WRITE: Final = "write group=role, such as dargah-owners=owner,dargah-staff=operate"


class GroupRoles(dict[str, Role]):
    """The role of each group."""

    def __str__(self) -> str:
        return ",".join(f"{group}={role}" for group, role in self.items())


def parse_roles_of_groups(value: object) -> GroupRoles:
    """`group=role`, by comma or line. Raises ValueError."""
    if isinstance(value, Mapping):
        return GroupRoles(value)
    roles = GroupRoles()
    for entry in filter(None, (piece.strip() for piece in re.split(r"[,\n]", str(value)))):
        group, _, role = (part.strip() for part in entry.rpartition("="))
        if not group or role not in set(Role):
            raise ValueError(f"{entry!r}: {_WRITE}; a role is {', '.join(Role)}")
        if group in roles:
            raise ValueError(f"the group {group} stands twice")
        roles[group] = Role(role)
    return roles


def _safe_origin(text: str, name: str, *, plain_http: bool) -> None:
    parts = urlsplit(text)
    if parts.scheme == "http" and not plain_http and not is_loopback(parts.hostname or ""):
        raise ValueError(f"{name} must be https://, or on loopback, or DARGAH_ENVIRONMENT=development")


class SignInSettings(BaseSettings):
    """Part of Settings."""

    console_url: str | None = Field(
        None,
        description="The origin of the console as operators' browsers reach it, such as "
        "https://dargah.internal.example.ir. Needed for DARGAH_OIDC_ISSUER; its host need not stand in "
        "DARGAH_ADMIN_HOSTS.",
    )
    second_factor: Literal["optional", "required"] = Field(
        "optional",
        description="Whether operators who log in to the console by their token must have a second factor, codes of an "
        "authenticator app. With required they enrol one before anything else.",
    )
    console_settings_tokens: bool = Field(
        True,
        description="Whether the tokens of DARGAH_ADMIN_TOKEN, which have no second factor, open the console. Without, "
        "they are for the commands and the API alone.",
    )
    oidc_issuer: str | None = Field(
        None,
        description="The provider of OpenID Connect that operators may sign in by, exactly as it calls itself, such as "
        "https://id.example.ir/realms/staff. Register DARGAH_CONSOLE_URL and /console/login/oidc/answer there.",
    )
    oidc_client_id: str | None = Field(None, description="The name of this console at the provider.")
    oidc_client_secret: SecretStr | None = Field(
        None, description="The secret of a confidential client there; none for a public one, which has PKCE alone."
    )
    oidc_scopes: str = Field("openid profile email", description="The scopes that are asked for; openid is among them.")
    oidc_groups_claim: str = Field(
        "groups",
        description="The claim of the ID token that has the groups, or its path, such as realm_access.roles. email "
        "gives roles to verified addresses, where a provider knows no groups.",
    )
    oidc_roles: Annotated[GroupRoles, BeforeValidator(parse_roles_of_groups), NoDecode] = Field(
        GroupRoles(),
        description="The roles of groups, comma separated: dargah-owners=owner,dargah-staff=operate. The highest one "
        "counts; without one nobody gets in.",
    )
    oidc_button: str | None = Field(None, max_length=40, description="The text of the login's button.")
    oidc_ca_file: Path | None = Field(
        None, description="A PEM file with the authorities of the provider's certificate, where it is not a public one."
    )

    @field_validator("console_url")
    @classmethod
    def _console_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            return bare_origin_of(value.rstrip("/"))
        except ValueError:
            raise ValueError("write an origin, such as https://dargah.internal.example.ir") from None

    @field_validator("oidc_issuer")
    @classmethod
    def _issuer(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                origin_of(value)
            except ValueError:
                raise ValueError("write the provider's URL, such as https://id.example.ir/realms/staff") from None
            if "?" in value or "#" in value or not value.isascii():
                raise ValueError("an issuer is a URL without ? and #, in ASCII")
        return value

    @field_validator("oidc_scopes")
    @classmethod
    def _scopes(cls, value: str) -> str:
        if "openid" not in value.split():
            raise ValueError("openid must be among them")
        return " ".join(value.split())

    def check_sign_in(self, *, plain_http: bool) -> None:
        """Raises ValueError where the settings of the provider are not whole."""
        if self.console_url is not None:
            _safe_origin(self.console_url, "DARGAH_CONSOLE_URL", plain_http=plain_http)
        if self.oidc_issuer is None:
            return
        _safe_origin(self.oidc_issuer, "DARGAH_OIDC_ISSUER", plain_http=plain_http)
        needed = {"DARGAH_OIDC_CLIENT_ID": self.oidc_client_id, "DARGAH_CONSOLE_URL": self.console_url}
        for name, value in {**needed, "DARGAH_OIDC_ROLES": self.oidc_roles}.items():
            if not value:
                raise ValueError(f"DARGAH_OIDC_ISSUER needs {name}")
