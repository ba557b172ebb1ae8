"""API keys, users, login sessions, idempotency keys of requests, and the audit log."""

from callpipeline.storage.access.audit import AUDIT_PAGE, AuditLog, AuditSpool
from callpipeline.storage.access.keys import (
    ApiKeys,
    IdempotencyKeys,
    IdempotencyRecord,
    IdempotentRequest,
    Session,
    Sessions,
)
from callpipeline.storage.access.users import UserAccounts

__all__ = [
    "AUDIT_PAGE",
    "ApiKeys",
    "AuditLog",
    "AuditSpool",
    "IdempotencyKeys",
    "IdempotencyRecord",
    "IdempotentRequest",
    "Session",
    "Sessions",
    "UserAccounts",
]
