"""What gunicorn reads when it is started in this folder: the one server configuration, as `fastdeploy serve` uses it.

It lives in `fastdeploy_bot/serving.py`, so that an installed bot, which has no such folder, is served the same way.
"""

from fastdeploy_bot.serving import *
