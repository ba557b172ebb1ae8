"""Users with their roles (`/admin/users`) and API keys (`/admin/keys`), for admins."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from callpipeline.domain.access import Role, Scope
from callpipeline.errors import KeyRefused, UnknownKey, UnknownUser, UserRefused
from callpipeline.web.access import Admin, require
from callpipeline.web.api.administration.access import user_administration
from callpipeline.web.pages.rendering import page
from callpipeline.web.services.audit import name_in_audit
from callpipeline.web.state import AppState, State
from callpipeline.wiring.administration import NO_LOGIN, create_key, key_end, revoke_key

router = APIRouter(
    prefix="/admin", dependencies=[Depends(require(Scope.ADMIN, page=True, action="administer"))]
)

ROLE_LABELS = {
    Role.READER: "Reader: reads and listens",
    Role.USER: "User: also uploads and corrects",
    Role.ADMIN: "Admin: everything",
}
SCOPE_LABELS = {
    Scope.READ: "Read results",
    Scope.UPLOAD: "Upload and correct",
    Scope.ADMIN: "Everything",
}
Name = Annotated[str, Form(max_length=200)]


@router.get("/users")
def users(request: Request, state: State) -> Response:
    """List the users, with a form for a new one."""
    return _users_page(request, state)


@router.post("/users")
def add_user(
    request: Request, state: State, visitor: Admin, name: Name, role: Annotated[Role, Form()]
) -> Response:
    """Add a user and show the generated password, once."""
    name_in_audit(request, f"{name} {role}")
    try:
        password = user_administration(state).add(name, role, by=visitor.name)
    except UserRefused as refusal:
        return _users_page(request, state, problem=str(refusal), entered=name)
    return _users_page(request, state, shown=(name.strip(), password))


@router.post("/users/role")
def set_role(
    request: Request, state: State, visitor: Admin, name: Name, role: Annotated[Role, Form()]
) -> Response:
    """Change the role of a user."""
    name_in_audit(request, f"{name} {role}")
    try:
        user_administration(state).change(name, role=role, by=visitor.name)
    except (UserRefused, UnknownUser) as refusal:
        return _users_page(request, state, problem=str(refusal))
    return RedirectResponse("/admin/users", 303)


@router.post("/users/state")
def set_state(
    request: Request,
    state: State,
    visitor: Admin,
    name: Name,
    is_enabled: Annotated[bool, Form()] = False,
) -> Response:
    """Disable or enable a user."""
    name_in_audit(request, f"{name} {'enabled' if is_enabled else 'disabled'}")
    try:
        user_administration(state).change(name, is_enabled=is_enabled, by=visitor.name)
    except (UserRefused, UnknownUser) as refusal:
        return _users_page(request, state, problem=str(refusal))
    return RedirectResponse("/admin/users", 303)


@router.post("/users/password")
def reset_password(request: Request, state: State, visitor: Admin, name: Name) -> Response:
    """Give a user a new password and show it, once."""
    name_in_audit(request, name)
    try:
        password = user_administration(state).reset_password(name, by=visitor.name)
    except (UserRefused, UnknownUser) as refusal:
        return _users_page(request, state, problem=str(refusal))
    return _users_page(request, state, shown=(name, password))


@router.post("/users/remove")
def remove_user(request: Request, state: State, name: Name) -> Response:
    """Remove a user."""
    name_in_audit(request, name)
    try:
        user_administration(state).remove(name)
    except (UserRefused, UnknownUser) as refusal:
        return _users_page(request, state, problem=str(refusal))
    return RedirectResponse("/admin/users", 303)


def _users_page(
    request: Request,
    state: AppState,
    *,
    problem: str = "",
    entered: str = "",
    shown: tuple[str, str] | None = None,
) -> Response:
    """Render the page; `shown` is a user with a password that is shown once."""
    return page(
        request,
        "admin/users.html",
        409 if problem else 200,
        users=user_administration(state).list(),
        roles=ROLE_LABELS,
        problem=problem,
        entered=entered,
        shown=shown,
        notice=NO_LOGIN if state.options.web_is_open else "",
        by_proxy=state.options.web_proxy_header is not None,
    )


@router.get("/keys")
def keys(request: Request, state: State) -> Response:
    """List the API keys, with a form for a new one."""
    return _keys_page(request, state)


@router.post("/keys")
def add_key(
    request: Request,
    state: State,
    visitor: Admin,
    name: Name,
    scope: Annotated[list[Scope], Form()] = [],  # noqa: B006 - never changed
    expires: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Create a key and show it, once."""
    name_in_audit(request, f"{name} {', '.join(sorted(set(scope)))}")
    try:
        end = key_end(expires, datetime.now(UTC)) if expires.strip() else None
        key = create_key(state.storage.keys, name, scope, by=visitor.name, expires_at=end)
    except KeyRefused as refusal:
        entered = {"name": name, "scopes": scope, "expires": expires}
        return _keys_page(request, state, problem=str(refusal), entered=entered)
    return _keys_page(request, state, shown=key.to_text())


@router.post("/keys/revoke")
def revoke(
    request: Request, state: State, visitor: Admin, key_id: Annotated[str, Form(max_length=40)]
) -> Response:
    """Revoke a key."""
    name_in_audit(request, key_id)
    try:
        revoke_key(state.storage.keys, key_id, by=visitor.name)
    except UnknownKey as refusal:
        return _keys_page(request, state, problem=str(refusal))
    return RedirectResponse("/admin/keys", 303)


def _keys_page(
    request: Request,
    state: AppState,
    *,
    problem: str = "",
    entered: dict[str, object] | None = None,
    shown: str | None = None,
) -> Response:
    now = datetime.now(UTC)
    listed = state.storage.keys.all()
    return page(
        request,
        "admin/keys.html",
        422 if problem else 200,
        keys=[(key, key.is_valid(now)) for key in listed],
        scopes=SCOPE_LABELS,
        problem=problem,
        entered=entered or {"name": "", "scopes": [Scope.READ], "expires": "90d"},
        shown=shown,
    )
