"""How the operator's API shows what is set up. No secret is in any of these rows, and none can be."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from proxy.audit.chain import INSTALLATION
from proxy.clock import rfc3339
from proxy.doctor.findings import Finding, Level
from proxy.merchant import AuditEntry, Merchant, Terminal, Token
from proxy.setup import Rotated
from proxy.web.logos import logo_path


def merchant_object(merchant: Merchant) -> dict[str, Any]:
    return {
        "id": merchant.id,
        "name": merchant.name,
        "name_fa": merchant.looks.name_fa,
        "colour": merchant.looks.colour,
        "language": merchant.looks.language,
        "logo_path": logo_path(merchant),
        "return_origins": list(merchant.return_origins),
        "created_at": rfc3339(merchant.created_at),
        "updated_at": rfc3339(merchant.updated_at),
    }


def terminal_object(terminal: Terminal) -> dict[str, Any]:
    return {
        "id": terminal.id,
        "merchant_id": terminal.merchant_id,
        "name": terminal.name,
        "mode": terminal.mode.value,
        "gateway_url": terminal.gateway_url,
        "return_base_url": terminal.return_base_url,
        "enabled": terminal.enabled,
        "created_at": rfc3339(terminal.created_at),
        "updated_at": rfc3339(terminal.updated_at),
    }


def token_object(token: Token) -> dict[str, Any]:
    """`prefix` is the part that may be shown; the digest stays inside."""
    return {
        "id": token.id,
        "merchant_id": token.merchant_id,
        "storefront": token.storefront,
        "mode": token.mode.value,
        "prefix": token.prefix,
        "scopes": token.scope_names(),
        "terminal_id": token.terminal_id,
        "created_at": rfc3339(token.created_at),
        "expires_at": optional_time(token.expires_at),
        "revoked_at": optional_time(token.revoked_at),
        "amount_unit": token.amount_unit.value,
        "return_method": token.return_method.value,
        "any_https_return": token.any_https_return,
        "last_used_at": optional_time(token.last_used_at),
    }


def audit_object(entry: AuditEntry) -> dict[str, Any]:
    """`merchant_id` is null for an act on no merchant."""
    return {
        "id": entry.id,
        "merchant_id": None if entry.merchant_id == INSTALLATION else entry.merchant_id,
        "at": rfc3339(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "data": dict(entry.data),
    }


def findings_object(findings: Sequence[Finding]) -> dict[str, Any]:
    healthy = all(finding.level is not Level.PROBLEM for finding in findings)
    return {"healthy": healthy, "findings": [asdict(finding) for finding in findings]}


def rotated_object(rotated: Rotated) -> dict[str, Any]:
    return {
        "kek_id": rotated.kek_id,
        "rewrapped": rotated.rewrapped,
        "failed": list(rotated.failed),
        "done": rotated.done,
    }


def optional_time(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
