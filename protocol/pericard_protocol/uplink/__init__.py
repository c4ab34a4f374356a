"""Gateway and hospital: suites, key bundles, sealed sessions, enrolment (docs/wire-format.md, 2)."""
