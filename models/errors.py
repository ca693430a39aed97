"""Errors of the models room.

ExpansionError (warehouse.errors)
└── BundleRefused (5)    a bundle is damaged, incomplete, or was made for other features
"""

from __future__ import annotations

from warehouse.errors import ExpansionError


class BundleRefused(ExpansionError):
    pass
