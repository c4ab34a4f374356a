"""The bench measures: every agreed key is there, and the figures hang together."""

from pericard_tools.bench.gateway import measure


def test_every_agreed_figure_is_measured() -> None:
    figures = measure(frames=256 * 4, runs=1, seconds=0.5)
    assert {"name", "machine", "runs", "frames_per_s", "floor_frames_per_s", "ratio"} <= set(figures)
    assert {"p50_ms", "p99_ms", "wire_bytes_per_frame", "rss_mb"} <= set(figures)
    assert float(str(figures["ratio"])) > 1
    assert 0 < float(str(figures["p50_ms"])) <= float(str(figures["p99_ms"]))
    assert 89 < float(str(figures["wire_bytes_per_frame"])) < 121  # payload < it < device frame
