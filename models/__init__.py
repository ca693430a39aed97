"""Things that score: code only, never an artefact."""
