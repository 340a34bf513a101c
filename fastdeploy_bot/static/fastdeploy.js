// Keeps the page fresh: listens to the feed, fetches the same page again, and puts its live regions in place.
