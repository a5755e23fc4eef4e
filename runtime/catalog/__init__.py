"""Manifests to verified files on disk."""
