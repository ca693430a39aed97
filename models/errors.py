"""Errors of the models room.

ExpansionError (warehouse.errors)
└── BundleRefused (5)    a bundle is damaged or incomplete
    └── BundleOutdated (5)   it is sound, and was made for other features or by another version
"""

from __future__ import annotations

from warehouse.errors import ExpansionError


class BundleRefused(ExpansionError):
    pass


class BundleOutdated(BundleRefused):
    pass
