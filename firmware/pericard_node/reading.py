"""What a heart sensor gives: readings and, where it samples a wave, blocks of samples.

A driver has `read()`, which waits for the next of them and returns it: a `Reading`, a `Block`, or None where
there was neither for a while. Its `rejected` counts the beats that it did not believe.
"""

from collections import namedtuple

# A beat-to-beat interval outside these (250 to 20 beats a minute) is a missed or invented beat, not a heart.
SHORTEST_RR_MS = 240
LONGEST_RR_MS = 3000

# `seconds`: whole seconds since the sensor started. They are no float: on a chip a float has 24 bits, too
# few.
Reading = namedtuple("Reading", ("seconds", "heart_rate_bpm"))
# `samples`: an array of signed 16-bit values from sample number `first` on, `rate` a second.
Block = namedtuple("Block", ("first", "rate", "samples"))


def believable(interval_ms):
    """Whether a beat-to-beat interval can be a heart's."""
    return SHORTEST_RR_MS <= interval_ms <= LONGEST_RR_MS
