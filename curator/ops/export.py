"""export: write a dataset folder that any trainer and the Hugging Face Hub can read."""

from __future__ import annotations

from typing import Literal

from curator.op import Names, Settings, Sink, SinkFn, View, operator


def _needs(settings: Settings) -> Names:
    """Columns that the chosen formats need; an unknown format is reported by the factory, not here."""
    from curator.export.formats import Plan, all_formats
    from curator.export.settings import listed

    known = all_formats()
    plan = Plan(use=settings.get("use", "auto"), verifier=settings.get("verifier"))
    names = [n for f in listed(settings.get("to", "trl")) if f in known for n in known[f].needs(plan)]
    return tuple(dict.fromkeys(["row_id", *names, *settings.get("columns", ())]))


@operator("sink", effect="keeps", version=2, needs=_needs)
def export(
    *,
    to: str | list[str] = "trl",
    thinking: Literal["inline", "reasoning_content", "thinking", "none"] = "inline",
    use: Literal["auto", "short", "long"] = "auto",
    prompt: str = "{problem}",
    system: str | None = None,
    verifier: str | None = None,
    columns: tuple[str, ...] = ("row_id",),
    learn: tuple[str, ...] = (),
    metadata: bool = True,
    split: str | dict[str, float] = "train",
    shard_size: str = "500MB",
    pretty_name: str | None = None,
    license: str | None = None,  # noqa: A002
    license_name: str | None = None,
    license_link: str | None = None,
    languages: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
    push: str | None = None,
    private: bool = True,
    seed: int | None = None,
) -> SinkFn:
    """Write a dataset folder for a trainer, with its card.

    The folder has `data/` (Parquet, sorted by problem_id, sample_idx, row_id: its bytes depend on rows and settings
    only), `metadata/` (every column of every row), `README.md` (the card, from the receipts), `pipeline.yaml`, and what
    the trainer wants beside the data (`dataset_info.json`, `axolotl.yaml`). Every format is rendered from one question
    and one assistant turn, thinking apart from answer. Text that no model wrote (`inserted`: hints, outputs of
    programs) is kept out of the loss where the format can say so (axolotl, hf); other formats leave such rows out.
    Rows that cannot be an example (no trace, cut off, a stray think
    tag) are listed with their reason in `left_out/` and the ledger, and counted on the card. Formats: trl,
    trl-completion, trl-grpo, llama-factory, llama-factory-alpaca, axolotl, verl, verl-rl, open-instruct,
    open-instruct-rlvr, hf; of what `pair` makes trl-dpo, trl-kto, trl-prm, llama-factory-dpo, llama-factory-kto.

    Args:
        to: format, or a list of formats; the first is the default config in `data/`, the others have own folders.
        thinking: how thinking is written: `inline` in think tags, in a message key `reasoning_content` or `thinking`,
            or `none` (left out).
        use: `auto` takes the short trace where its rewrite was verified and the long one elsewhere; or only one kind.
        prompt: the user turn; must contain `{problem}`.
        system: system turn put before every conversation.
        verifier: name of the trainer's reward function (verl `data_source`, open-instruct `dataset`); if not given,
            from the columns `source` and `domain`.
        columns: columns carried along unchanged in every format; `row_id` joins the configs.
        learn: kinds of inserted text that training may learn all the same, such as `keep`, the hints of `splice`:
            a student that shall write them by itself. Never `output`, unless it shall make up what programs print.
        metadata: also write the config `metadata`.
        split: name of the split, or names with their shares; all samples of a problem fall in one split.
        shard_size: data in memory per Parquet file before the next one begins, for example 500MB.
        pretty_name: title of the card; the run's name if not given.
        license: licence id for the card; from the column `license` if not given, never guessed.
        license_name: name of the licence where `license` is other.
        license_link: link to the licence where `license` is other.
        languages: language codes for the card; not stated if empty.
        tags: further tags for the card.
        push: id on the Hub (owner/name) to push to when the folder is done; needs HF_TOKEN. Off if not given.
        private: make a pushed dataset private; one that exists already keeps its visibility.
        seed: seed of the split; the pipeline's seed if not given.

    Raises:
        CheckError: a setting is wrong, or `push` lacks its extra or its token.
        InputError: no row fits a format.
        OutputError: the push failed.
    """
    from curator.export import hub, licenses
    from curator.export.settings import bytes_of, formats_of, plan_of, splits_of

    plan = plan_of(thinking, use, prompt, system, verifier, tuple(columns), tuple(learn))
    formats, splits, size = formats_of(to, plan), splits_of(split), bytes_of(shard_size)
    stated = licenses.chosen(license) if license else None
    if push is not None:
        hub.ready(push)

    def write(view: View, sink: Sink) -> None:
        from curator.export.card import CardSettings, card  # not above: `check` calls the factory and writes nothing
        from curator.export.facts import facts_of
        from curator.export.folder import Layout, holds_inserted, inside, refused, trainer_files, write_folder

        about = CardSettings(pretty_name, stated, license_name, license_link, tuple(languages), tuple(tags))
        facts = facts_of(sink.run, view)
        own_seed = facts.seed if seed is None else seed
        rendered = plan._replace(masks=holds_inserted(view))
        layout = Layout(formats, rendered, splits, own_seed, metadata, size, facts.name)
        summary = write_folder(view, sink.folder, layout)
        for rows in refused(sink.folder):
            sink.refuse(rows)
        for name, text in trainer_files(summary, layout):
            inside(sink.folder, name).write_text(text, "utf-8")
        (sink.folder / "README.md").write_text(card(summary, facts, about), "utf-8")
        if facts.pipeline:
            (sink.folder / "pipeline.yaml").write_text(facts.pipeline, "utf-8")
        if push is not None:
            hub.push(sink.folder, push, private=private, message=f"Add {facts.name}")

    return write
