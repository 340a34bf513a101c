"""Running scripts: the run folder's protocol, the detached child that owns a script, and `fastdeploy step`."""
