"""What a person can cause, as exceptions that print as one line, and the exit code of each kind."""

from __future__ import annotations


class CuratorError(Exception):
    """A mistake or an outside failure that is told in one line, without a traceback.

    The message gives the value, the limit and the way out. `exit_code` is what `curator` exits with:

    | code | meaning |
    |---|---|
    | 0 | done |
    | 1 | a defect of ours (traceback) |
    | 2 | the pipeline or the command line is wrong (`check` would have said so) |
    | 3 | input data cannot be read or does not fit |
    | 4 | an engine or server failed for good |
    | 5 | a budget is spent; the run can be resumed |
    | 6 | another run holds the folder |
    | 7 | the output cannot be written (disk full, no permission) |
    | 8 | an operator failed: it raised, its process died, or it broke the law of rows it declares |
    | 9 | a barrier waits for a result from outside; bring it and run the same command again |
    | 130 | interrupted; what succeeded is kept |
    """

    exit_code = 1


class CheckError(CuratorError):
    """The pipeline, its settings or the command line are wrong."""

    exit_code = 2


class InputError(CuratorError):
    """Input data cannot be read, or does not have the form a step needs."""

    exit_code = 3


class EngineError(CuratorError):
    """An engine cannot be reached, refuses every request, or fails above the stated share."""

    exit_code = 4


class BudgetSpent(CuratorError):
    """A budget of tokens or money is used up. What was answered is kept; raise the budget and run again."""

    exit_code = 5


class FolderLocked(CuratorError):
    """Another live process runs in the same folder."""

    exit_code = 6


class OutputError(CuratorError):
    """The output folder cannot be written."""

    exit_code = 7


class OperatorError(CuratorError):
    """An operator raised, its worker process died, or its rows break the law it declares (see `Effect`)."""

    exit_code = 8


class Waiting(CuratorError):
    """A barrier waits for a result that somebody else makes, such as a training. Nothing is lost; run again with it."""

    exit_code = 9
