"""What the service refuses, and what the reader of the refusal should do."""


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """A request that is answered with another status than asked for, and why.

    Attributes:
        status: the HTTP status.
        code: a stable word that the page translates, such as ``approval_needed``.
        error: one sentence, what was wrong.
        what_to_do: one sentence.
        retry_after: seconds, for 429.
    """

    def __init__(
        self, status: int, code: str, error: str, what_to_do: str, *, retry_after: int | None = None
    ) -> None:
        super().__init__(error)
        self.status = status
        self.code = code
        self.error = error
        self.what_to_do = what_to_do
        self.retry_after = retry_after


def not_signed_in() -> Refusal:
    """No session, or one that ended."""
    return Refusal(401, "signed_out", "You are not signed in.", "Sign in again.")


def not_allowed(what: str) -> Refusal:
    """The role does not carry this."""
    return Refusal(
        403, "not_allowed", f"Your role does not allow {what}.", "Ask an administrator of the city."
    )


def nothing_there(what: str) -> Refusal:
    """One answer for what does not exist and for what lies outside the account's units.

    That the two cannot be told apart is the point: an answer must not confirm what it hides.
    """
    return Refusal(
        404,
        "not_found",
        f"There is no such {what} among those you may see.",
        "Choose another, or ask an administrator for access.",
    )
