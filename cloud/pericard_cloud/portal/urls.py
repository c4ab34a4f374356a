"""Every address of the site."""

from django.urls import include, path, register_converter

from pericard_cloud.portal import accounts, pages
from pericard_cloud.portal.api import api
from pericard_cloud.portal.models import ID_LENGTH


class Id:
    """An id of ours in an address."""

    regex = f"[0-9a-f]{{{ID_LENGTH}}}"

    def to_python(self, value: str) -> str:
        """The id itself."""
        return value

    def to_url(self, value: str) -> str:
        """The id itself."""
        return value


register_converter(Id, "id")

urlpatterns = [
    path("", pages.home, name="home"),
    path("register/", accounts.register, name="register"),
    path("login/", accounts.LoginPage.as_view(), name="login"),
    path("logout/", accounts.LogoutPage.as_view(), name="logout"),
    path("account/", accounts.account, name="account"),
    path("account/password/", accounts.PasswordPage.as_view(), name="password"),
    path("account/tokens/<int:token_id>/delete/", accounts.delete_token, name="delete-token"),
    path("models/", pages.models, name="models"),
    path("models/<slug:name>/", pages.predict, name="predict"),
    path("keys/", pages.keys, name="keys"),
    path("keys/<id:key_id>/revoke/", pages.revoke_keys, name="revoke-keys"),
    path("jobs/", pages.jobs, name="jobs"),
    path("jobs/<id:job_id>/cancel/", pages.cancel_job, name="cancel-job"),
    path("jobs/<id:job_id>/delete/", pages.delete_job, name="delete-job"),
    path("jobs/<id:job_id>/result/", pages.download, name="download"),
    path("jobs/<id:job_id>/query.png", pages.query_picture, name="query-picture"),
    path("what-the-server-saw/", pages.seen, name="seen"),
    path("what-the-server-saw/<id:job_id>/", pages.seen, name="seen-job"),
    path("api/", pages.reference, name="reference"),
    path("api/v1/", api.urls),
    path("language/", include("django.conf.urls.i18n")),
]
