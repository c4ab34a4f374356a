"""Stand-ins with which viper code runs where there is no viper: on CPython.

In a viper function `ptr8(x)` is a machine pointer; here it is the buffer itself, which is indexed alike.
"""


class micropython:
    """The one decorator that this firmware uses."""

    @staticmethod
    def viper(function):
        """The function as it is."""
        return function


def _same(value):
    return value


ptr8 = ptr32 = uint = _same
