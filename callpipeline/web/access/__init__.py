"""Access control: authentication, scopes, CSRF protection, security headers.

access.check_settings(options)                  # before anything is served
access.install(app, options, login_page)        # after the app's own middleware
app.state.authenticator = access.open_authenticator(options, database)  # in the lifespan
dependencies=[Depends(access.require(Scope.READ, page=True))]
uvicorn.run(app, …, **access.UVICORN_OPTIONS)
"""

from callpipeline.domain.access import Scope
from callpipeline.web.access.authenticator import Authenticator, open_authenticator
from callpipeline.web.access.login import LoginForm, LoginPage, local_path
from callpipeline.web.access.permissions import (
    Admin,
    Reader,
    Uploader,
    Visitor,
    protected_routes,
    require,
    visitor_of,
)
from callpipeline.web.access.setup import (
    UVICORN_OPTIONS,
    check_settings,
    csp_nonce,
    csrf_token,
    install,
    template_context,
)

__all__ = [
    "UVICORN_OPTIONS",
    "Admin",
    "Authenticator",
    "LoginForm",
    "LoginPage",
    "Reader",
    "Scope",
    "Uploader",
    "Visitor",
    "check_settings",
    "csp_nonce",
    "csrf_token",
    "install",
    "local_path",
    "open_authenticator",
    "protected_routes",
    "require",
    "template_context",
    "visitor_of",
]
