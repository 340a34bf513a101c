"""What gunicorn reads when it is started in this folder: the one server configuration.

It lives in `fastdeploy_bot/serving.py`, because `fastdeploy serve` uses it too, also where the bot is
installed and this folder is absent.
"""

from fastdeploy_bot.serving import *
