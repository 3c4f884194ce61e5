"""`mark`: cheap rules that say what speaks against a row, with the reason, and drop nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from curator.bounds import Ge
from curator.op import operator
from curator.ops import _mark_settings as given

REPORTS = {
    "flags": "select flag, count(*) as rows from (select unnest(flags) as flag from rows) group by all "
    "order by rows desc, flag",
    "rows": "select count(*) as rows, count(*) filter (len(flags) > 0) as flagged from rows",
}


@operator(
    given.step_kind,
    effect="marks",
    version=1,
    needs=given.needs,
    adds=("flags", "flag_detail"),
    key=lambda _: (),
    reports=REPORTS,
)
def mark(
    *,
    on: str = "trace",
    perplexity_max: float | dict[str, float] | None = None,
    perplexity_quantile: float | None = None,
    perplexity: str = "perplexity",
    by: str = "engine",
    ngram: Annotated[int, Ge(1)] | None = None,
    ngram_more_than: Annotated[int, Ge(1)] = 20,
    repetition: Annotated[int, Ge(1)] | None = None,
    repetition_n: Annotated[int, Ge(1)] = 20,
    form: list[Literal["think", "response", "tags"]] = [],  # noqa: B006 - never changed; the default that YAML users read
    scripts: dict[str, str] = {},  # noqa: B006
    odd_characters: float | None = None,
    refusal: bool = False,
    turns: str | None = None,
    keep: bool = True,
) -> Callable[[Any], Any]:
    """Mark every row with what speaks against it: `flags`, a list of names, and `flag_detail`, the numbers behind them.

    Nothing is dropped; the next step decides: `select: {where: len(flags) = 0}`. Only the rules that are set are looked
    at. Rules that compare rows (`ngram`, `perplexity_quantile`) make it a step over the whole table, the others look at
    rows by themselves.

    Flags: `perplexity`, `repeated_ngram`, `repetition`, `no_think`, `no_response`, `bad_tags`, `script`,
    `odd_characters`, `refusal`, `odd_turns`. A null text has no flags but `no_think` and `no_response`.

    Args:
        on: column with the text.
        perplexity_max: a larger `perplexity` is flagged; equal is not. DeepDistill (arXiv 2504.17565, section 2.5): 20
            under its own 32B model; the number does not transfer. Or one by value of `by`, `"*"` for the rest (Not All
            Correct Answers: one a teacher, values unpublished).
        perplexity_quantile: flag what lies above this quantile of the table, 0 to 1: a limit for any model.
        perplexity: column that `score` wrote.
        by: column by whose values `perplexity_max` may differ.
        ngram: flag rows with a run of so many whitespace-separated pieces that comes more than `ngram_more_than` times
            in the whole table, inside rows or across them (DeepDistill: 20 tokens more than 20 times; its tokenizer,
            and whether strings or rows go, are not said).
        ngram_more_than: see ngram.
        repetition: flag rows in which one run of `repetition_n` pieces comes more than so many times.
        repetition_n: see repetition.
        form: `think`: there is a thinking part; `response`: something follows it; `tags`: at most one pair of think
            tags, well formed (AM-DeepSeek-R1-Distilled, DED, Yi-Sang).
        scripts: script -> band of its share of the letters, `{hangul: "[0.05, 0.20]"}` (Yi-Sang). Names are the first
            words of Unicode names: latin, cjk, hangul, hiragana, cyrillic, ...
        odd_characters: largest share of characters outside letters, marks, digits, punctuation, spaces, mathematics and
            money; also more than 1 % of U+FFFD is flagged. DeepDistill's threshold is unpublished; 0.3 is ours.
        refusal: flag responses that begin by declining (our own list of phrases, English).
        turns: column with a conversation: flag an odd number of turns (DeepDistill).
        keep: add to the flags that are there already; false starts anew.

    Raises:
        CheckError: no rule, or one out of range.
    """
    settings = dict(locals())
    given.accept(settings)
    if given.step_kind(settings) == "table":
        from curator.ops._mark_table import table_function

        return table_function(settings)
    from curator.ops._mark import row_function

    return row_function(settings)
