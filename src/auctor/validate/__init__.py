"""Judging methods: error, coverage and bootstrap intervals."""
