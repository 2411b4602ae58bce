"""The one error that means: the input is at fault, and here is what to do."""


class InputError(ValueError):
    """Bad input from outside: a path, a table, a picture, a time, a name.

    The message is one sentence that says what was wrong, where, and what to do. The command line
    prints it on one line and exits with status 2; the HTTP service answers it with a 4xx status
    (a damaged store, which is nobody's input, with 500).
    """


class MissingExtraError(InputError):
    """A feature needs an optional package that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        """Name the ``package`` that is missing and the ``extra`` that brings it."""
        super().__init__(
            f"this needs the package '{package}'; install it with: pip install 'passerby[{extra}]'"
        )


def one_line(error: BaseException, length: int = 160) -> str:
    """Return an error's message on one line, cut to ``length`` characters, to quote in another."""
    return " ".join(str(error).split())[:length]
