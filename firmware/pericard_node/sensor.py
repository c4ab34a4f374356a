"""Chooses the driver that the settings name; what is not chosen is never loaded, so it takes no memory."""


def open_sensor(chosen):
    """The driver for `chosen.SENSOR`, with the detector for its wave. Raises ValueError for no driver."""
    if chosen.SENSOR == "recording":
        from pericard_node.recording import RecordingSensor

        return RecordingSensor()
    from pericard_node.sampled import SampledSensor

    if chosen.SENSOR == "max30102":
        from pericard_node.max30102 import MAX30102
        from pericard_node.ppg import PulseDetector

        return SampledSensor(MAX30102(), PulseDetector(MAX30102.rate), chosen.WAVEFORM)
    if chosen.SENSOR == "ad8232":
        from pericard_node.ad8232 import AD8232

        source = AD8232()
    elif chosen.SENSOR == "waveform":
        from pericard_node.sampled import RecordedSource

        source = RecordedSource()
    else:
        raise ValueError("config.py: SENSOR is none of recording, waveform, max30102, ad8232")
    from pericard_node.ecg import BeatDetector

    return SampledSensor(source, BeatDetector(source.rate), chosen.WAVEFORM)
