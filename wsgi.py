"""The entrance for WSGI servers: `gunicorn wsgi:app`."""

from fastdeploy_bot.app import create_app

app = create_app()
