"""A login page without any style, for an app that has none of its own."""

from html import escape
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse

if TYPE_CHECKING:
    from callpipeline.web.access.login import LoginForm


def plain_login_page(request: Request, form: "LoginForm") -> HTMLResponse:
    """The form, and what was wrong with the last one."""
    return HTMLResponse(f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Log in · callpipeline</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<main><h1>Log in</h1><p role="alert">{escape(form.problem)}</p>
<form method="post" action="/login">
<input type="hidden" name="csrf_token" value="{escape(form.csrf_token)}">
<input type="hidden" name="next" value="{escape(form.next)}">
<p><label>Name <input name="name" value="{escape(form.name)}" autocomplete="username"
required autofocus></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password"
required></label></p>
<p><button>Log in</button></p></form></main></html>""")
