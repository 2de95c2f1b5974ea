"""The one exception that a user is meant to read, and the one warning."""


class EcglibError(Exception):
    """Something outside the code is wrong (a path, a record, a parameter, a disk); the message says what to do.

    The command line prints the message alone and exits with 1; a traceback is kept for real defects.
    """


class Busy(EcglibError):
    """Another process is doing the same."""


class EcglibWarning(UserWarning):
    """Something can be used but is odd; the message says what. The command line prints it as one line on stderr."""
