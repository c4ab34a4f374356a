"""The site as a WSGI application, for the web server's process."""

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
