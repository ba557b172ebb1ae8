"""`/users` and `/keys`: who may use the app and its API, for admins."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from callpipeline.domain.access import ApiKeyRecord, Role, Scope
from callpipeline.errors import UnknownUser
from callpipeline.web.access import Admin
from callpipeline.web.problems import problems
from callpipeline.web.services.audit import name_in_audit
from callpipeline.web.state import AppState, State
from callpipeline.wiring.administration import (
    ListedUser,
    UserAdministration,
    create_key,
    key_end,
    revoke_key,
)

router = APIRouter(tags=["administration"])


class UserRequest(BaseModel):
    """A user to add."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    role: Role = Role.USER


class UserChange(BaseModel):
    """Changes of a user; null keeps it."""

    role: Role | None = None
    is_enabled: bool | None = None


class UserDocument(BaseModel):
    """A user. Those of the settings are changed there; `password` is shown once, when it is new."""

    name: str
    role: Role
    is_enabled: bool
    managed_in: Literal["app", "settings"]
    password: str | None = None


class KeyRequest(BaseModel):
    """A key to create; `expires` is a lifetime such as 90d, or a day."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[Scope], Field(min_length=1)]
    expires: Annotated[str | None, Field(max_length=40)] = None


class KeyDocument(BaseModel):
    """An API key; `key` is shown once, when it is created."""

    key_id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    key: str | None = None


def user_administration(state: AppState) -> UserAdministration:
    """Return the rules for users, which pages and API share."""
    return UserAdministration(state.options, state.storage.users)


@router.get("/users", responses=problems(503))
def users(state: State) -> list[UserDocument]:
    """List users with their roles."""
    return [_user(each) for each in user_administration(state).list()]


@router.post("/users", status_code=201, responses=problems(409, 422, 503))
def add_user(state: State, request: Request, visitor: Admin, wanted: UserRequest) -> UserDocument:
    """Add a user; the answer has the generated password, which is shown only once."""
    name_in_audit(request, f"{wanted.name} {wanted.role}")
    administration = user_administration(state)
    password = administration.add(wanted.name, wanted.role, by=visitor.name)
    return _found(administration, wanted.name.strip(), password)


@router.patch("/users/{user_name}", responses=problems(404, 409, 422, 503))
def change_user(
    state: State, request: Request, visitor: Admin, user_name: str, wanted: UserChange
) -> UserDocument:
    """Change the role or the state of a user. The last admin stays one."""
    state_word = {None: "", True: "enabled", False: "disabled"}[wanted.is_enabled]
    name_in_audit(request, " ".join(filter(None, (user_name, wanted.role, state_word))))
    administration = user_administration(state)
    administration.change(
        user_name, role=wanted.role, is_enabled=wanted.is_enabled, by=visitor.name
    )
    return _found(administration, user_name)


@router.post("/users/{user_name}/password", responses=problems(404, 409, 503))
def reset_password(state: State, request: Request, visitor: Admin, user_name: str) -> UserDocument:
    """Give a user a new password, which is shown only once; it ends the user's sessions."""
    name_in_audit(request, user_name)
    administration = user_administration(state)
    password = administration.reset_password(user_name, by=visitor.name)
    return _found(administration, user_name, password)


@router.delete("/users/{user_name}", status_code=204, responses=problems(404, 409, 503))
def remove_user(state: State, request: Request, user_name: str) -> None:
    """Remove a user."""
    name_in_audit(request, user_name)
    user_administration(state).remove(user_name)


def _found(
    administration: UserAdministration, name: str, password: str | None = None
) -> UserDocument:
    listed = next((each for each in administration.list() if each.name == name), None)
    if listed is None:
        raise UnknownUser(f"There is no user {name} whom this app manages.")
    return _user(listed).model_copy(update={"password": password})


def _user(listed: ListedUser) -> UserDocument:
    return UserDocument(
        name=listed.name,
        role=listed.role,
        is_enabled=listed.is_enabled,
        managed_in="app" if listed.account else "settings",
    )


@router.get("/keys", responses=problems(503))
def keys(state: State) -> list[KeyDocument]:
    """List API keys, newest first, revoked ones too."""
    return [_key(each) for each in state.storage.keys.all()]


@router.post("/keys", status_code=201, responses=problems(422, 503))
def add_key(state: State, request: Request, visitor: Admin, wanted: KeyRequest) -> KeyDocument:
    """Create an API key; the answer has the key itself, which is shown only once."""
    name_in_audit(request, f"{wanted.name} {', '.join(sorted(set(wanted.scopes)))}")
    end = key_end(wanted.expires, datetime.now(UTC)) if wanted.expires else None
    made = create_key(
        state.storage.keys, wanted.name, wanted.scopes, by=visitor.name, expires_at=end
    )
    found = state.storage.keys.find(made.key_id)
    assert found  # it was just added
    return _key(found[0]).model_copy(update={"key": made.to_text()})


@router.delete("/keys/{key_id}", status_code=204, responses=problems(404, 503))
def revoke(state: State, request: Request, visitor: Admin, key_id: str) -> None:
    """Revoke an API key. It stops working within seconds."""
    name_in_audit(request, key_id)
    revoke_key(state.storage.keys, key_id, by=visitor.name)


def _key(record: ApiKeyRecord) -> KeyDocument:
    return KeyDocument(**{name: getattr(record, name) for name in record.__dataclass_fields__})
