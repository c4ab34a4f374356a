"""Pages of an account: registration, login, logout, password, tokens, quota."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from pericard_cloud.portal import tokens
from pericard_cloud.portal.api import quota_of
from pericard_cloud.portal.counts import counts
from pericard_cloud.portal.forms import MAX_PASSWORD, Login, NewToken, Registration
from pericard_cloud.portal.models import ApiToken
from pericard_cloud.portal.services import services
from pericard_cloud.portal.users import current
from pericard_web import throttle
from pericard_web.pages import too_many
from pericard_web.throttle import Limit, Throttled

# A password is guessed by one at one account, by one at many accounts, or by many at one account. The last
# limit is wide: whoever wants to lock somebody out has to go on with it from many addresses.
_PAIR = Limit("login by account and address", 5, 300)
_ADDRESS = Limit("login by address", 30, 900)
_ACCOUNT = Limit("login by account", 100, 3600)


def _throttled(request: HttpRequest, error: Throttled) -> HttpResponse:
    counts().refuse("throttled", str(error))
    return too_many(request, error)


class LoginPage(LoginView):
    """Login. An attempt is counted before the password is looked at."""

    form_class = Login
    template_name = "portal/login.html"
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Logs in, or shows the form again, or refuses to look."""
        name = request.POST.get("username", "")[:64].casefold()
        address = throttle.address(request)
        limits = [(_PAIR, f"{name}\0{address}"), (_ADDRESS, address), (_ACCOUNT, name)]
        try:
            throttle.take(limits)
        except Throttled as error:
            return _throttled(request, error)
        response = super().post(request, *args, **kwargs)
        if request.user.is_authenticated:
            throttle.give_back(limits)
        else:
            counts().refuse("login", "a login failed")
        return response


class LogoutPage(LogoutView):
    """Logout; the browser forgets pages, but not the user's keys: those are its own, and only there."""

    http_method_names = ["post", "options"]  # noqa: RUF012 - as Django declares it

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Logs out."""
        response = super().dispatch(request, *args, **kwargs)
        response.headers["Clear-Site-Data"] = '"cache"'
        return response


class PasswordPage(PasswordChangeView):
    """A new password, for whoever knows the old one; other sessions of the account end."""

    form_class = PasswordChangeForm
    template_name = "portal/password.html"
    success_url = reverse_lazy("account")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Changes it. A stolen session cannot be used to guess the password."""
        limits = [(_ACCOUNT, f"{current(request).name}\0password")]
        try:
            throttle.take(limits)
        except Throttled as error:
            return _throttled(request, error)
        if any(len(value) > MAX_PASSWORD for value in request.POST.values()):
            messages.error(request, _("This password is too long."))
            return redirect("password")
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        """Says that it was done."""
        messages.success(self.request, _("Your password was changed."))
        return super().form_valid(form)


@require_http_methods(["GET", "HEAD", "POST"])
def register(request: HttpRequest) -> HttpResponse:
    """A new account; whoever makes it is logged in."""
    if request.user.is_authenticated:
        return redirect("models")
    if request.method != "POST":
        return render(request, "portal/register.html", {"form": Registration()})
    try:
        most = services().portal.limits.registrations
        throttle.take([(Limit("registration by address", most, 3600), throttle.address(request))])
    except Throttled as error:
        return _throttled(request, error)
    form = Registration(request.POST)
    if not form.is_valid():
        return render(request, "portal/register.html", {"form": form})
    login(request, form.save())
    return redirect("keys")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """Tokens and quota. A new token is shown in the answer to the form that makes it, and never again."""
    user, made = current(request), None
    form = NewToken(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        if user.tokens.count() >= tokens.MOST:
            form.add_error(None, _("You have as many tokens as one may have: delete one first."))
        else:
            made = tokens.make(user, form.cleaned_data["name"])
            form = NewToken()
    return render(
        request,
        "portal/account.html",
        {"form": form, "made": made, "tokens": user.tokens.order_by("-created"), "quota": quota_of(user)},
    )


@login_required
@require_POST
def delete_token(request: HttpRequest, token_id: int) -> HttpResponse:
    """Ends a token at once."""
    if not ApiToken.objects.filter(pk=token_id, user=current(request)).delete()[0]:
        raise Http404
    messages.success(request, _("The token was deleted."))
    return redirect("account")
