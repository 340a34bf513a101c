"""`python -m fastdeploy_bot` is `fastdeploy`."""

from fastdeploy_bot.cli import main

main()
