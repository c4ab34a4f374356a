"""The portal's forms, each with bounds on what may be typed."""

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib.auth.forms import AuthenticationForm, BaseUserCreationForm
from django.utils.translation import gettext_lazy as _

from pericard_cloud.portal.models import ApiToken, User

if TYPE_CHECKING:
    _UserForm = BaseUserCreationForm[User]
    _TokenForm = forms.ModelForm[ApiToken]
else:  # Django's classes have type parameters in its stubs only
    _UserForm, _TokenForm = BaseUserCreationForm, forms.ModelForm

MAX_PASSWORD = 256  # hashing more would be our work for somebody else's paste


class Registration(_UserForm):
    """A new user: a name and a password, and nothing else is asked."""

    class Meta:
        """What Django makes the form of."""

        model = User
        fields = ("name",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].widget.attrs.update(
            autocomplete="username", autocapitalize="none", autofocus=True
        )
        for one in ("password1", "password2"):
            self.fields[one].widget.attrs["maxlength"] = str(MAX_PASSWORD)
            self.fields[one].max_length = MAX_PASSWORD  # type: ignore[attr-defined]

    def clean_password1(self) -> str:
        """The password, when it is not absurdly long."""
        password: str = self.cleaned_data["password1"]
        if len(password) > MAX_PASSWORD:
            raise forms.ValidationError(_("This password is too long."))
        return password


class Login(AuthenticationForm):
    """Name and password."""

    username = forms.CharField(
        label=_("Name"),
        max_length=64,
        widget=forms.TextInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "autofocus": True}
        ),
    )
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=MAX_PASSWORD,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class NewToken(_TokenForm):
    """A token's name, by which its owner knows it again."""

    class Meta:
        """What Django makes the form of."""

        model = ApiToken
        fields = ("name",)
        help_texts: ClassVar[dict[str, Any]] = {"name": _("What you will use it for.")}
