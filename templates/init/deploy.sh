#!/bin/sh
# What deploys this service. It finds what it needs to know in FASTDEPLOY_… variables, runs in this folder, and its
# exit status decides: 0 is a success.
set -eu

echo "Deploying $FASTDEPLOY_SHA of $FASTDEPLOY_REPOSITORY ($FASTDEPLOY_REF)"

fastdeploy step "Fetch" -- sleep 0.3
fastdeploy step "Build" -- sh -c 'echo "<h1>$FASTDEPLOY_SHA</h1>" > page.html.new'
fastdeploy step "Go live" -- mv page.html.new page.html

echo "Live: $FASTDEPLOY_SERVICE_DIR/page.html"
