"""Corpora made for tests: empty recordings, and manifests of any text."""

from hypothesis import strategies as st

from recordings import tree


def touch(root, *names):
    return tree(root, names)


def csv(root, text, name="clips.csv"):
    path = root / name
    path.write_text(text, encoding="utf-8")
    return path


def reasons(loaded):
    return [error.reason for error in loaded.rejected]


manifest_text = st.text(st.characters(codec="utf-8"), max_size=200)
