"""What crosses a trust boundary: codecs, envelopes, messages, KEM suites.

Pure functions on bytes: no sockets, no files, no clocks, no stored keys.
"""
