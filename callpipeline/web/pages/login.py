"""The page of the login; `web/access/` does the rest."""

from fastapi import Request
from fastapi.responses import Response

from callpipeline.web.access import LoginForm
from callpipeline.web.pages.rendering import page


def login_page(request: Request, form: LoginForm) -> Response:
    """The form, and what was wrong with the last one."""
    return page(request, "login.html", 401 if form.problem else 200, form=form)
