"""The exposition: figures in the text format that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from fastdeploy_bot import __version__
from fastdeploy_bot.core import clock
from fastdeploy_bot.core.looks import figures
from fastdeploy_bot.core.looks.figures import Figures

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


def text(found: Figures, *, now: int) -> bytes:
    """All of the figures."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Rows(found, now=now))
    return generate_latest(registry)


class _Rows(Collector):
    """The figures as metrics; a collector is what prometheus_client asks for them."""

    def __init__(self, found: Figures, *, now: int) -> None:
        self._found = found
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        yield InfoMetricFamily("fastdeploy_build", "The version that answers.", value={"version": __version__})
        yield from self._deployments()
        yield from self._services()
        yield from self._webhooks()
        yield from self._owed()
        yield from self._recovered()

    def _deployments(self) -> Iterator[Metric]:
        found = self._found
        kept = GaugeMetricFamily("fastdeploy_deployments", "Deployments that are kept.", labels=["service", "state"])
        for (service, state), count in found.deployments.items():
            kept.add_metric([service, state], count)
        yield kept
        queue = GaugeMetricFamily("fastdeploy_queue", "Deployments that have not begun.", labels=["state"])
        for state, count in found.queue.items():
            queue.add_metric([state], count)
        yield queue
        yield self._age("fastdeploy_queue_oldest_seconds", "How long the oldest of those waits.", found.oldest_queued)
        running = GaugeMetricFamily("fastdeploy_running", "Deployments that run.", labels=["host"])
        for host, count in found.running.items():
            running.add_metric([host], count)
        yield running

    def _services(self) -> Iterator[Metric]:
        live = GaugeMetricFamily(
            "fastdeploy_live_since_timestamp_seconds", "When the commit that is live became so.", labels=["service"]
        )
        for service, finished in self._found.live.items():
            live.add_metric([service], finished / clock.SECOND)
        yield live
        took = GaugeMetricFamily(
            "fastdeploy_deployment_duration_seconds",
            f"How long the last {figures.SAMPLE} successes took.",
            labels=["service", "quantile"],
        )
        for service, each in self._found.took.items():
            took.add_metric([service, "0.5"], each.median)
            took.add_metric([service, "0.9"], each.p90)
        yield took

    def _webhooks(self) -> Iterator[Metric]:
        deliveries = GaugeMetricFamily("fastdeploy_deliveries", "Deliveries that are kept.", labels=["event"])
        for event, count in self._found.deliveries.items():
            deliveries.add_metric([event], count)
        yield deliveries
        verdicts = GaugeMetricFamily(
            "fastdeploy_verdicts", "What was decided about them.", labels=["service", "verdict"]
        )
        for (service, verdict), count in self._found.verdicts.items():
            verdicts.add_metric([service, verdict], count)
        yield verdicts

    def _owed(self) -> Iterator[Metric]:
        found = self._found
        yield GaugeMetricFamily("fastdeploy_reports_owed", "What GitHub was not told yet.", value=found.owed)
        yield self._age("fastdeploy_reports_owed_oldest_seconds", "How long the oldest is owed.", found.oldest_owed)
        yield GaugeMetricFamily("fastdeploy_newest_event_id", "The id of the newest event.", value=found.newest_event)

    def _recovered(self) -> Iterator[Metric]:
        looked = GaugeMetricFamily(
            "fastdeploy_looked_timestamp_seconds",
            "When a repository was last looked at for missed pushes.",
            labels=["repository"],
        )
        for repository, moment in self._found.looked.items():
            looked.add_metric([repository], moment / clock.SECOND)
        yield looked
        yield GaugeMetricFamily(
            "fastdeploy_recovered_pushes", "Missed pushes that were found, as kept.", value=self._found.recovered
        )

    def _age(self, name: str, text: str, since: int | None) -> Metric:
        """Seconds since then; 0 where there is nothing."""
        return GaugeMetricFamily(name, text, value=0 if since is None else max(0, self._now - since) / clock.SECOND)
