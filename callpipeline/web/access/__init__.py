"""Who may ask: visitors and what they may do, keys, logins, and what their browsers may do.

access.refuse_unguarded(options)                        # before anything is served
access.install(app, options, login_page)                # after the app's own middlewares
app.state.door = access.open_door(options, database)    # in the lifespan
dependencies=[Depends(access.needs(Scope.READ, page=True))]
uvicorn.run(app, …, **access.SERVER)
"""

from callpipeline.domain.access import Scope
from callpipeline.web.access.door import Door, open_door
from callpipeline.web.access.headers import csp_nonce
from callpipeline.web.access.installing import form_token, in_templates, install
from callpipeline.web.access.login import LoginForm, LoginPage, local_path
from callpipeline.web.access.needs import (
    Admin,
    Reader,
    Uploader,
    guarded_routes,
    needs,
    visitor_of,
)
from callpipeline.web.access.starting import SERVER, refuse_unguarded
from callpipeline.web.access.visitors import Visitor

__all__ = [
    "SERVER",
    "Admin",
    "Door",
    "LoginForm",
    "LoginPage",
    "Reader",
    "Scope",
    "Uploader",
    "Visitor",
    "csp_nonce",
    "form_token",
    "guarded_routes",
    "in_templates",
    "install",
    "local_path",
    "needs",
    "open_door",
    "refuse_unguarded",
    "visitor_of",
]
