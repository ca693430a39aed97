"""Labels, fit, leak audit, evaluation and gate: how a bundle is made and becomes champion."""
