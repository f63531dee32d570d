"""Beside it stands `fake_workdir`, which tests of several studies import."""
