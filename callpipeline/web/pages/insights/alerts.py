"""Alert rules (`/alerts`), for admins: list, add, change and delete them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, BeforeValidator, Field

from callpipeline.domain.notifications import (
    AlertKind,
    AlertRule,
    EventKind,
    NotificationChannel,
    NotificationPolicy,
)
from callpipeline.errors import AlertRuleOutdated
from callpipeline.web.access import Admin, Scope, require
from callpipeline.web.pages.rendering import page
from callpipeline.web.state import AppState, State

may_change = Depends(require(Scope.ADMIN, page=True, action="see and change alerts"))
router = APIRouter(prefix="/alerts", dependencies=[may_change])

KIND_LABELS: Mapping[AlertKind, str] = {
    AlertKind.SPIKE: "A competitor is mentioned more",
    AlertKind.SENTIMENT: "Customers speak worse of a competitor",
    AlertKind.LEAVING: "A customer says that they leave",
    AlertKind.NEW_COMPETITOR: "A competitor is mentioned for the first time",
}
THRESHOLD_LABELS: Mapping[AlertKind, str] = {
    AlertKind.SPIKE: "rise of mentions, more than chance",
    AlertKind.SENTIMENT: "rise of negative mentions by customers, more than chance",
    AlertKind.LEAVING: "moments in which a customer leaves",
    AlertKind.NEW_COMPETITOR: "mentions",
}
BLANK_AS_NONE = BeforeValidator(lambda value: None if value == "" else value)


class AlertForm(BaseModel):
    """Form of a rule; `rule_id` is blank for a new one, `seen_at` when the shown one was made."""

    rule_id: Annotated[int | None, BLANK_AS_NONE] = None
    seen_at: Annotated[datetime | None, BLANK_AS_NONE] = None
    kind: AlertKind = AlertKind.SPIKE
    competitor: Annotated[str, Field(max_length=200)] = ""
    threshold: Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)] = 5.0
    days: Annotated[int, Field(ge=1, le=366)] = 7
    min_calls: Annotated[int, Field(ge=1, le=10_000_000)] = 30
    channels: list[NotificationChannel] = []
    has_quotes: bool = False
    is_enabled: bool = False

    def rule(self, by: str | None) -> AlertRule:
        """Return the rule that the form describes."""
        competitor = self.competitor.strip() or None
        return AlertRule(
            kind=self.kind,
            threshold=self.threshold,
            days=self.days,
            min_calls=self.min_calls,
            competitor=None if self.kind is AlertKind.NEW_COMPETITOR else competitor,
            channels=tuple(dict.fromkeys(self.channels)),
            has_quotes=self.has_quotes,
            is_enabled=self.is_enabled,
            rule_id=self.rule_id,
            made_by=by,
        )


@router.get("")
def alerts(
    request: Request, state: State, edit: Annotated[int | None, Query(ge=1)] = None
) -> Response:
    """Show the rules, and a form for a new one or for the one to change."""
    rules = state.storage.alert_rules.list()
    if edit is None:
        return _page(request, state, AlertRule(AlertKind.SPIKE))
    rule = next((each for each in rules if each.rule_id == edit), None)
    if rule is None:
        raise HTTPException(404, "This rule was deleted.")
    return _page(request, state, rule)


@router.post("")
def save_alert(
    request: Request, state: State, visitor: Admin, form: Annotated[AlertForm, Form()]
) -> Response:
    """Add or change a rule; if someone else did meanwhile, show the form again and say so."""
    rule = form.rule(visitor.name)
    try:
        state.storage.alert_rules.save(rule, form.seen_at)
    except AlertRuleOutdated as error:
        # With the time that was seen, so that saving the same form again is refused too.
        return _page(request, state, replace(rule, made_at=form.seen_at), str(error), 409)
    return RedirectResponse("/alerts", 303)


@router.post("/delete")
def delete_alert(state: State, rule_id: Annotated[int, Form(ge=1, le=2**62)]) -> RedirectResponse:
    """Delete a rule; one that is gone already is fine."""
    state.storage.alert_rules.delete(rule_id)
    return RedirectResponse("/alerts", 303)


def _page(
    request: Request, state: AppState, shown: AlertRule, problem: str = "", status: int = 200
) -> Response:
    policy = state.dispatcher.policy
    return page(
        request,
        "alerts.html",
        status,
        rules=state.storage.alert_rules.list(),
        shown=shown,
        problem=problem,
        kinds=KIND_LABELS,
        thresholds=THRESHOLD_LABELS,
        competitors=state.filter_choices().competitors,
        channels=sorted(policy.routing.configured),
        default_channels=policy.routing.channels(EventKind.CONTENT_ALERT),
        quote_channels=sorted(_quotable(policy)),
    )


def _quotable(policy: NotificationPolicy) -> frozenset[NotificationChannel]:
    return policy.quote_channels & policy.routing.configured
