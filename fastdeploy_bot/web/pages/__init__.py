"""The pages: what stands, drawn by the server for whoever reads, whole without a script."""

from fastdeploy_bot.web.pages import deliveries, deployment, overview, service
from fastdeploy_bot.web.pages.regions import register
from fastdeploy_bot.web.pages.shared import bp

__all__ = ["bp", "deliveries", "deployment", "overview", "register", "service"]
